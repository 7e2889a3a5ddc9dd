"""The chain over the audit log: a background task links each committed event to the one before.

Journeys only insert, without a lock or a wait. Once a second every worker looks for events without a link and appends
links after the head it has just read. `position` and `event_id` are unique, so of two workers the slower one's insert
fails as a whole, and it looks again a second later: the chain never forks. The order is that of linking; an event that
commits late, under a lower id, is linked later. An event whose worker dies is linked by any other.
"""

import asyncio
import random
import sqlite3
import time
from contextlib import suppress

import asyncpg
import structlog

from . import audit_seal, background
from .db import Database, Row
from .errors import Unavailable
from .secrets import RootSecrets

LINK_EVERY = 1.0  # seconds
_AT_ONCE = 500  # links by one statement
_SLICE = 5_000  # older events looked through a turn
_SETTLES = 60.0  # seconds after which an event with a lower id is left to the walk
_WALK_EVERY = 3_600.0  # seconds from the end of one walk to the next
_TELL_EVERY = 3_600.0  # seconds between two heads in the log
_NO_END = 2**62

_HEAD = "SELECT position, hash, (SELECT max(event_id) FROM audit_link) AS newest FROM audit_link "
_NEWEST = _HEAD + "ORDER BY position DESC LIMIT 1"
_AT = _HEAD + "WHERE position = $1"
_UNLINKED = f"""
SELECT id, at, kind, account_id, session_id, device_id, ip, data, seal FROM audit_event
WHERE id > $1 AND id <= $2 AND NOT EXISTS (SELECT 1 FROM audit_link WHERE event_id = audit_event.id)
ORDER BY id LIMIT {_AT_ONCE}
"""  # noqa: S608  # our own constant
_SLICE_END = f"SELECT max(id) AS id FROM (SELECT id FROM audit_event WHERE id > $1 ORDER BY id LIMIT {_SLICE}) AS slice"  # noqa: S608
_APPEND = "INSERT INTO audit_link (position, event_id, kid, hash) VALUES ($1, $2, $3, $4)"

log = structlog.get_logger("audit")


class Linker:
    """One worker's share of the linking."""

    def __init__(self, roots: RootSecrets, db: Database) -> None:
        self._roots, self._db = roots, db
        self._known: tuple[int, bytes] | None = None  # the last head seen: position, hash
        self._settled: int | None = None  # events up to this id were linked a while ago; the walk looks after them
        self._newest, self._noted = 0, time.monotonic()
        self._walked, self._walk_at = 0, 0.0
        self._tell_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Link once a second from now on."""
        self._task = asyncio.create_task(self._link_forever())

    async def stop(self) -> None:
        """Link what is left and stop."""
        if self._task:
            await background.stop(self._task)
            with suppress(Unavailable):
                await self.turn()

    async def turn(self) -> int:
        """Link what is not linked: the newest, and a slice of the older ones; how many. Raises Unavailable."""
        head = await self._head()
        if self._settled is None:
            self._settled = max(0, head[2] - _SLICE)
        linked = await self._link(self._settled, _NO_END)
        if time.monotonic() > self._walk_at:
            linked += await self._walk()
        self._settle(head[2])
        return linked

    async def _link(self, above: int, upto: int) -> int:
        """Link the events in this range of ids."""
        linked = 0
        while found := await self._db.hot.fetch(_UNLINKED, above, upto):
            position, before, _ = await self._head()
            links = []
            for event in found:
                position, kid = position + 1, self._roots.writing
                before = audit_seal.link(self._roots, kid, before, position, event)
                links.append((position, event["id"], kid, before))
            try:
                await self._db.hot.run_many(_APPEND, links)
            except (asyncpg.UniqueViolationError, sqlite3.IntegrityError):
                return linked  # another worker was quicker; what it left comes at the next turn
            self._known = position, before
            linked += len(links)
        return linked

    async def _head(self) -> tuple[int, bytes, int]:
        """Position and hash of the last link, and the highest event id that has one."""
        row = await self._db.hot.fetch_one(_NEWEST)
        if self._known is not None:
            await self._compare(self._known, row)
        self._known = (row["position"], bytes(row["hash"])) if row else None
        if row is None:
            return 0, audit_seal.START, 0
        self._tell(row)
        return row["position"], bytes(row["hash"]), row["newest"]

    async def _compare(self, known: tuple[int, bytes], row: Row | None) -> None:
        """What this worker has seen linked must still be there; pruning leaves the last link."""
        position, known_hash = known
        if row is not None and row["position"] > position:
            row = await self._db.hot.fetch_one(_AT, position)
            if row is None:
                return  # pruned, or taken out of the middle, which `audit verify` finds
        if row is None or row["position"] < position or bytes(row["hash"]) != known_hash:
            log.error(
                "audit.cut", position=position, hash=known_hash.hex(), advice="run: coatcheck audit verify --head ..."
            )

    def _tell(self, row: Row) -> None:
        """The head goes to the log now and then: a copy of it that the database's owner can't reach."""
        if time.monotonic() > self._tell_at:
            self._tell_at = time.monotonic() + _TELL_EVERY
            log.info("audit.head", position=row["position"], hash=bytes(row["hash"]).hex())

    async def _walk(self) -> int:
        """Look through the older events for one that was committed very late."""
        row = await self._db.hot.fetch_one(_SLICE_END, self._walked)
        if row is None or row["id"] is None:
            self._walked, self._walk_at = 0, time.monotonic() + _WALK_EVERY
            return 0
        linked = await self._link(self._walked, row["id"])
        self._walked = row["id"]
        return linked

    def _settle(self, newest: int) -> None:
        if time.monotonic() - self._noted > _SETTLES:
            self._settled, self._newest, self._noted = self._newest or self._settled, newest, time.monotonic()

    async def _link_forever(self) -> None:
        while True:
            await asyncio.sleep(LINK_EVERY * random.uniform(0.8, 1.2))  # noqa: S311  # workers keep out of step
            try:
                await self.turn()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next turn must come
                log.warning("audit.link_failed", error=background.reason(error))
