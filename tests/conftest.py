"""What every test stands on: a real application on real stores, and a clock that moves."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from httpx2 import _config as httpx2_config
from redis.asyncio import Redis

from coatcheck import db, migrate, pool, redis_client, settings
from coatcheck.tables import SQLModel
from tests.house import SECRET, House, MovableClock, opened
from tests.servers import Server, in_memory, postgres, redis

Stores = dict[str, Any]
OpenHouse = Callable[..., AbstractAsyncContextManager[House]]

# A client that gives up after five seconds, as they do by default, tells how busy the machine is.
httpx2_config.DEFAULT_TIMEOUT_CONFIG.read = 60.0

# TRUNCATE makes new files for each table and index, and takes ten times as long.
_EMPTY = "; ".join(f"DELETE FROM {table.name}" for table in reversed(SQLModel.metadata.sorted_tables))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to look for what happens once in a thousand times."""
    parser.addoption("--cancels", type=int, default=600, help="callers in the tests of cancelled requests")
    parser.addoption("--asked", type=int, default=250, help="tries a side in the tests of what time tells")


@pytest.fixture
def cancels(request: pytest.FixtureRequest) -> int:
    """How many callers a test of cancelled requests makes."""
    return int(request.config.getoption("--cancels"))


@pytest.fixture
def asked(request: pytest.FixtureRequest) -> int:
    """How often a test of what time tells asks, a side."""
    return int(request.config.getoption("--asked"))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A real Redis for this test process."""
    with redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A real PostgreSQL for this test process, not yet migrated."""
    with postgres() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_postgres(postgres_server: Server) -> str:
    """URL of a PostgreSQL with our tables."""
    await migrate.upgrade(settings.load({}, database_url=postgres_server.url, secret_key=[SECRET]))
    return postgres_server.url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose database has our tables, to copy."""
    folder = tmp_path_factory.mktemp("sqlite")
    await migrate.upgrade(settings.load({}, data_dir=folder, secret_key=[SECRET]))
    return folder


@pytest_asyncio.fixture
async def servers(migrated_postgres: str, redis_server: Server, tmp_path: Path) -> Stores:
    """Empty PostgreSQL and Redis."""
    connection = await asyncpg.connect(migrated_postgres)
    await connection.execute(_EMPTY)
    await connection.close()
    async with Redis.from_url(redis_server.url) as client:
        await client.flushall()
    return {"database_url": migrated_postgres, "redis_url": redis_server.url, "data_dir": tmp_path / "data"}


@pytest.fixture
def embedded(migrated_sqlite: Path) -> Iterator[Stores]:
    """An empty SQLite database of this test's own, and no Redis."""
    with in_memory() as folder:
        shutil.copytree(migrated_sqlite, folder / "data")
        yield {"data_dir": folder / "data"}


@pytest.fixture(params=["embedded", "servers"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Both kinds of store, one after the other."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def clock() -> MovableClock:
    """The test's clock; all its houses share it."""
    return MovableClock()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that nobody hurts are given time: that a busy test machine pauses is no outage. Outages have their own."""
    for module in (db, migrate, pool, redis_client):
        monkeypatch.setattr(module, "PATIENCE", 10.0)
    monkeypatch.setattr(redis_client, "_AT_MOST", 10.0)


@pytest.fixture
def open_house(stores: Stores, clock: MovableClock, patient: None) -> OpenHouse:
    """Opens an application on this test's stores, with settings of choice."""

    @asynccontextmanager
    async def opening(**chosen: Any) -> AsyncIterator[House]:
        async with opened(clock, **(stores | chosen)) as house:
            yield house

    return opening


@pytest_asyncio.fixture
async def house(open_house: OpenHouse) -> AsyncIterator[House]:
    """An application with the settings everybody starts with, on SQLite and on PostgreSQL with Redis."""
    async with open_house() as opened_house:
        yield opened_house


@pytest_asyncio.fixture
async def two_workers(servers: Stores, clock: MovableClock, patient: None) -> AsyncIterator[tuple[House, House]]:
    """Two applications on one PostgreSQL and one Redis, as two worker processes would be."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(opened(clock, **servers))
        second = await stack.enter_async_context(opened(clock, **servers))
        yield first, second
