"""`coatcheck doctor`: each line it can say, and that it says it when that is so, and only then."""

import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from coatcheck import clock, database_roles, doctor, doctor_stores, settings
from coatcheck.doctor_stores import Finding
from tests.conftest import OpenHouse, Stores
from tests.house import SECRET
from tests.postbox import ELSEWHERE, Postbox, listening

DAY = 86_400_000
PUBLIC: dict[str, Any] = {"public_url": "https://accounts.example.com", "secret_key": [SECRET]}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets is set."""
    for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
        monkeypatch.delenv(name)


def fresh(folder: Path, **given: Any) -> settings.Settings:
    """Settings of an embedded installation in a folder of its own."""
    return settings.load({}, data_dir=folder / "var", **given)


async def found(configured: settings.Settings, about: str) -> list[Finding]:
    return [one for one in await doctor.examine(configured) if one.about == about]


async def the_one(configured: settings.Settings, about: str) -> tuple[str, str]:
    [one] = await found(configured, about)
    return one.level, one.advice


@pytest.mark.parametrize(
    "about, level, told, given",
    [
        ("settings", "warn", "PASSWORD_MIN_LENGTH", {"password_min_length": 8}),
        ("settings", "warn", "LIMIT_LOGIN", {"limit_login": "off"}),
        ("cookies", "mend", "use https", {"public_url": "http://accounts.example.com"}),
        ("cookies", "mend", "unset COATCHECK_INSECURE_COOKIES", PUBLIC | {"insecure_cookies": True}),
        ("cookies", "ok", "", {"public_url": "http://10.0.0.7:8000", "insecure_cookies": True}),
        ("cookies", "warn", "another site", PUBLIC | {"allowed_origins": ["https://app.example.net"]}),
        ("cookies", "ok", "", PUBLIC | {"allowed_origins": ["https://app.example.com"]}),
        ("proxy", "warn", "TRUSTED_PROXIES", PUBLIC),
        ("proxy", "mend", "everybody may choose", PUBLIC | {"trusted_proxies": "10.0.0.0/8,0.0.0.0/0"}),
        ("proxy", "ok", "", PUBLIC | {"trusted_proxies": "10.0.0.0/8"}),
        ("proxy", "ok", "none", {}),
        ("secret", "warn", "number 2", {"secret_key": [SECRET, "monkeymonkeymonkeymonkeymonkeymonkey"]}),
        ("secret", "ok", "2 listed", {"secret_key": [SECRET, "9b1d" + SECRET]}),
        ("redis", "mend", "REDIS_URL", {"redis_url": "redis://127.0.0.1:1"}),
        ("redis", "ok", "one worker only", {}),
        ("breached passwords", "ok", "not asked", {}),
        ("breached passwords", "warn", "does not answer", {"breached_passwords_url": "http://127.0.0.1:1/range"}),
    ],
)
async def test_doctor_says_of_settings(tmp_path: Path, about: str, level: str, told: str, given: Any) -> None:
    """Risky values, cookies that browsers drop, proxies nobody named, secrets a person made up: each has its line."""
    lines = [one for one in await found(fresh(tmp_path, **given), about) if one.level == level and told in one.advice]
    assert len(lines) == 1


@pytest.mark.parametrize(
    "name, told",
    [("COATCHECK_ACESS_TTL", " for COATCHECK_ACCESS_TTL?"), ("COATCHECK_PORRIDGE", "is it misspelt?")],
)
async def test_doctor_names_what_a_misspelt_variable_was_meant_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    """An unknown variable of ours is told with the one it resembles."""
    monkeypatch.setenv(name, "1")
    level, advice = await the_one(fresh(tmp_path), "settings")
    assert (level, advice.startswith(name), advice.endswith(told)) == ("warn", True, True)


async def test_doctor_finds_files_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data folder, the secret, the database and files that hold settings: open to others, each has its line."""
    configured = fresh(tmp_path)
    assert (await the_one(configured, "files"))[0] == "ok"
    mounted = tmp_path / "secret"
    mounted.write_text(SECRET)
    mounted.chmod(0o644)
    monkeypatch.setenv("COATCHECK_SECRET_KEY_FILE", str(mounted))
    assert (await the_one(configured, "files")) == ("warn", f"others can read it; run: chmod 600 {mounted}")
    configured.data_dir.chmod(0o755)
    (configured.data_dir / "secret_key").chmod(0o640)
    advice = {one.advice for one in await found(configured, "files") if one.level == "mend"}
    for told in (f"700 {configured.data_dir}", f"600 {configured.data_dir / 'secret_key'}", "coatcheck.sqlite3"):
        assert any(told in line for line in advice), advice


