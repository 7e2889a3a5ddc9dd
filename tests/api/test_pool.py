"""The lending pool on a real PostgreSQL: whatever happens to a caller, nobody gets an answer that is another's."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from coatcheck import pool as pools
from coatcheck.pool import Pool
from tests.servers import postgres

MOST = 3
_SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
_POOLED = "FROM pg_stat_activity WHERE application_name = 'pooled'"
_BACKENDS = f"SELECT count(*) {_POOLED}"
_HELD = "SELECT pg_sleep(60)"
PATIENCE = 20.0  # seconds


@pytest_asyncio.fixture
async def pool(migrated_postgres: str) -> AsyncIterator[Pool]:
    """A pool of three, whose connections can be counted by their name."""
    opened = Pool(f"{migrated_postgres}?application_name=pooled", MOST)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def onlooker(migrated_postgres: str) -> AsyncIterator[asyncpg.Connection]:
    """Sees what the server does."""
    connection = await asyncpg.connect(migrated_postgres)
    yield connection
    await connection.close()


async def _one(pool: Pool, number: int) -> int:
    return await pool.run(asyncpg.Connection.fetchval, "SELECT $1::int", number)


async def _counted(onlooker: asyncpg.Connection, sql: str, wanted: int) -> None:
    """Wait until the server counts so many."""
    deadline = time.monotonic() + PATIENCE
    while (found := await onlooker.fetchval(sql)) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        await asyncio.sleep(0.01)


async def _hold(pool: Pool, number: int) -> list["asyncio.Task[str]"]:
    """So many callers with a statement that does not end."""
    return [asyncio.create_task(pool.run(asyncpg.Connection.execute, _HELD)) for _ in range(number)]


async def _let_go(tasks: list["asyncio.Task[str]"] | list["asyncio.Task[int]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_pool_answers_belong_to_their_callers_whoever_is_cancelled(
    pool: Pool, onlooker: asyncpg.Connection, cancels: int
) -> None:
    """Callers cancelled at random moments (waiting, connecting, in a statement) take no answer and no place away."""
    chance = random.Random(5)
    loop, right, stopped = asyncio.get_running_loop(), 0, 0

    async def caller(number: int) -> None:
        nonlocal right, stopped
        task = asyncio.create_task(_one(pool, number))
        if chance.random() < 0.7:
            loop.call_later(chance.random() * 0.004, task.cancel)
        try:
            assert await task == number
            right += 1
        except asyncio.CancelledError:
            stopped += 1

    for start in range(0, cancels, 12):
        await asyncio.gather(*(caller(number) for number in range(start, start + 12)))
    assert right > 0
    assert stopped > 0
    held = await _hold(pool, MOST)
    await _counted(onlooker, _SLEEPING, MOST)  # no place was lost
    assert await onlooker.fetchval(_BACKENDS) == MOST  # and none was made
    await _let_go(held)


async def test_pool_never_opens_more_than_its_size(pool: Pool, onlooker: asyncpg.Connection) -> None:
    """Twenty callers share three connections, and while three are closing nobody opens a fourth."""
    assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))
    for _ in range(5):
        held = await _hold(pool, MOST)
        await _counted(onlooker, _SLEEPING, MOST)
        for task in held:
            task.cancel()
        assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))
        assert await onlooker.fetchval(_BACKENDS) <= MOST
        await asyncio.wait(held)


async def test_pool_stops_the_statement_of_a_cancelled_caller(pool: Pool, onlooker: asyncpg.Connection) -> None:
    """The server does not go on with what nobody waits for."""
    held = await _hold(pool, MOST)
    await _counted(onlooker, _SLEEPING, MOST)
    await _let_go(held)
    await _counted(onlooker, _SLEEPING, 0)


async def test_pool_lends_no_connection_again_whose_caller_was_cancelled(
    pool: Pool, onlooker: asyncpg.Connection
) -> None:
    """What is still on its way there reaches nobody: the next callers have connections of their own."""
    held = await _hold(pool, MOST)
    await _counted(onlooker, _SLEEPING, MOST)
    before = {row["pid"] for row in await onlooker.fetch(f"SELECT pid {_POOLED}")}
    await _let_go(held)
    # Asked of the connections themselves: the server may still list those that have just been closed.
    asking = (pool.run(asyncpg.Connection.fetchval, "SELECT pg_backend_pid()") for _ in range(20))
    used = set(await asyncio.gather(*asking))
    assert len(before) == MOST
    assert not before & used


async def test_pool_waiting_has_an_end(
    pool: Pool, onlooker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds all connections lent is told so after a while, and his place in line is gone with him."""
    await asyncio.gather(*(_one(pool, number) for number in range(MOST)))
    held = await _hold(pool, MOST)
    await _counted(onlooker, _SLEEPING, MOST)
    monkeypatch.setattr(pools, "PATIENCE", 0.05)
    with pytest.raises(TimeoutError):
        await _one(pool, 1)
    monkeypatch.undo()
    await _let_go(held)
    assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))


