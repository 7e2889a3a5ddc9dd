"""How signing keys follow one another: next -> current -> previous -> gone, and nobody is signed out by it.

  next      published before it signs, for as long as anybody may keep an older JWK Set, plus skew
  current   the one that signs
  previous  verifies what it has signed, for the life of an access token plus skew; then it is deleted

Each worker looks at the table once a second, takes over what changed, and takes the step that is due. Two never take
the same one: the unique indexes and conditional statements let the second find its step taken. A revoked key is gone
from every worker within that second, with all that was verified by it; refresh tokens are not signed, so clients
refresh and go on. While the database is away a worker keeps the keys it has.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum

import structlog
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import audit, background, signing_keys
from .clock import MINUTE, SECOND, Clock
from .db import Database
from .errors import NotFound, Unavailable
from .pool import PATIENCE
from .secrets import CannotUnwrap, RootSecrets
from .settings import Settings
from .signing_keys import KeyRing
from .tables import SigningKey

JWKS_MAX_AGE = 600  # seconds a verifier may keep the keys
SKEW = 5 * MINUTE
PUBLISHED_FIRST = JWKS_MAX_AGE * SECOND + SKEW  # milliseconds a key is published before it signs
_EVERY = 1.0  # seconds
_AT_MOST_EVERY = 0.2  # seconds

log = structlog.get_logger()


class Step(Enum):
    """What is due."""

    PUBLISH = "publish"
    PROMOTE = "promote"
    RETIRE = "retire"


def due(settings: Settings, found: Sequence[SigningKey], now: int) -> Step | None:
    """The step that is due, if any. Pure."""
    since = {row.state: row.since for row in found}
    if "next" in since:
        if now - since["next"] >= PUBLISHED_FIRST:
            return Step.PROMOTE
    elif now - since["current"] >= settings.key_ttl * SECOND - PUBLISHED_FIRST:
        return Step.PUBLISH
    if any(_is_spent(settings, row, now) for row in found):
        return Step.RETIRE
    return None


def _is_spent(settings: Settings, row: SigningKey, now: int) -> bool:
    return row.state == "previous" and now - row.since >= settings.access_ttl * SECOND + SKEW


async def publish(db: Database, roots: RootSecrets, now: int) -> None:
    """Make the next key; nothing happens when there is one already."""
    async with db.writing() as session:
        if "next" in await _locked(session):
            return
        row = signing_keys.make(roots, "next", now)
        session.add(row)
        audit.record(session, now, "key.published", kid=row.kid)
        with suppress(IntegrityError):
            await session.commit()


async def promote(db: Database, now: int) -> None:
    """The next key signs from now on, the current one verifies only. Nothing happens without a next key."""
    async with db.writing() as session:
        if (successor := (await _locked(session)).get("next")) is None:
            return
        await _set_state(session, "current", "previous", now)
        await _set_state(session, "next", "current", now)
        audit.record(session, now, "key.promoted", kid=successor.kid)
        await session.commit()


async def retire(db: Database, settings: Settings, now: int) -> None:
    """Delete the keys whose last access token has expired."""
    spent = [row.kid for row in await signing_keys.rows(db) if _is_spent(settings, row, now)]
    async with db.writing() as session:
        for kid in spent:
            gone = await session.exec(delete(SigningKey).where(col(SigningKey.kid) == kid))
            if gone.rowcount:
                audit.record(session, now, "key.retired", kid=kid)
        await session.commit()


async def revoke(db: Database, roots: RootSecrets, kid: str, now: int) -> None:
    """A key has leaked: it is gone at once, and another one signs if it was the current one. Raises NotFound."""
    async with db.writing() as session:
        states = {row.kid: row.state for row in (await _locked(session)).values()}
        gone = await session.exec(delete(SigningKey).where(col(SigningKey.kid) == kid))
        if not gone.rowcount:
            raise NotFound
        if states.get(kid) == "current" and not await _set_state(session, "next", "current", now):
            session.add(signing_keys.make(roots, "current", now))
        audit.record(session, now, "key.revoked", kid=kid)
        await session.commit()


async def _locked(session: AsyncSession) -> dict[str, SigningKey]:
    """The keys by state (one of the previous ones), locked in one order: who does the same waits, and looks anew."""
    found = await session.exec(select(SigningKey).order_by(col(SigningKey.kid)).with_for_update())
    return {row.state: row for row in found}


async def _set_state(session: AsyncSession, old: str, new: str, now: int) -> int:
    change = update(SigningKey).where(col(SigningKey.state) == old).values(state=new, since=now)
    return (await session.exec(change)).rowcount


class KeyRotation:
    """One worker's part in it."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        db: Database,
        roots: RootSecrets,
        ring: KeyRing,
        forget: Callable[[], None],
    ) -> None:
        """`forget` drops everything that was verified by a key which is gone."""
        self._settings, self._clock, self._db, self._roots = settings, clock, db, roots
        self._ring, self._forget = ring, forget
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked = float("-inf")  # monotonic seconds

    def start(self) -> None:
        """Look once a second from now on."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            await background.stop(self._task)

    async def look(self) -> None:
        """Hold the keys that the database holds, and take the step that is due. Raises Unavailable."""
        async with self._looking:
            await self._look()

    async def look_for(self, kid: str) -> None:
        """An unknown key, which another worker may have begun to sign with a moment ago: look now rather than within
        the second. But not more often, whoever asks: who comes too early waits, and one look answers all who have."""
        asked = asyncio.get_running_loop().time()
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(PATIENCE), self._looking:
                if kid not in self._ring.public and self._looked <= asked:
                    await asyncio.sleep(self._looked + _AT_MOST_EVERY - asyncio.get_running_loop().time())
                    await self._look()

    async def _look(self) -> None:
        self._looked = asyncio.get_running_loop().time()
        found = await signing_keys.rows(self._db)
        self._take(found)
        if step := due(self._settings, found, self._clock.now()):
            await self._do(step)
            self._take(await signing_keys.rows(self._db))

    def _take(self, found: Sequence[SigningKey]) -> None:
        if self._ring.take(found):
            self._forget()
        try:
            self._ring.sign_with(self._roots, next(row for row in found if row.state == "current"))
        except CannotUnwrap:
            # Another worker has a newer root secret. What we sign with still verifies for an access token's life; once
            # revoked it does not, here as everywhere.
            log.error("keys.cannot_unwrap", advice="list the newest SECRET_KEY on every worker, then restart this one")

    async def _do(self, step: Step) -> None:
        now = self._clock.now()
        match step:
            case Step.PUBLISH:
                await publish(self._db, self._roots, now)
            case Step.PROMOTE:
                await promote(self._db, now)
            case Step.RETIRE:
                await retire(self._db, self._settings, now)
        log.info("keys.step", step=step.value)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come
                log.warning("keys.look_failed", error=background.reason(error))
