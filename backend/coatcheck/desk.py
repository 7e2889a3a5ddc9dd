"""The desk: everything one running worker holds. Journeys take it as their first argument; nothing is global."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from . import db, signing_keys
from .clock import Clock
from .passwords import Hasher
from .presence import Presence
from .redis_client import RedisClient
from .revocation import Feed
from .revocation_lists import RevocationLists
from .revocation_streams import RevocationStreams
from .secrets import RootSecrets
from .settings import Settings
from .signing_keys import KeyRing
from .throttle import Throttle


@dataclass(slots=True)
class Desk:
    """One worker's open connections, keys and memory."""

    settings: Settings
    clock: Clock
    roots: RootSecrets
    db: db.Database
    redis: RedisClient | None
    keys: KeyRing
    feed: Feed
    lists: RevocationLists
    streams: RevocationStreams
    presence: Presence
    throttle: Throttle
    hasher: Hasher
    verified: dict[bytes, object] = field(default_factory=dict)  # callers.py: credentials checked already
    refused: dict[bytes, None] = field(default_factory=dict)  # sessions.py: dead ones that were refused already


@asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Desk]:
    """Open everything, in the order in which it is needed; close it in reverse. Raises Unavailable, SettingsError."""
    roots = RootSecrets(settings.secret_key)
    database = await db.connect(settings)
    redis = RedisClient(settings.redis_url) if settings.redis_url else None
    hasher = Hasher(settings)
    feed = Feed(settings, clock, database, redis)
    lists = RevocationLists(settings, clock, feed)
    streams = RevocationStreams(lists)
    presence = Presence(settings, clock, database)
    try:
        keys = await signing_keys.load(database, roots, clock)
        await feed.start()
        presence.start()
        throttle = Throttle(settings, clock, roots, redis)
        yield Desk(settings, clock, roots, database, redis, keys, feed, lists, streams, presence, throttle, hasher)
    finally:
        await streams.stop()
        await feed.stop()
        await presence.stop()
        hasher.close()
        if redis:
            await redis.close()
        await database.close()
