"""docs/permissions.md has a row for each route of the route table, and none for a route that is not there."""

import re
from pathlib import Path

from fastapi import FastAPI

from coatcheck import settings
from coatcheck.app import create_app
from tests.house import SECRET

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


def documented() -> dict[str, tuple[str, ...]]:
    """The page's rows: a route, and what each kind of caller is answered."""
    found: dict[str, tuple[str, ...]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if re.fullmatch(r"`[A-Z]+ /.*`", cells[0]):
            assert cells[0] not in found, f"{cells[0]} stands twice"
            found[cells[0].strip("`")] = tuple(cells[1:])
    return found


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Methods and paths of the route table, as the application has it."""
    return [
        (method, str(getattr(route, "path", "")))
        for route in app.routes
        for method in sorted(getattr(route, "methods", None) or ["GET"])
        if method != "HEAD"
    ]


def test_permissions_page_has_every_route_and_no_other() -> None:
    """A new route says in docs/permissions.md who may call it (then tests/api/test_permissions.py calls it)."""
    table = {f"{method} {path}" for method, path in routes_of(create_app(settings.load({}, secret_key=[SECRET])))}
    rows = documented()
    assert not table - set(rows), "add a row to docs/permissions.md"
    assert not set(rows) - table, "these rows of docs/permissions.md have no route"
    assert {len(cells) for cells in rows.values()} == {6}