async def test_doctor_examines_postgres_and_its_role(servers: Stores) -> None:
    """Another role's reach is told: one that could rewrite the audit log, and one that lacks what it needs."""
    configured = settings.load({}, **PUBLIC, **servers)
    level, advice = await the_one(configured, "database role")
    assert (level, "could rewrite the audit log" in advice) == ("warn", True)
    owner = await asyncpg.connect(servers["database_url"])
    if not await owner.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'patient'"):
        await owner.execute("CREATE ROLE patient LOGIN")
    await database_roles.grant(configured, "patient")
    theirs = settings.load(
        {}, **PUBLIC, **(servers | {"database_url": servers["database_url"].replace("postgres@", "patient@")})
    )
    assert await the_one(theirs, "database role") == ("ok", "patient can only add to the audit log")
    await owner.execute("REVOKE INSERT ON challenge FROM patient")
    level, advice = await the_one(theirs, "database role")
    assert (level, "coatcheck migrate --grant patient" in advice) == ("mend", True)
    assert "lacks rights on challenge" in advice
    await owner.close()
    assert {one.about for one in await doctor.examine(configured) if one.level == "mend"} == set()


async def test_doctor_says_that_nothing_answers(servers: Stores) -> None:
    """A database that is away, and mails that nobody gets, are told; the rest is examined all the same."""
    configured = settings.load({}, **PUBLIC, database_url="postgresql://127.0.0.1:1/x", redis_url=servers["redis_url"])
    assert await the_one(configured, "database") == ("mend", "does not answer; check COATCHECK_DATABASE_URL")
    assert (await the_one(configured, "mail"))[0] == "warn"
    assert await found(configured, "redis")


async def test_doctor_greets_the_mail_server_and_sends_nothing(tmp_path: Path) -> None:
    """A mail server that lets us in, one that is not there, and one that offers a stranger no TLS."""

    async def told(host: str, port: int) -> tuple[str, str]:
        url = f"smtp://coatcheck:secret@{host}:{port}"
        return await the_one(settings.load({}, **PUBLIC, data_dir=tmp_path, smtp_url=url, mail_from="a@b.test"), "mail")

    async with listening(Postbox()) as box:
        assert await told("127.0.0.1", box.port) == ("ok", "the mail server lets us in")
        assert (box.logins, box.mails) == ([("coatcheck", "secret")], [])
        level, advice = await told(ELSEWHERE, box.port)
        assert (level, "COATCHECK_SMTP_URL" in advice) == ("mend", True)
    level, advice = await told("127.0.0.1", box.port)
    assert (level, "SMTPConnect" in advice) == ("mend", True)


POSTGRES = {"version": 170_000, "connections": 100, "fsync": "on", "durable": "on", "now": 0}


@pytest.mark.parametrize(
    "level, told, row",
    [
        ("ok", "PostgreSQL 17", {}),
        ("mend", "use 14 or newer", {"version": 130_011}),
        ("warn", "fsync", {"fsync": "off"}),
        ("warn", "synchronous_commit", {"durable": "off"}),
        ("mend", "DATABASE_POOL", {"connections": 15}),
    ],
)
def test_doctor_judges_postgres(tmp_path: Path, level: str, told: str, row: dict[str, Any]) -> None:
    """An old server, one that may forget what it confirmed, and one with too few connections."""
    [one] = doctor_stores.postgres(fresh(tmp_path), POSTGRES | row)
    assert (one.level, told in one.advice) == (level, True)


def test_doctor_judges_sqlite() -> None:
    """A library without RETURNING is too old."""
    assert doctor_stores.sqlite_version((3, 34, 1)).level == "mend"
    assert doctor_stores.sqlite_version((3, 35, 0)).level == "ok"


REDIS = {"redis_version": "7.2.4", "maxmemory": 0, "maxmemory_policy": "allkeys-lru", "aof_enabled": 1, "loading": 0}


