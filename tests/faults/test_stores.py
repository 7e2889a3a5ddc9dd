"""Redis and PostgreSQL die, hang, come back, and come back empty, while guests of all three doors live on."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.faults.guests import DOORS, visited
from tests.faults.street import Street

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

WITHOUT_REDIS = 1.0  # seconds, guarantee 3


async def test_redis_killed_costs_speed_and_nothing_else(street: Street) -> None:
    """kill -9: everybody lives on, a remote logout bites within a second; Redis comes back and nobody has to help."""
    async with visited(street) as crowd:
        street.cache.kill()
        await crowd.go_on(1.0)
        for door in DOORS:
            assert await crowd.sign_out_one(door) < WITHOUT_REDIS + crowd.stood_still
        await crowd.go_on(0.5)
        street.cache.restart()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()
        await crowd.go_on(0.5)


async def test_redis_that_hangs_costs_speed_and_nothing_else(street: Street) -> None:
    """SIGSTOP: connections stay open and nothing answers; the same, and the same again once it goes on."""
    async with visited(street) as crowd:
        street.cache.pause()
        await crowd.go_on(1.5)
        for door in DOORS:
            assert await crowd.sign_out_one(door) < WITHOUT_REDIS + crowd.stood_still
        street.cache.resume()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()


@pytest.mark.parametrize("how", ["flushed", "another"])
async def test_redis_wiped_revives_nobody_and_signs_nobody_out(street: Street, how: str) -> None:
    """Everything in it is lost, while it runs or by a restart with an empty disk: who was signed out stays out."""
    async with visited(street) as crowd:
        await crowd.go_on(0.5)
        if how == "flushed":
            async with Redis.from_url(street.cache.url) as client:
                await client.flushall()
        else:
            street.cache.kill()
            for file in (street.cache.folder / "appendonlydir").iterdir():
                file.unlink()
            street.cache.restart()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()
        for worker in street.workers:  # nor does one that knows no more than Redis does
            worker.restart()
        await crowd.go_on(0.5)


@pytest.mark.parametrize("how", ["killed", "restarted"])
async def test_database_restarted_in_the_middle_of_rotations(street: Street, how: str) -> None:
    """PostgreSQL goes while guests are being refreshed: 503, never a wrong yes; then every one of them goes on."""
    async with visited(street, each=5) as crowd:
        going_on = asyncio.create_task(crowd.go_on(4.0))
        await asyncio.sleep(0.7)
        if how == "killed":
            street.database.kill()
            await asyncio.sleep(1.0)
        street.database.restart()
        await going_on
        await crowd.sign_out_one()
    statuses = {note.status for guest in crowd.staying for note in guest.notes}
    assert statuses <= {200, 503}
    assert {note.status for guest in crowd.staying for note in guest.notes if note.what == "look"} >= {200}


async def test_database_that_hangs_is_an_outage_with_an_end(street: Street) -> None:
    """SIGSTOP: what needs the database is a 503 within two seconds, what does not goes on; then all is as before."""
    async with visited(street) as crowd:
        street.database.pause()
        try:
            await crowd.go_on(5.0)
        finally:
            street.database.resume()
        await street.well()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()
    looked = [
        note.status for guest in crowd.staying for note in guest.notes if note.what == "look" and guest.door != "web"
    ]
    assert looked.count(200) > len(looked) / 2, "a check with a token needs no database"


async def test_database_connections_cut_one_by_one(street: Street) -> None:
    """kill -9 of one backend cuts all connections; the next question opens a new one, and nobody notices more."""
    async with visited(street) as crowd:
        going_on = asyncio.create_task(crowd.go_on(3.0))
        for _ in range(3):
            await asyncio.sleep(0.6)
            admin = await asyncpg.connect(street.database.url)
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            await admin.close()
        await going_on


async def test_database_locks_exhaust_the_pool_and_let_go(street: Street) -> None:
    """Somebody holds the rows of all sessions: who needs them gets a 503 in time, and all is well when he lets go."""
    async with visited(street) as crowd:
        admin = await asyncpg.connect(street.database.url)
        async with admin.transaction():
            await admin.execute("SELECT id FROM session FOR UPDATE")
            await crowd.go_on(5.0)
        await admin.close()
        await street.well()
        await crowd.go_on(0.5)
        await crowd.sign_out_one()
    renewed = [note.status for guest in crowd.staying for note in guest.notes if note.what == "renew"]
    assert 503 in renewed


async def test_database_without_a_free_connection_is_an_outage_with_an_end(street: Street) -> None:
    """Other programs have taken every connection: new ones are refused, the workers' own serve, and come back after."""
    async with visited(street) as crowd, AsyncExitStack() as others:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await _take_every_connection(street, others)
        await crowd.go_on(2.0)
        await others.aclose()
        await street.well()
        await crowd.sign_out_one()


async def _take_every_connection(street: Street, others: AsyncExitStack) -> None:
    for _ in range(200):
        others.push_async_callback((await asyncpg.connect(street.database.url)).close)
