"""The database: the only truth. PostgreSQL (asyncpg) and SQLite (aiosqlite), each reached in two ways.

`reading()` and `writing()` give an SQLModel session for everything ordinary; the journey commits, once, itself.
`hot` talks to the driver directly, for refresh, session look-ups and acknowledgements: the ORM costs four to five times
the driver's CPU there. Its SQL is written once, with `$1` parameters, for both.
A database that can't be reached raises Unavailable (503): at once when it refuses, after 1.5 s a statement when it
hangs. Fails closed.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import lru_cache
from re import sub
from typing import Any, Protocol, cast

import aiosqlite
import asyncpg
from sqlalchemy import event
from sqlalchemy import exc as sa_exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from .errors import Unavailable
from .pool import PATIENCE, PLANNING, Pool
from .secrets import RootSecrets
from .settings import Settings

Row = Mapping[str, Any]
Turn = Callable[[], AbstractAsyncContextManager[None]]

_OUTAGES = (
    OSError,  # TimeoutError is one
    sqlite3.OperationalError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # used just between the server's last word and its hanging up
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,  # deadlocks among them
    asyncpg.ReadOnlySQLTransactionError,  # a failover is under way
    sa_exc.OperationalError,
    sa_exc.InterfaceError,
    sa_exc.TimeoutError,
)

REFUSALS = (asyncpg.PostgresError, sa_exc.DBAPIError)  # no outage, but nothing a restart could mend


def drivers_own(error: BaseException) -> BaseException:
    """What the driver raised, where SQLAlchemy has wrapped it."""
    return getattr(getattr(error, "orig", None), "__cause__", None) or error


def is_outage(error: BaseException) -> bool:
    """Whether this error means that the database can't answer, rather than that we asked wrongly."""
    wrapped = isinstance(error, sa_exc.DBAPIError) and (
        error.connection_invalidated or isinstance(error.orig, _OUTAGES)
    )
    return wrapped or isinstance(error, _OUTAGES) or isinstance(drivers_own(error), _OUTAGES)


@contextmanager
def outage_is_503() -> Iterator[None]:
    """An outage inside becomes Unavailable."""
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise Unavailable from error
        raise


class Hot(Protocol):
    """The raw driver. Each call is one transaction of its own, durable when it returns."""

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        """All rows. Raises Unavailable."""

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        """The first row. Raises Unavailable."""

    async def run_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """One statement for many parameter rows, in their order, all or nothing. Raises Unavailable."""

    async def close(self) -> None:
        """Give the connections back."""


class Database:
    """Both ways in. Made in the application's lifespan, never at import."""

    def __init__(self, engine: AsyncEngine, hot: Hot, roots: RootSecrets, turn: Turn = nullcontext) -> None:
        self.engine, self.hot, self._turn = engine, hot, turn
        self._info = {"roots": roots}  # audit.py seals with them what a session adds
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that will not write. Raises Unavailable."""
        async with self._session(self.engine) as db:
            yield db

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session that will write; leaving without `commit()` undoes everything. Raises Unavailable."""
        with outage_is_503():
            async with self._turn(), self._session(self._writer) as db:
                yield db

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        with outage_is_503():
            async with AsyncSession(engine, expire_on_commit=False, info=self._info) as db:
                yield db

    async def close(self) -> None:
        """Close every connection."""
        await self.hot.close()
        await self.engine.dispose()


async def connect(settings: Settings) -> Database:
    """Open the configured database. Raises Unavailable when it does not answer."""
    roots = RootSecrets(settings.secret_key)
    with outage_is_503():
        if settings.database_url is None:
            line = _Line()
            embedded = await _SqliteHot.connect(sqlite_path(settings), line.turn)
            return Database(make_engine(settings, PATIENCE), embedded, roots, line.turn)
        hot = await _PostgresHot.connect(settings.database_url, settings.database_pool)
        return Database(make_engine(settings, PATIENCE), hot, roots)


def sqlite_path(settings: Settings) -> str:
    """The embedded database's file."""
    return str(settings.data_dir / "coatcheck.sqlite3")


def make_engine(settings: Settings, patience: float | None) -> AsyncEngine:
    """The SQLAlchemy engine, for ORM sessions and migrations; `patience` in seconds for one statement.

    What a statement was given is hidden: an unexpected error is logged, and there are addresses and hashes among it.
    """
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_path(settings)}", hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _sqlite_connected)
        event.listen(engine.sync_engine, "begin", _sqlite_begin)
        return engine

    async def creator() -> asyncpg.Connection:
        return await asyncpg.connect(
            settings.database_url, timeout=PATIENCE, command_timeout=patience, server_settings=PLANNING
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=PATIENCE,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _pragmas() -> tuple[str, ...]:
    return "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {PATIENCE * 1000:.0f}"


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    cursor = connection.cursor()
    for pragma in _pragmas():
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Any) -> None:
    # A writer takes the lock at once: read-then-write would otherwise fail half-way when another writer was quicker.
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


class _PostgresHot:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str, most: int) -> "_PostgresHot":
        hot = cls(Pool(url, most))
        await hot.fetch("SELECT 1")
        return hot

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        with outage_is_503():
            return cast("Sequence[Row]", await self._pool.run(asyncpg.Connection.fetch, sql, *args))

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        with outage_is_503():
            return cast("Row | None", await self._pool.run(asyncpg.Connection.fetchrow, sql, *args))

    async def run_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with outage_is_503():
            await self._pool.run(asyncpg.Connection.executemany, sql, rows)

    async def close(self) -> None:
        await self._pool.close()


class _Line:
    """SQLite lets one write at a time, and who waits inside it tries again by chance: of fifty some lose for seconds.
    Ours stand in line before it, and hold no connection meanwhile."""

    def __init__(self) -> None:
        self._front = asyncio.Lock()  # in the order of asking

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """To write, alone in this process. Raises TimeoutError after `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):
            await self._front.acquire()
        try:
            yield
        finally:
            self._front.release()


class _SqliteHot:
    def __init__(self, single: aiosqlite.Connection, many: aiosqlite.Connection, turn: Turn) -> None:
        self._single, self._many, self._turn = single, many, turn

    @classmethod
    async def connect(cls, path: str, turn: Turn) -> "_SqliteHot":
        return cls(await cls._open(path), await cls._open(path), turn)

    @staticmethod
    async def _open(path: str) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        for pragma in _pragmas():
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        return connection

    async def fetch(self, sql: str, *args: object) -> Sequence[Row]:
        with outage_is_503():
            async with self._turn() if _writes(sql) else nullcontext():
                return list(await self._single.execute_fetchall(_numbered(sql), args))  # type: ignore[arg-type]

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def run_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        # On a connection of its own: a statement of somebody else's must not slip into this transaction.
        with outage_is_503():
            async with self._turn():
                try:
                    await self._many.execute("BEGIN IMMEDIATE")
                    await self._many.executemany(_numbered(sql), rows)
                    await self._many.commit()
                except BaseException:
                    # Of a cancelled caller the thread still does what it was told, the BEGIN even: all of it is undone.
                    await self._many.rollback()
                    raise

    async def close(self) -> None:
        await self._single.close()
        await self._many.close()


@lru_cache(256)
def _writes(sql: str) -> bool:
    return sql.lstrip().startswith(("INSERT", "UPDATE", "DELETE"))


@lru_cache(256)
def _numbered(sql: str) -> str:
    return sub(r"\$(\d+)", r"?\1", sql)