@pytest.mark.parametrize(
    "level, told, row",
    [
        ("ok", "7.2.4 answers", {}),
        ("mend", "use 6.2 or newer", {"redis_version": "5.0.14"}),
        ("warn", "noeviction", {"maxmemory": 1_000_000}),
        ("ok", "", {"maxmemory": 1_000_000, "maxmemory_policy": "noeviction"}),
        ("warn", "appendonly", {"aof_enabled": 0}),
        ("warn", "loading", {"loading": 1}),
    ],
)
def test_doctor_judges_redis(level: str, told: str, row: dict[str, Any]) -> None:
    """An old server, one that evicts, one that forgets, one that is not ready."""
    [one] = doctor_stores.redis(REDIS | row)
    assert (one.level, told in one.advice) == (level, True)


async def test_doctor_asks_a_real_redis(servers: Stores) -> None:
    """Version, eviction, persistence and clock come from the server itself; what an ACL keeps back is no finding."""
    configured = settings.load({}, **PUBLIC, **servers)
    async with Redis.from_url(servers["redis_url"]) as client:
        assert [one.advice for one in await found(configured, "redis")] == [
            "appendonly is off: a restart forgets the counters of limits"
        ]
        await client.config_set("maxmemory", "100mb")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert any("allkeys-lru" in one.advice for one in await found(configured, "redis"))
        finally:
            await client.config_set("maxmemory", "0")
            await client.config_set("maxmemory-policy", "noeviction")
        await client.acl_setuser("shy", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
        shy = configured.model_copy(update={"redis_url": servers["redis_url"].replace("redis://", "redis://shy:x@")})
        assert [one.level for one in await found(shy, "redis")] == ["ok"]
    assert {one.level for one in await found(configured, "clock")} == {"ok"}


@pytest.mark.parametrize(
    "apart, level", [(0, "ok"), (-1_000, "ok"), (5_000, "warn"), (-61_500, "mend"), (3_600_000, "mend")]
)
def test_doctor_compares_clocks(apart: int, level: str) -> None:
    """Seconds apart are a warning, more than a minute is wrong, ahead or behind."""
    assert doctor_stores.clock("database", clock.Clock().now() + apart).level == level


async def test_doctor_examines_the_keys(open_house: OpenHouse, stores: Stores) -> None:
    """A key that no listed secret opens, and one that should long have been replaced."""
    configured = settings.load({}, **PUBLIC, **stores)
    assert await the_one(configured, "keys") == ("ok", "none yet; the first start makes one")
    async with open_house() as house:
        assert (await the_one(configured, "keys"))[0] == "ok"
        other = configured.model_copy(update={"secret_key": ["9b1d" + SECRET]})
        level, advice = await the_one(other, "keys")
        assert (level, "COATCHECK_SECRET_KEY" in advice) == ("mend", True)
    async with open_house() as house:
        await house.rows("UPDATE signing_key SET since = since - $1", 400 * DAY)
        level, advice = await the_one(configured, "keys")
        assert (level, "coatcheck keys rotate" in advice) == ("warn", True)


async def test_doctor_examines_the_audit_log(open_house: OpenHouse, stores: Stores) -> None:
    """Events that nobody links, events that nobody prunes, and a trigger that could swallow some."""
    configured = settings.load({}, **PUBLIC, **stores)
    async with open_house() as house:
        await house.desk.linker.stop()
        assert (await the_one(configured, "audit log"))[0] == "ok"
        await house.register()
        assert (await the_one(configured, "audit log"))[0] == "ok"  # it happened just now
        await house.rows("UPDATE audit_event SET at = at - $1", 800 * DAY)
        told = [one.advice for one in await found(configured, "audit log")]
        assert len(told) == 2
        assert "are not linked" in told[0]
        assert "coatcheck audit prune" in told[1]
        if configured.embedded:
            await house.rows("CREATE TRIGGER hush BEFORE INSERT ON audit_event BEGIN SELECT RAISE(IGNORE); END")
        else:
            await house.rows("CREATE FUNCTION hush() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
            await house.rows("CREATE TRIGGER hush BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION hush()")
        try:
            told = [one.advice for one in await found(configured, "audit log") if one.level == "mend"]
            assert told == ["drop trigger hush: nothing of ours needs one"]
        finally:
            if not configured.embedded:
                await house.rows("DROP FUNCTION hush CASCADE")
