"""What each command begins with: settings that can be used, stores that answer, the time that all workers go by."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import typer

from . import db as databases
from . import desk as desks
from . import logs, migrate, signing_keys
from . import settings as configuration
from .clock import Clock
from .db import Database
from .desk import Desk
from .secrets import RootSecrets
from .settings import Settings, SettingsError
from .shared_clock import SharedClock


@dataclass(frozen=True, slots=True)
class Opened:
    """The database, and what goes with it. `clock` is the one that all workers go by."""

    settings: Settings
    roots: RootSecrets
    db: Database
    clock: Clock


def load() -> Settings:
    """The settings of this process. Raises SettingsError."""
    settings = configuration.load()
    configuration.check(settings)
    return settings


async def check_stores(settings: Settings) -> None:
    """Find out before any worker starts what would stop each of them. Raises SettingsError, Unavailable."""
    if settings.embedded:
        await migrate.upgrade(settings)
    elif not await migrate.is_current(settings):
        raise SettingsError("The database is not migrated; run: coatcheck migrate")
    async with opened(settings) as at:
        await signing_keys.load(at.db, at.roots, at.clock)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """The database alone. Raises Unavailable."""
    db, clock = await databases.connect(settings), Clock()
    shared_clock = SharedClock(settings, clock, db)
    try:
        await shared_clock.start()
        yield Opened(settings, RootSecrets(settings.secret_key), db, clock)
    finally:
        await shared_clock.stop()
        await db.close()


def name_database(settings: Settings) -> None:
    """Say which database this is about: in a shell without its COATCHECK_ENV_FILE it is another one than one thinks."""
    parts = urlsplit(settings.database_url or "")
    place = f"SQLite in {settings.data_dir}" if settings.embedded else f"PostgreSQL, {parts.hostname}{parts.path}"
    typer.echo(f"Database: {place}", err=True)


def at_desk(work: Callable[[Desk], Awaitable[None]]) -> None:
    """Do this with everything open that a worker holds."""
    settings = load()
    logs.configure("warning")  # what was done is told in words

    async def run() -> None:
        await check_stores(settings)
        async with desks.opened(settings, Clock()) as desk:
            await work(desk)
        name_database(settings)

    asyncio.run(run())


def at_database(work: Callable[[Opened], Awaitable[None]]) -> None:
    """Do this with the database alone."""
    settings = load()
    logs.configure("warning")  # what was done is told in words

    async def run() -> None:
        await check_stores(settings)
        async with opened(settings) as at:
            await work(at)
            name_database(settings)

    asyncio.run(run())
