"""Clean-up: the app prunes its own tables, so that state does not grow (guarantee 7).

Once an hour one worker walks over sessions, devices and guesses in the order of their keys, a slice at a time:

  ran out      a session idle or old for two days is ended as `idle` or `expired`, at the moment it ran out. Until then
               it is refused all the same; two days, so that a clock that is a day ahead ends nothing
  ended        deleted after SESSION_RETENTION, but a device's last one only after DEVICE_RETENTION: so long the device
               is recognised, with the name the person gave it
  no session   a device without any is deleted, under its account's lock, which every sign-in holds as well
  closed       the emptied row of a closed account goes with its last session
  others       expired challenges, forgotten guesses at codes; and in the embedded database the audit log

Each slice is a transaction of its own, well within a statement's time. The row in `chore` says whose turn it is and how
far the walk has come; should two workers walk at once, nothing is lost: every condition stands in the statement itself.
"""

import asyncio

import structlog
from sqlalchemy import case, delete, update
from sqlmodel import col, select

from . import audit, audit_retention, background
from .clock import MINUTE, Clock
from .db import Database
from .errors import Conflict
from .revocation import Feed
from .secrets import RootSecrets
from .settings import Settings
from .tables import Account, Device, Session

LOOK_EVERY = 60.0  # seconds between two looks whether it is time
_EVERY = 60 * MINUTE
_DAY = 24 * 60 * MINUTE
_RAN_OUT = 2 * _DAY  # how long after its end a session is written down as ended
_FORGOTTEN = 30 * _DAY  # as factors/guesses.py forgets
_SLICE = 500  # rows looked at by one transaction
_PAUSE = 0.1  # seconds between two slices
_END = b"\xff" * 33  # behind every key

_CLAIM = """
INSERT INTO chore (name, next_at, place) VALUES ('cleanup', $1, '')
ON CONFLICT (name) DO UPDATE SET next_at = $1 WHERE chore.next_at <= $2 OR chore.next_at > $3 RETURNING place
"""
_KEEP = "UPDATE chore SET next_at = $1, place = $2 WHERE name = 'cleanup'"
_SLICE_END = "SELECT {key} AS key FROM {table} WHERE {key} > $1 ORDER BY {key} LIMIT 1 OFFSET {slice}"
_KEYS = {"session": "id", "device": "id", "guess": "key"}  # the tables that are walked
# $1 $2 the slice  $3 ended before, if the device has a newer one or the account is closed  $4 ended before, in any case
_PRUNE_ENDED = """
DELETE FROM session WHERE id > $1 AND id <= $2 AND ended_at < $3 AND (ended_at < $4
  OR EXISTS (SELECT 1 FROM session AS newer WHERE newer.device_id = session.device_id
    AND (newer.created_at > session.created_at OR (newer.created_at = session.created_at AND newer.id > session.id)))
  OR EXISTS (SELECT 1 FROM account WHERE account.id = session.account_id AND email LIKE 'closed %'))
RETURNING id
"""
_PRUNE_GUESSES = "DELETE FROM guess WHERE key > $1 AND key <= $2 AND last_at < $3"
_PRUNE_CLOSED = f"""
DELETE FROM account WHERE id IN (SELECT id FROM account WHERE disabled_at < $1 AND email LIKE 'closed %'
  AND NOT EXISTS (SELECT 1 FROM session WHERE session.account_id = account.id) LIMIT {_SLICE})
RETURNING id
"""  # noqa: S608  # our own constant
_PRUNE_CHALLENGES = f"""
DELETE FROM challenge WHERE key IN (SELECT key FROM challenge WHERE expires_at < $1 LIMIT {_SLICE}) RETURNING key
"""  # noqa: S608  # our own constant

log = structlog.get_logger()


