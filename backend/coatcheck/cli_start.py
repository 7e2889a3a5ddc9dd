"""What each command begins with: settings that can be used, stores that answer."""

import asyncio
from collections.abc import Awaitable, Callable
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
    db = await databases.connect(settings)
    try:
        await signing_keys.load(db, RootSecrets(settings.secret_key), Clock())
    finally:
        await db.close()


def _name(settings: Settings) -> None:
    """Say which database this is about: in a shell without its COATCHECK_ENV_FILE it is another one than one thinks."""
    parts = urlsplit(settings.database_url or "")
    place = f"SQLite in {settings.data_dir}" if settings.embedded else f"PostgreSQL, {parts.hostname}{parts.path}"
    typer.echo(f"Database: {place}", err=True)


def at_desk(work: Callable[[Desk], Awaitable[None]]) -> None:
    """Do this with everything open that a worker holds."""
    settings = load()
    logs.configure(settings.log_level)

    async def run() -> None:
        await check_stores(settings)
        async with desks.opened(settings, Clock()) as desk:
            await work(desk)
        _name(settings)

    asyncio.run(run())


def at_database(work: Callable[[Database, RootSecrets, Settings], Awaitable[None]]) -> None:
    """Do this with the database alone."""
    settings = load()
    logs.configure(settings.log_level)

    async def run() -> None:
        await check_stores(settings)
        db = await databases.connect(settings)
        try:
            await work(db, RootSecrets(settings.secret_key), settings)
            _name(settings)
        finally:
            await db.close()

    asyncio.run(run())
