"""The command line: each mistake ends in one sentence and a non-zero exit, without a traceback or a secret."""

import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import structlog

from coatcheck.cli import main
from tests.house import PASSWORD, SECRET
from tests.live import command, environment, free_port, serving
from tests.servers import Server, postgres

DEAD = "postgresql://ada:zq@127.0.0.1:1/x"  # nobody listens there


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A PostgreSQL of this file's own, empty at first."""
    with postgres() as server:
        yield server


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def serve(*args: str, cwd: Path, **settings: object) -> Done:
    """`coatcheck serve` that is expected to stop by itself."""
    env = environment(**({"argon2_memory_kib": 64} | settings))
    done = subprocess.run(
        command("serve", *args), env=env, cwd=cwd, capture_output=True, text=True, timeout=20, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Any other command, in this process: starting one takes longer than most of them."""

    def running(*args: str, **settings: object) -> Done:
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
            monkeypatch.delenv(name)
        for name, value in ({"argon2_memory_kib": 64} | settings).items():
            monkeypatch.setenv(f"COATCHECK_{name.upper()}", str(value))
        monkeypatch.setattr(sys, "argv", ["coatcheck", *args])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        if isinstance(end.value.code, str):
            return Done(1, captured.out, captured.err + end.value.code)
        return Done(end.value.code or 0, captured.out, captured.err)

    yield running
    structlog.reset_defaults()  # a command sends the log to a stream that ends with this test


def refused(done: Done, *told: str) -> None:
    """One sentence on standard error, after the warnings if there are any."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("coatcheck: ")
    assert all(part in lines[0] for part in told), lines[0]
    assert done.stdout == ""
    assert "zq" not in done.stderr


@pytest.mark.parametrize("root", [None, "", "zq-short", "changeme" * 5])
def test_serve_stops_without_a_proper_secret(run: Command, root: str | None) -> None:
    """With PostgreSQL a missing, blank, short or example secret stops the start before anything is connected to."""
    given = {"database_url": DEAD, "public_url": "https://auth.test"} | ({} if root is None else {"secret_key": root})
    refused(run("serve", **given), "COATCHECK_SECRET_KEY", "openssl rand -hex 32")


@pytest.mark.parametrize(
    "args, given, told",
    [
        (("--workers", "2"), {}, "COATCHECK_REDIS_URL"),
        ((), {"database_url": "mysql://ada:zq@127.0.0.1:1/x"}, "COATCHECK_DATABASE_URL"),
        ((), {"database_url": DEAD}, "COATCHECK_DATABASE_URL"),
    ],
)
def test_serve_stops_with_one_sentence(tmp_path: Path, args: tuple[str, ...], given: dict[str, str], told: str) -> None:
    """A wrong value, an unusable URL and a database that does not answer are told in a sentence naming the setting."""
    refused(serve("--port", str(free_port()), *args, cwd=tmp_path, secret_key=SECRET, **given), told)


@pytest.mark.parametrize("name, value", [("log_level", "information"), ("redis_url", "http://:zq@127.0.0.1:1")])
def test_serve_stops_at_an_unusable_value(tmp_path: Path, name: str, value: str) -> None:
    """A log level that is none and a Redis URL of another kind stop the start: no traceback, and no process left."""
    done = serve("--port", str(free_port()), cwd=tmp_path, secret_key=SECRET, **{name: value})
    refused(done, f"COATCHECK_{name.upper()}")


@pytest.mark.parametrize("args", [("migrate",), ("keys", "list"), ("accounts", "disable", "ada@example.test")])
def test_command_stops_without_its_database(run: Command, args: tuple[str, ...]) -> None:
    """A database that does not answer is told in a sentence by every command that needs it."""
    refused(run(*args, secret_key=SECRET, database_url=DEAD), "COATCHECK_DATABASE_URL")


def test_command_stops_at_an_unknown_account(run: Command) -> None:
    """Nobody is disabled by a misspelt address without being told."""
    refused(run("accounts", "disable", "nobody@example.test"), "no account")


def test_serve_stops_when_its_port_is_taken(tmp_path: Path) -> None:
    """A port in use is told with what to do; misspelt names and risky values were warned of before."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve("--port", str(port), cwd=tmp_path, acces_ttl=5, limit_login="off")
    refused(done, str(port), "--port")
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning:")]
    assert any("COATCHECK_ACCES_TTL" in line and "misspelt" in line for line in warnings)
    assert any("COATCHECK_LIMIT_LOGIN" in line for line in warnings)


def test_serve_stops_before_an_unmigrated_database(tmp_path: Path, run: Command, database: Server) -> None:
    """On PostgreSQL `serve` says that the database is not migrated; `migrate` mends it, and may be run twice."""
    given = {"database_url": database.url, "secret_key": SECRET}
    refused(serve("--port", str(free_port()), cwd=tmp_path, **given), "coatcheck migrate")
    examined = run("doctor", **given)
    assert examined.returncode == 1
    assert "MEND  database: not migrated; run: coatcheck migrate" in examined.stdout
    for _ in range(2):
        said = "Database: PostgreSQL, 127.0.0.1/postgres\n"
        assert run("migrate", **given) == Done(0, "The database is up to date.\n", said)
    assert "MEND" not in run("doctor", public_url="https://accounts.example.com", **given).stdout


def test_serve_stops_when_no_secret_opens_the_signing_keys(tmp_path: Path, run: Command) -> None:
    """Another secret than the one that wrapped the signing keys is told, rather than signing everybody out."""
    first = run("keys", "list", secret_key=SECRET)
    assert first.returncode == 0, first.stderr
    other = "8f2d61b0c97a4e35" * 3
    refused(serve("--port", str(free_port()), cwd=tmp_path, secret_key=other), "COATCHECK_SECRET_KEY")
    both = run("keys", "list", secret_key=f"{other},{SECRET}")
    assert (both.returncode, both.stdout) == (0, first.stdout)


def test_keys_rotate_and_revoke_say_what_happens_next(run: Command) -> None:
    """`rotate` makes the next key and says when it signs; `revoke` takes one away and says what is left to do."""
    (first,) = (line.split()[0] for line in run("keys", "list").stdout.splitlines())
    told = run("keys", "rotate").stdout.splitlines()[-1]
    second = told.split()[0]
    assert "signs with it 15 minutes after that" in told
    assert run("keys", "rotate").stdout.splitlines()[-1] == told, "there is one next key"
    assert run("keys", "rotate", "--now").stdout.splitlines()[-1].startswith(f"{second} signs from now on")
    states = {line.split()[0]: line.split()[1] for line in run("keys", "list").stdout.splitlines()}
    assert states == {first: "previous", second: "current"}
    assert f"Revoked {second}" in run("keys", "revoke", second).stdout
    (third,) = (line.split()[0] for line in run("keys", "list").stdout.splitlines() if " current " in line)
    assert third not in (first, second)
    gone = run("keys", "revoke", second)
    assert gone.returncode == 1
    assert gone.stderr.strip() == f"coatcheck: There is no signing key {second}; see: coatcheck keys list"


def test_keys_revoke_takes_a_name_that_begins_with_a_hyphen(run: Command, tmp_path: Path) -> None:
    """Earlier versions named one key in 64 so; it is a name, not an option, and can be revoked like any other."""
    assert run("keys", "rotate").returncode == 0
    with closing(sqlite3.connect(tmp_path / "var/coatcheck.sqlite3")) as database, database:
        database.execute("UPDATE signing_key SET kid = '-MKvXD30hYLr' WHERE state = 'next'")
    done = run("keys", "revoke", "-MKvXD30hYLr")
    assert done.returncode == 0, done.stderr
    assert "Revoked -MKvXD30hYLr" in done.stdout
    assert "-MKvXD30hYLr" not in run("keys", "list").stdout


def test_keys_have_names_that_are_no_options(run: Command) -> None:
    """Names of new keys have small letters and digits only."""
    for _ in range(10):
        assert run("keys", "rotate", "--now").returncode == 0
    names = [line.split()[0] for line in run("keys", "list").stdout.splitlines()]
    assert len(names) == 11
    assert all(re.fullmatch(r"[a-z2-7]{12}", name) for name in names), names


def test_keys_rewrap_says_what_still_needs_the_older_secret(run: Command) -> None:
    """After a new root secret was put first, `rewrap` moves the keys and says that the old one may go."""
    newer = "8d7c6b5a49382716051403f2e1d0cfbeadac9b8a79685746"
    assert run("keys", "list", secret_key=SECRET).returncode == 0
    done = run("keys", "rewrap", secret_key=f"{newer},{SECRET}")
    assert done.stdout.startswith("1 records are wrapped anew")
    assert "you may take it off the list" in done.stdout
    assert run("keys", "list", secret_key=newer).returncode == 0
    assert run("keys", "list", secret_key=SECRET).returncode == 1


def test_keys_list_shows_the_keys_and_no_secret(tmp_path: Path, run: Command) -> None:
    """`keys list` shows each key's id, state and age; the embedded secret it made is its owner's to read."""
    done = run("keys", "list")
    [line] = done.stdout.splitlines()
    assert "current" in line
    assert "signs" in line
    secret = tmp_path / "var" / "secret_key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() not in done.stdout + done.stderr
    assert run("keys", "list").stdout == done.stdout


def test_doctor_finds_nothing_where_nothing_is_wrong(tmp_path: Path, run: Command) -> None:
    """A fresh embedded installation passes, with one line a check and no secret in it."""
    done = run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) >= 5
    assert all(line.startswith("ok    ") for line in lines)
    assert (tmp_path / "var" / "secret_key").read_text() not in done.stdout


def test_doctor_says_what_to_mend(tmp_path: Path, run: Command) -> None:
    """Lost cookies, a readable secret, a dead Redis, risky and misspelt settings: a line each, and a non-zero exit."""
    assert run("keys", "list").returncode == 0
    (tmp_path / "var" / "secret_key").chmod(0o644)
    given = {
        "public_url": "http://192.168.1.7:8000",
        "redis_url": "redis://:zq@127.0.0.1:1",
        "race_window": 1,
        "acess": 1,
    }
    done = run("doctor", **given)
    assert done.returncode == 1
    expected = {
        "COATCHECK_PUBLIC_URL": "MEND",
        "chmod 600": "MEND",
        "COATCHECK_REDIS_URL": "MEND",
        "COATCHECK_RACE_WINDOW": "WARN",
        "COATCHECK_ACESS": "WARN",
    }
    for told, word in expected.items():
        assert any(told in line and line.startswith(word) for line in done.stdout.splitlines()), (told, done.stdout)
    assert "zq" not in done.stdout + done.stderr


def test_help_tells_what_there_is(run: Command) -> None:
    """`--help` lists the commands, and no command at all shows it too."""
    for args in (("--help",), ()):
        told = run(*args)
        assert all(name in told.stdout + told.stderr for name in ("serve", "migrate", "keys", "accounts", "doctor"))
    assert "--port" in run("serve", "--help").stdout


def test_doctor_wants_a_public_url_beside_postgresql(run: Command) -> None:
    """With a database of its own a server is meant for people who don't call it localhost."""
    done = run("doctor", secret_key=SECRET, database_url="postgresql://127.0.0.1:1/none")
    assert "MEND  public url" in done.stdout
    assert done.returncode == 1


def test_first_administrator_is_made_on_the_server(run: Command, tmp_path: Path) -> None:
    """`grant-admin` gives the role beside a running server; `revoke-role` takes it, and its session is refused."""
    with serving(tmp_path / "log", data_dir=tmp_path / "data") as live, httpx2.Client(base_url=live.url) as http:
        person = {"email": "ada@example.test", "password": PASSWORD}
        assert http.post("/v1/accounts", json=person).status_code == 201
        assert (
            run("accounts", "grant-admin", "Ada@example.test", data_dir=tmp_path / "data", secret_key=SECRET).returncode
            == 0
        )
        grant = http.post("/v1/native/login", json=person).json()
        assert grant["account"]["roles"] == ["admin"]
        bearer = {"Authorization": f"Bearer {grant['access_token']}"}
        assert http.get("/v1/admin/audit", headers=bearer).status_code == 200
        done = run("accounts", "revoke-role", "ada@example.test", data_dir=tmp_path / "data", secret_key=SECRET)
        assert "is user now; 1 sessions ended" in done.stdout
        assert http.get("/v1/admin/audit", headers=bearer).status_code in (401, 403)
        deadline = time.monotonic() + 10
        while http.get("/v1/me", headers=bearer).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # until the server has swept
        assert http.post("/v1/native/login", json=person).json()["account"]["roles"] == []


def test_roles_go_to_no_address_that_nobody_proved(run: Command, tmp_path: Path) -> None:
    """Where mails travel an unproved address is refused a role, whoever registered it; elsewhere it is warned about."""
    given = {"data_dir": tmp_path / "data", "secret_key": SECRET}
    mails = {"smtp_url": "smtp://127.0.0.1:1", "mail_from": "coatcheck@example.test"}
    with serving(tmp_path / "log", data_dir=tmp_path / "data") as live, httpx2.Client(base_url=live.url) as http:
        person = {"email": "ada@example.test", "password": PASSWORD}
        assert http.post("/v1/accounts", json=person).status_code == 201
        refused = run("accounts", "grant-admin", "ada@example.test", **given, **mails)
        assert refused.returncode != 0
        assert "is not confirmed" in refused.stderr
        assert http.post("/v1/native/login", json=person).json()["account"]["roles"] == []
        warned = run("accounts", "grant-support", "ada@example.test", **given)
        assert (warned.returncode, "is not confirmed" in warned.stderr) == (0, True)
        with closing(sqlite3.connect(tmp_path / "data" / "coatcheck.sqlite3", timeout=30)) as db, db:
            db.execute("UPDATE account SET email_verified = 1")  # as a link would
        granted = run("accounts", "grant-admin", "ada@example.test", **given, **mails)
        assert (granted.returncode, "is not confirmed" in granted.stderr) == (0, False)
