"""Schema changes come in two steps, so that the release before can go on beside the new tables."""

import ast
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[2] / "backend/coatcheck/migrations/versions"
BEFORE_ANY_RELEASE = {"0005_key_rotation.py"}  # fills a column and asks for uniqueness; nothing older ran beside it
EXPANDS = {"create_table", "create_index", "add_column"}


def _given(call: ast.Call, name: str) -> object:
    """The constant given to a call by name; something true that is no constant if it is computed."""
    found = [word.value for word in call.keywords if word.arg == name]
    return getattr(found[0], "value", found[0]) if found else None


def _made(calls: list[ast.Call]) -> set[object]:
    """The tables that a step makes itself: nothing older writes to them."""
    tables = [call.args[0] for call in calls if getattr(call.func, "attr", "") == "create_table"]
    return {getattr(table, "value", None) for table in tables}


def _breaks(call: ast.Call, made: set[object]) -> bool:
    """Whether the release before could fail on what this call does."""
    does = getattr(call.func, "attr", "")
    if does == "add_column":
        column = call.args[1]
        if not isinstance(column, ast.Call):
            return True
        filled = _given(column, "server_default") is not None
        return not filled and (_given(column, "nullable") is False or bool(_given(column, "primary_key")))
    if does == "create_index":
        return bool(_given(call, "unique")) and getattr(call.args[1], "value", None) not in made
    return does not in EXPANDS


def broken(source: str, older: set[str]) -> list[str]:
    """The calls of a step that the release before could fail on, unless it names the older step it contracts."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "contracts":
            return [] if getattr(node.value, "value", None) in older else ["contracts what is not older"]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    steps = [call for call in calls if ast.unparse(call.func).startswith("op.")]
    free = [call for call in calls if getattr(call.func, "attr", "") == "execute" and call not in steps]
    made = _made(steps)
    return [ast.unparse(call) for call in steps + free if ast.unparse(call) != "op.get_bind()" and _breaks(call, made)]


@pytest.mark.parametrize("step", sorted(VERSIONS.glob("[0-9]*.py")), ids=lambda step: step.stem)
def test_migrations_only_add(step: Path) -> None:
    """No step takes away, renames, alters or demands what the release before doesn't know of."""
    older = {other.stem[:4] for other in VERSIONS.glob("[0-9]*.py") if other.name < step.name}
    if step.name in BEFORE_ANY_RELEASE:
        assert broken(step.read_text(), older)
    else:
        assert broken(step.read_text(), older) == []


@pytest.mark.parametrize(
    "does",
    [
        'op.drop_column("session", "ip")',
        'op.drop_table("guess")',
        'op.rename_table("guess", "guesses")',
        'op.alter_column("session", "ip", new_column_name="address")',
        'op.alter_column("session", "ip", type_=sa.Text)',
        'op.add_column("session", sa.Column("place", sa.Text, nullable=False))',
        'op.create_index("one", "session", ["ip"], unique=True)',
        'op.batch_alter_table("session")',
        'op.execute("ALTER TABLE session DROP COLUMN ip")',
        'op.get_bind().execute("DROP TABLE guess")',
    ],
)
def test_migrations_that_take_away_name_the_older_step_they_contract(does: str) -> None:
    """What would break the release before is refused, unless it is the second step of an older one."""
    assert broken(does, {"0011"})
    assert broken(f'contracts = "0011"\n{does}', {"0011"}) == []
    assert broken(f'contracts = "0012"\n{does}', {"0011"})


def test_migrations_may_add_what_an_older_release_need_not_fill() -> None:
    """A column that may be empty or has a default, a table, and an index are the first step."""
    assert broken('op.add_column("session", sa.Column("place", sa.Text))', set()) == []
    filled = 'op.add_column("session", sa.Column("place", sa.Text, nullable=False, server_default=""))'
    assert broken(filled, set()) == []
    own = 'op.create_table("seat")\nop.create_index("one", "seat", ["row"], unique=True)'
    assert broken(own, set()) == []