async def test_pool_counts_the_wait_for_a_connection_towards_the_statement(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited in line for most of his patience has only the rest of it for his statement: one end to both."""
    monkeypatch.setattr(pools, "PATIENCE", 3.0)
    before = [asyncio.create_task(pool.run(asyncpg.Connection.execute, "SELECT pg_sleep(2)")) for _ in range(MOST)]
    await asyncio.sleep(0)  # they are first
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await pool.run(asyncpg.Connection.execute, _HELD)
    assert time.monotonic() - began < 4.5  # each on its own: five seconds
    await asyncio.gather(*before)


async def test_pool_hands_on_what_came_too_late(pool: Pool) -> None:
    """A caller who gives up at the very moment a connection is handed to him does not take it along."""
    for _ in range(50):
        first = [asyncio.create_task(_one(pool, number)) for number in range(MOST)]
        late = [asyncio.create_task(_one(pool, number)) for number in range(MOST)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        await _let_go(late)
        await asyncio.wait(first)
    assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))


async def test_pool_keeps_a_connection_that_was_told_an_error(pool: Pool, onlooker: asyncpg.Connection) -> None:
    """A statement that the server refuses costs no connection."""
    process = await pool.run(asyncpg.Connection.fetchval, "SELECT pg_backend_pid()")
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await pool.run(asyncpg.Connection.fetchval, "SELECT 1 / $1::int", 0)
    assert await pool.run(asyncpg.Connection.fetchval, "SELECT pg_backend_pid()") == process


async def test_pool_opens_new_connections_when_the_server_has_closed_them(
    pool: Pool, onlooker: asyncpg.Connection
) -> None:
    """Connections ended by the server, idle or lent, are replaced once the end is heard of."""
    await asyncio.gather(*(_one(pool, number) for number in range(MOST)))
    held = await _hold(pool, 1)
    await _counted(onlooker, _SLEEPING, 1)
    await onlooker.execute(f"SELECT pg_terminate_backend(pid) {_POOLED}")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await held[0]
    for _ in range(MOST):  # a connection may be lent just between the server's last word and its hanging up
        await asyncio.gather(*(_one(pool, number) for number in range(MOST)), return_exceptions=True)
    assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))


async def test_pool_closes_what_has_been_idle_for_long(
    pool: Pool, onlooker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall forgets idle connections; the pool lets them go before."""
    held = await _hold(pool, MOST)
    await _counted(onlooker, _BACKENDS, MOST)
    monkeypatch.setattr(pools, "_LONGEST_IDLE", 0.0)
    await _let_go(held)
    await asyncio.gather(*(_one(pool, number) for number in range(MOST)))
    for _ in range(MOST):
        await _one(pool, 1)
    await _counted(onlooker, _BACKENDS, 0)


async def test_pool_outlives_its_server() -> None:
    """While there is no server each caller hears so at once, ever so many of them; then it goes on."""
    with postgres() as server:
        pool = Pool(server.url, MOST)
        assert await _one(pool, 1) == 1
        server.stop()
        answers = await asyncio.gather(*(_one(pool, number) for number in range(20)), return_exceptions=True)
        assert all(isinstance(answer, OSError | asyncpg.PostgresError) for answer in answers), answers
        server.restart()
        assert await asyncio.gather(*(_one(pool, number) for number in range(20))) == list(range(20))
        await pool.close()
