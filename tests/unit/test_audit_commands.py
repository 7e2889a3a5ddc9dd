"""`coatcheck audit` and `coatcheck grants`: what a person at the server sees."""

import re
import sqlite3
from pathlib import Path

import pytest

from tests.unit.test_command_line import Command, refused, run

__all__ = ["run"]  # the fixture


def change(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "var" / "coatcheck.sqlite3") as database:
        database.execute(sql)
    database.close()


def test_audit_verify_shows_a_head_and_holds_it(tmp_path: Path, run: Command) -> None:
    """A sound log ends in its head, which holds when given back; a changed event and a cut tail make exit code 1."""
    for name in ("one", "two"):
        assert run("services", "add", name).returncode == 0
    done = run("audit", "verify")
    assert (done.returncode, done.stderr) == (0, "Database: SQLite in var\n")
    found = re.fullmatch(r"2 events, 0 of them about to be linked\. Note the head: (2:[0-9a-f]{64})\n", done.stdout)
    assert found, done.stdout
    assert run("audit", "verify", "--head", found[1]).returncode == 0
    assert run("audit", "prune").stdout == "Removed 0 events older than 730 days.\n"
    change(tmp_path, "DELETE FROM audit_link WHERE position = 2")
    change(tmp_path, "DELETE FROM audit_event WHERE id = 2")
    assert run("audit", "verify").returncode == 0
    cut = run("audit", "verify", "--head", found[1])
    assert cut.returncode == 1
    assert "FOUND  the tail is cut" in cut.stdout
    change(tmp_path, "UPDATE audit_event SET data = '{}'")
    edited = run("audit", "verify")
    assert edited.returncode == 1
    assert edited.stdout.startswith("FOUND  event 1 (service.added, ")


@pytest.mark.parametrize("head", ["7", "7:abc", "x:" + "0" * 64, "7:" + "G" * 64])
def test_audit_verify_refuses_what_is_no_head(run: Command, head: str) -> None:
    """A head that can't be one is told in a sentence."""
    refused(run("audit", "verify", "--head", head), "position:hash")


def test_grants_quote_the_role(run: Command) -> None:
    """Whatever the role's name, it stays a name; every table of ours is among what is granted."""
    done = run("grants", 'odd"; DROP TABLE account; --')
    assert '"odd""; DROP TABLE account; --"' in done.stdout
    for table in ("account", "device", "session", "signing_key", "audit_event", "audit_link", "audit_anchor"):
        assert re.search(rf"GRANT [A-Z, ]+ ON [a-z_, ]*\b{table}\b", done.stdout), table


def test_grants_are_for_postgresql(run: Command) -> None:
    """There are no roles in the embedded database."""
    assert "COATCHECK_DATABASE_URL" in run("migrate", "--grant", "app").stderr
