"""The reference pages tell what the code does: nothing missing, nothing left over, no other value."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from coatcheck import audit, errors
from coatcheck.routes import problems
from coatcheck.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "backend" / "coatcheck"


def tables(page: str) -> list[list[list[str]]]:
    """The tables of a page, each a list of rows of cells without backquotes, the heading first."""
    text = (ROOT / "docs" / page).read_text()
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [line.strip().strip("|") for line in block.splitlines()]
        found.append([[cell.strip() for cell in line.split("|")] for line in (lines[0], *lines[2:])])
    return found


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """Rows of all tables whose first heading is this, by their first cell."""
    found: dict[str, list[str]] = {}
    for first, *rest in tables(page):
        if first[0] == heading:
            for name, *cells in rest:
                assert name not in found, f"{name} stands twice in {page}"
                found[name.strip("`")] = [cell.strip() for cell in cells]
    return found


def told(default: Any) -> str:
    """How a default is written."""
    if default in (None, []):
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default}`"


def test_docs_tell_every_setting_and_its_default() -> None:
    """docs/settings.md has each setting once, with its default, and none that does not exist."""
    documented = rows("settings.md", "name")
    assert set(documented) == {name.upper() for name in Settings.model_fields}
    expected = {name.upper(): told(field.default) for name, field in Settings.model_fields.items()}
    expected["HASH_WORKERS"] = "what CPUs and memory allow"
    assert {name: cells[0] for name, cells in documented.items()} == expected
    assert all(len(cells) == 3 and cells[1] for cells in documented.values())


def test_docs_tell_every_error_and_its_status() -> None:
    """docs/errors.md has each code once, with its status, a meaning and what to do, and none that does not exist."""
    documented = rows("errors.md", "code")
    existing = {problem.code: str(problem.status) for problem in all_problems(errors.Problem)}
    assert {code: cells[0] for code, cells in documented.items()} == existing
    assert all(len(cells) == 3 and all(cells) for cells in documented.values())


def all_problems(base: type[errors.Problem]) -> list[type[errors.Problem]]:
    return [one for direct in base.__subclasses__() for one in (direct, *all_problems(direct))]


def test_docs_tell_every_field_code() -> None:
    """docs/errors.md has each code that `errors` of a 422 can hold, and no other."""
    used = {code for code, _ in problems._FIELD_ERRORS.values()} | {"invalid"}
    for call in calls("FieldError"):
        used |= {one for argument in call.args[1:2] for one in strings(argument)}
    used |= {"too_short", "too_long", "too_common", "too_personal"}  # passwords.py makes them from a pair
    assert set(rows("errors.md", "field code")) == used


def test_docs_tell_every_oauth_error() -> None:
    """docs/errors.md has each error of RFC 6749 that we answer, and no other."""
    used = set(problems._OAUTH.values())
    for call in calls("OAuthRefusal"):
        used |= {one for argument in call.args[:1] for one in strings(argument)}
    assert set(rows("errors.md", "error")) == used


def test_docs_tell_every_security_event_and_its_data() -> None:
    """docs/audit.md has each kind of event once, with the data that the code writes, and none that does not exist."""
    documented = rows("audit.md", "kind")
    assert set(documented) == set(get_args(audit.Kind))
    written: dict[str, set[str]] = {}
    for call in calls("record"):
        data = {word.arg for word in call.keywords if word.arg} - {"account_id", "session_id", "device_id", "ip"}
        for kind in strings(call.args[2]):
            written.setdefault(kind, set()).update(data)
    written["session.ended"] = {"reason", "ended_by"}  # audit.record_endings writes many at once
    assert set(written) == set(documented), "each kind is written somewhere"
    named = {kind: set(re.findall(r"`(\w+)`:", cells[1])) for kind, cells in documented.items()}
    assert named == written


def test_docs_tell_every_reason_of_an_ending() -> None:
    """docs/audit.md names the reasons that the code can write."""
    text = (ROOT / "docs" / "audit.md").read_text()
    listed = set(re.findall(r"`(\w+)`", text.partition("Reasons of `session.ended`:")[2]))
    used = {"signed_out", "signed_out_elsewhere", "idle", "expired"}  # chosen by an expression
    for call in calls("end"):
        used |= {one for argument in call.args[3:4] for one in strings(argument)}
    assert listed == used


@pytest.mark.parametrize("page", ["settings.md", "errors.md", "audit.md"])
def test_docs_tables_are_well_formed(page: str) -> None:
    """Every row has as many cells as its heading."""
    for heading, *rest in tables(page):
        assert {len(row) for row in rest} == {len(heading)}


def calls(name: str) -> list[ast.Call]:
    """Calls of a function or method of this name, anywhere in the package."""
    found = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called == name:
                    found.append(node)
    assert found, name
    return found


def strings(node: ast.expr) -> list[str]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
