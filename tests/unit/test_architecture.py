"""What keeps the house readable and import-linter can't say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "backend" / "coatcheck"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 60
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "service", "services", "manager", "repository", "base"}
COOKIE_ATTRIBUTES = {"samesite", "httponly", "set_cookie", "delete_cookie"}
QUERIES = {
    *("execute", "execute_fetchall", "executemany", "exec", "exec_driver_sql", "text", "fetch", "fetch_one"),
    *("fetchrow", "fetchval", "run_many"),
}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def nodes(module: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(module.read_text()))


@every_module
def test_files_are_short(module: Path) -> None:
    """A file has at most 300 lines: one concept, read in one go."""
    assert len(module.read_text().splitlines()) <= LONGEST_FILE


@every_module
def test_functions_are_short(module: Path) -> None:
    """A function has fewer than 60 lines; a migration, which is a list of tables and never changes, may have more."""
    if module.parent.name == "versions":
        return
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 < LONGEST_FUNCTION, node.name


@every_module
def test_modules_are_named_after_a_concept(module: Path) -> None:
    """No module has a name that could hold anything."""
    assert not VAGUE & set(module.stem.split("_")), module.stem
    assert not VAGUE & {part.lower() for part in module.relative_to(PACKAGE).parts}


@every_module
def test_modules_say_what_they_are_for(module: Path) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(ast.parse(module.read_text()))


@every_module
def test_modules_do_not_print(module: Path) -> None:
    """Only the command line speaks to a person directly; all else goes to the log."""
    if module.name == "cli.py":
        return
    called = {node.func.id for node in nodes(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not {"print", "breakpoint", "input"} & called


@every_module
def test_cookie_attributes_have_one_place(module: Path) -> None:
    """Only routes/cookies.py writes a cookie or its attributes."""
    if module == PACKAGE / "routes" / "cookies.py":
        assert words(module) >= COOKIE_ATTRIBUTES
    else:
        assert not COOKIE_ATTRIBUTES & words(module)
        assert "set-cookie" not in module.read_text().lower()


def words(module: Path) -> set[str]:
    """Names of arguments and methods that a module uses."""
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


@every_module
def test_sql_is_never_put_together(module: Path) -> None:
    """No query is built where it is asked: values travel as parameters. (PRAGMA takes none; those are constants.)"""
    for node in nodes(module):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in QUERIES:
            assert not is_put_together(node.args[0]), f"line {node.lineno}"


def is_put_together(query: ast.expr) -> bool:
    if isinstance(query, ast.JoinedStr):
        first = query.values[0] if query.values else None
        return not (isinstance(first, ast.Constant) and str(first.value).startswith("PRAGMA "))
    if isinstance(query, ast.BinOp):
        return True
    return (
        isinstance(query, ast.Call) and isinstance(query.func, ast.Attribute) and query.func.attr in ("format", "join")
    )


@pytest.mark.parametrize(
    "query, expected",
    [
        *(('f"SELECT {x}"', True), ('"SELECT " + x', True), ('"SELECT %s" % x', True), ('"SELECT {}".format(x)', True)),
        *(('"SELECT 1"', False), ("_SELECT", False), ('f"PRAGMA {x}"', False), ("select(Account)", False)),
    ],
)
def test_sql_put_together_is_recognised(query: str, expected: bool) -> None:
    """The rule above sees each way of building a query."""
    assert is_put_together(ast.parse(query, mode="eval").body) is expected


def test_rewrap_knows_everything_that_is_wrapped() -> None:
    """What `keys rewrap` leaves behind could never be opened once the older secret is off the list."""
    from coatcheck.rewrap import WRAPPED

    purposes = set()
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "wrap":
                purposes.add(f"{module.stem}.{ast.unparse(node.args[0])}")
    purposes.discard("rewrap.what.purpose")
    assert purposes == {"challenges.PURPOSE", "enrolment.totp.PURPOSE", "mail.PURPOSE", "signing_keys.PURPOSE"}
    assert len({one.purpose for one in WRAPPED}) == len(WRAPPED) == len(purposes)
