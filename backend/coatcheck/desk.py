"""The desk: everything one running worker holds. Journeys take it as their first argument; nothing is global."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import db, signing_keys
from .audit_chain import Linker
from .breaches import Breaches
from .cleanup import Cleanup
from .clock import Clock
from .key_rotation import KeyRotation
from .mail_delivery import Postman
from .passwords import Hasher
from .presence import Presence
from .revocation import Feed
from .revocation_lists import RevocationLists
from .revocation_streams import RevocationStreams
from .secrets import RootSecrets
from .settings import Settings
from .shared_clock import SharedClock
from .signing_keys import KeyRing
from .throttle import Throttle
from .verified_credentials import VerifiedCredentials

if TYPE_CHECKING:
    from .redis_client import RedisClient


@dataclass(slots=True)
class Desk:
    """One worker's open connections, keys and memory."""

    settings: Settings
    clock: Clock
    roots: RootSecrets
    db: db.Database
    redis: "RedisClient | None"
    keys: KeyRing
    rotation: KeyRotation
    feed: Feed
    lists: RevocationLists
    streams: RevocationStreams
    presence: Presence
    postman: Postman
    throttle: Throttle
    hasher: Hasher
    breaches: Breaches
    linker: Linker
    cleanup: Cleanup
    verified_tokens: VerifiedCredentials
    verified_cookies: VerifiedCredentials
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # what happened how often, for metrics.py
    refused: dict[bytes, None] = field(default_factory=dict)  # sessions.py: dead ones that were refused already

    def end_streams(self) -> None:
        """The server stops: what would never end by itself ends now."""
        self.feed.events.close()
        self.streams.close()


@asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Desk]:
    """Open everything, in the order in which it is needed; close it in reverse. Raises Unavailable, SettingsError."""
    roots = RootSecrets(settings.secret_key)
    async with AsyncExitStack() as closing:
        database = await db.connect(settings)
        closing.push_async_callback(database.close)
        redis = _redis(settings.redis_url) if settings.redis_url else None
        if redis:
            closing.push_async_callback(redis.close)
        hasher = Hasher(settings)
        closing.callback(hasher.close)
        breaches = Breaches(settings)
        closing.push_async_callback(breaches.close)
        verified_tokens = VerifiedCredentials()
        shared_clock = SharedClock(settings, clock, database)
        closing.push_async_callback(shared_clock.stop)
        await shared_clock.start()
        keys = await signing_keys.load(database, roots, clock)
        rotation = KeyRotation(settings, clock, database, roots, keys, forget=verified_tokens.clear)
        presence = Presence(settings, clock, database)
        postman = Postman(settings, clock, database, roots)
        feed = Feed(settings, clock, database, redis)
        lists = RevocationLists(settings, clock, feed)
        streams = RevocationStreams(lists)
        linker = Linker(roots, database)
        cleanup = Cleanup(settings, clock, database, roots, feed)
        for part in (linker, cleanup, rotation, presence, feed, streams, postman):  # each runs beside the requests
            closing.push_async_callback(part.stop)
        await feed.start()
        presence.start()
        rotation.start()
        postman.start()
        linker.start()
        cleanup.start()
        yield Desk(
            settings=settings,
            clock=clock,
            roots=roots,
            db=database,
            redis=redis,
            keys=keys,
            rotation=rotation,
            feed=feed,
            lists=lists,
            streams=streams,
            presence=presence,
            postman=postman,
            throttle=Throttle(settings, clock, roots, redis),
            hasher=hasher,
            breaches=breaches,
            linker=linker,
            cleanup=cleanup,
            verified_tokens=verified_tokens,
            verified_cookies=VerifiedCredentials(),
        )


def _redis(url: str) -> "RedisClient":
    from .redis_client import RedisClient  # noqa: PLC0415  # see redis_down.py

    return RedisClient(url)
