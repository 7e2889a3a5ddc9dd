"""Databases that hang, hold locks or take no writes, and tokens that outlive a shortened setting."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from coatcheck import migrate, settings
from coatcheck.errors import Unavailable
from coatcheck.settings import Settings
from tests.conftest import OpenHouse
from tests.house import PASSWORD, SECRET, House, MovableClock, opened
from tests.servers import Server, postgres, redis

_WRITING = ("/oauth/token", "/v1/spa/refresh", "/v1/native/login")


def _settings(database: Server) -> Settings:
    return settings.load({}, secret_key=[SECRET], database_url=database.url)


async def test_presence_waiters_fail_together(clock: MovableClock) -> None:
    """Who waits for a write that a hanging database lets down is refused with it, not one after the other; once the
    database answers again, what was gathered is written."""
    with postgres() as database, redis() as cache:
        await migrate.upgrade(_settings(database))
        async with opened(clock, database_url=database.url, redis_url=cache.url) as house:
            await house.register()
            phone = await house.native()
            clock.move(120)
            assert (await phone.get("/v1/sessions/current")).status_code == 200
            database.pause()
            began = time.monotonic()
            waiters = (house.desk.presence.flush() for _ in range(20))
            failures = await asyncio.gather(*waiters, return_exceptions=True)
            took = time.monotonic() - began
            database.resume()
            assert {type(failure) for failure in failures} == {Unavailable}
            assert took < 10  # one by one: 20 times 1.5 s
            deadline = time.monotonic() + 30
            while not await house.rows("SELECT id FROM session WHERE last_seen_at > created_at + 60000"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)


async def test_migrations_wait_for_a_lock_as_long_as_it_takes() -> None:
    """A migration is no request: it waits for another machine's migration longer than a statement may take."""
    with postgres() as database:
        other = await asyncpg.connect(database.url)
        await other.execute("SELECT pg_advisory_lock($1)", migrate._LOCK)
        migrating = asyncio.create_task(migrate.upgrade(_settings(database)))
        await asyncio.wait([migrating], timeout=2.5)  # longer than db.PATIENCE
        assert not migrating.done()
        await other.close()
        await asyncio.wait_for(migrating, 60)
        assert await migrate.is_current(_settings(database))


async def test_a_database_that_takes_no_writes_is_an_outage(
    clock: MovableClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replica during a fail-over: what must write is 503 and signs nobody out, what reads goes on; then all does.
    The log names the database's own reason."""
    with postgres() as database:
        await migrate.upgrade(_settings(database))
        async with opened(clock, database_url=database.url) as house:
            await house.register()
            phone, browser = await house.native(), await house.spa()
            admin = await asyncpg.connect(database.url)
            await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await admin.execute("SELECT pg_reload_conf()")
            assert await _until_status(phone.refresh, 503)
            capsys.readouterr()
            assert (await phone.refresh()).status_code == 503
            login = {"email": "ada@example.test", "password": PASSWORD}
            for answer in (await browser.refresh(), await house.http().post("/v1/native/login", json=login)):
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert "set-cookie" not in answer.headers
            told = [line for line in "".join(capsys.readouterr()).splitlines() if "outage" in line]
            assert [path in line for path, line in zip(_WRITING, told, strict=True)] == [True, True, True]
            assert all("ReadOnlySQLTransactionError" in line for line in told)
            assert (await phone.get("/v1/me")).status_code == 200
            await admin.execute("SET default_transaction_read_only = off")
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()
            assert await _until_status(phone.refresh, 200)
            assert await _until_status(browser.refresh, 200)
            assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []


async def test_errors_of_the_database_tell_no_parameters(house: House) -> None:
    """What a statement was given stays out of its error, which the log would show: there are addresses among it."""
    async with house.desk.db.reading() as db:
        with pytest.raises(SQLAlchemyError) as unexpected:
            await (await db.connection()).execute(
                text("SELECT nothing FROM account WHERE email = :email"), {"email": "ada@example.test"}
            )
    assert "nothing" in str(unexpected.value)
    assert "ada@" not in str(unexpected.value)


async def _until_status(call: Callable[[], Awaitable[httpx2.Response]], status: int) -> bool:
    deadline = time.monotonic() + 30
    while (answer := await call()).status_code != status:
        assert answer.status_code in (200, 503)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return True


async def test_access_tokens_obey_a_shortened_life_in_memory_too(open_house: OpenHouse, clock: MovableClock) -> None:
    """A token made for ten minutes lives one where ACCESS_TTL is a minute now, although it is remembered as good."""
    async with open_house(access_ttl=600) as before:
        await before.register()
        phone = await before.native()
    async with open_house(access_ttl=60) as house:
        phone.http = house.http()
        assert (await phone.get("/v1/sessions/current")).status_code == 200
        clock.move(58)
        assert (await phone.get("/v1/sessions/current")).status_code == 200
        assert len(house.desk.verified_tokens) == 1
        clock.move(12)
        assert (await phone.get("/v1/sessions/current")).json()["code"] == "token_expired"
