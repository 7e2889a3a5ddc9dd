"""What each command begins with: settings that can be used, stores that answer."""

import asyncio
from collections.abc import Awaitable, Callable

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


def at_desk(work: Callable[[Desk], Awaitable[None]]) -> None:
    """Do this with everything open that a worker holds."""
    settings = load()
    logs.configure(settings.log_level)

    async def run() -> None:
        await check_stores(settings)
        async with desks.opened(settings, Clock()) as desk:
            await work(desk)

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
        finally:
            await db.close()

    asyncio.run(run())