class Cleanup:
    """One worker's share of the cleaning."""

    def __init__(self, settings: Settings, clock: Clock, db: Database, roots: RootSecrets, feed: Feed) -> None:
        self._settings, self._clock, self._db, self._roots, self._feed = settings, clock, db, roots, feed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look once a minute from now on whether it is time."""
        self._task = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        """Stop, between two slices or in one, which is then undone."""
        if self._task:
            await background.stop(self._task)

    async def turn(self) -> bool:
        """Clean up if it is time, and no other worker is at it; whether it was. Raises Unavailable."""
        now = self._clock.now()
        # A turn set by a clock far ahead of ours is not waited for.
        claimed = await self._db.hot.fetch_one(_CLAIM, now + _EVERY, now, now + 2 * _EVERY)
        if claimed is None:
            return False
        table, _, begun = (claimed["place"] or "session:").partition(":")
        tables = list(_KEYS)
        for name in tables[tables.index(table) :]:
            await self._walk(name, bytes.fromhex(begun))
            begun = ""
        await self._drain(_PRUNE_CLOSED, now - self._session_days())
        await self._drain(_PRUNE_CHALLENGES, now)
        if self._settings.embedded:
            await self._prune_audit()
        await self._db.hot.fetch(_KEEP, self._clock.now() + _EVERY, "")
        return True

    def _session_days(self) -> int:
        """How long ended sessions are kept: never less than somebody might still ask the feed's sweep for them."""
        return max(self._settings.session_retention * _DAY, self._feed.keep + _DAY)

    async def _walk(self, table: str, position: bytes) -> None:
        clean = {"session": self._clean_sessions, "device": self._clean_devices, "guess": self._clean_guesses}[table]
        find = _SLICE_END.format(table=table, key=_KEYS[table], slice=_SLICE - 1)
        while True:
            row = await self._db.hot.fetch_one(find, position)
            upto = row["key"] if row else _END
            await clean(position, upto)
            if row is None:
                return
            position = upto
            await self._db.hot.fetch(_KEEP, self._clock.now() + _EVERY, f"{table}:{position.hex()}")
            await asyncio.sleep(_PAUSE)

    async def _drain(self, statement: str, moment: int) -> None:
        while True:
            if len(await self._db.hot.fetch(statement, moment)) < _SLICE:
                return
            await asyncio.sleep(_PAUSE)

    async def _clean_sessions(self, after: bytes, upto: bytes) -> None:
        now = self._clock.now()
        await self._end_what_ran_out(after, upto, now)
        soon, late = self._session_days(), self._settings.device_retention * _DAY
        await self._db.hot.fetch(_PRUNE_ENDED, after, upto, now - soon, now - max(soon, late))

    async def _end_what_ran_out(self, after: bytes, upto: bytes, now: int) -> None:
        over = (
            (col(Session.id) > after) & (col(Session.id) <= upto),
            col(Session.ended_at).is_(None),
            col(Session.idle_expires_at) < now - _RAN_OUT,  # never later than expires_at
        )
        # Locked in the order of ids, like everywhere; who is being refreshed or ended right now waits for next time.
        locked = select(Session.id).where(*over).order_by(col(Session.id)).with_for_update(skip_locked=True)
        why = case((col(Session.idle_expires_at) >= col(Session.expires_at), "expired"), else_="idle")
        statement = (
            update(Session)
            .where(col(Session.id).in_(locked), *over)
            .values(ended_at=Session.idle_expires_at, end_reason=why)
            .returning(col(Session.id), col(Session.account_id), col(Session.device_id), col(Session.end_reason))
            .execution_options(synchronize_session=False)
        )
        async with self._db.writing() as db:
            await audit.record_endings(db, now, None, (await db.exec(statement)).all(), None)
            await db.commit()

    async def _clean_devices(self, after: bytes, upto: bytes) -> None:
        idle = ~select(Session.id).where(Session.device_id == Device.id).exists()
        some = (col(Device.id) > after) & (col(Device.id) <= upto) & idle
        async with self._db.writing() as db:
            found = (await db.exec(select(Device.id, Device.account_id).where(some))).all()
            if not found:
                return
            # Sign-in holds this lock from recognising a device to committing its session (login.py).
            owners = select(Account.id).where(col(Account.id).in_({owner for _, owner in found}))
            free = await db.exec(owners.order_by(col(Account.id)).with_for_update(key_share=True, skip_locked=True))
            held = set(free.all())
            gone = [device_id for device_id, owner in found if owner in held]
            # Looked at anew, by a statement that began under the lock.
            await db.exec(delete(Device).where(col(Device.id).in_(gone), idle))
            await db.commit()

    async def _clean_guesses(self, after: bytes, upto: bytes) -> None:
        await self._db.hot.fetch(_PRUNE_GUESSES, after, upto, self._clock.now() - _FORGOTTEN)

    async def _prune_audit(self) -> None:
        try:
            await audit_retention.prune(self._settings, self._db, self._roots, self._clock)
        except Conflict as refused:  # it does not verify
            log.error("audit.not_pruned", why=refused.detail)

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.turn()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next turn must come
                log.warning("cleanup.failed", error=background.reason(error))
