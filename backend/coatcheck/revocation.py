"""The revocation feed: how every worker knows within milliseconds that a session has ended.

Order is everything. Whoever ends a session commits the row FIRST, then calls `publish`: the own worker knows at once,
the others by a Redis stream that each of them follows. Three nets lie below that:

  sweep     every second each worker reads the recently ended sessions from the database. It catches a publisher that
            died between commit and publish, and anything Redis lost.
  fresh     only a worker that heard from Redis within the last second, and has swept since it was last cut off, trusts
            its own memory. Otherwise `is_fresh()` is False and callers read the session row (callers.py): fails closed.
  start     a new worker sweeps everything that a living access token could belong to, and reads the stream from its
            beginning, before it trusts itself.
  unsent    what could not be appended is kept, and sent when Redis is next heard of.

Embedded (no Redis) there is one process, so `publish` is a local call; the sweep still runs, for `coatcheck` commands
that end sessions from another process. The same stream carries the other account events to `GET /v1/events`.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from . import background, ids
from .access_tokens import LEEWAY
from .account_events import AccountEvents
from .clock import SECOND, Clock
from .db import Database, Row
from .redis_down import FOLLOWED_AT_ONCE, RedisDown
from .settings import Settings

SWEEP_EVERY = 1.0  # seconds
_OVERLAP = 60 * SECOND  # how far a sweep looks behind the one before: late commits, clocks of other workers
_FRESH = 1.0  # seconds without a word from Redis
_WAIT = 150  # milliseconds a read waits for news; each answer, even an empty one, is a heartbeat
_REWOUND = 60 * SECOND  # how far back a reader begins that had been cut off; what it hears again it knows
_RETRY = 0.1  # seconds between attempts to reach Redis
_TOLD_AT_ONCE = 100  # events taken in, or sent, before other requests have their turn
_MOST_UNSENT = 10_000  # events kept for when Redis is back
_LATELY = 10 * SECOND  # longer than any sweep takes to reach every worker
_SWEPT_ENOUGH = 0.25  # seconds for which a sweep stands in for a stream that can't be heard

# No join: of tables that were empty a minute ago PostgreSQL expects a row, and reads one whole for each of the other.
_ENDED_SINCE = """
SELECT id, account_id, ended_at, end_reason, (SELECT name FROM device WHERE device.id = ended_by) AS ended_by
FROM session WHERE ended_at > $1
"""
_ENDED_LATELY = _ENDED_SINCE + " AND session.account_id = $2"
# A step-up gives a web session another cookie. No column here is one that a refresh writes: it stays in place (HOT).
_TURNED_SINCE = """
SELECT id, account_id, generation, auth_time FROM session
WHERE door = 'web' AND auth_time <> created_at AND auth_time > $1
"""

if TYPE_CHECKING:
    from .redis_client import RedisClient

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a session; `data` goes to the account's own event stream. `at`: what its row says,
    or else when it was published."""

    kind: str
    account_id: bytes
    session_id: bytes
    data: Mapping[str, str | None] = field(default_factory=dict)
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session has ended, and the name of the device that ended it; `forget_at` by the steady clock."""

    forget_at: int
    reason: str | None
    ended_by: str | None


def _pack(event: Event) -> str:
    fields = {
        "kind": event.kind,
        "account_id": event.account_id.hex(),
        "session_id": event.session_id.hex(),
        "data": dict(event.data),
        "at": event.at,
    }
    return json.dumps(fields, separators=(",", ":"))


def _unpack(fields: dict[str, str]) -> Event:
    event = json.loads(fields["event"])
    return Event(
        event["kind"],
        bytes.fromhex(event["account_id"]),
        bytes.fromhex(event["session_id"]),
        event["data"],
        event.get("at"),
    )


def _ending(row: Row) -> Event:
    data = {"session_id": ids.text("ses", row["id"]), "reason": row["end_reason"], "ended_by": row["ended_by"]}
    return Event("session.ended", row["account_id"], row["id"], data, row["ended_at"])


def _rewound(position: str) -> str:
    """A minute earlier. The next to answer may be a replica that took over: its clock may be behind, and it may never
    have got the last entries, so that new ones come before them."""
    return f"{max(0, int(position.partition('-')[0]) - _REWOUND)}-0"


class Feed:
    """One worker's view of the feed. `ended` is asked on every authenticated request: a dictionary look-up."""

    def __init__(self, settings: Settings, clock: Clock, db: Database, redis: "RedisClient | None") -> None:
        self._clock, self._db, self._redis = clock, db, redis
        self._stream = f"{settings.redis_prefix}:feed"
        # An ending need be remembered no longer than an access token, or a cached cookie, can outlive it.
        self.keep = settings.access_ttl * SECOND + 2 * LEEWAY
        self._ended: dict[bytes, Ending] = {}
        self._turned: dict[bytes, tuple[int, int]] = {}  # generation of a web session's cookie, and when to forget it
        self._heard = float("-inf")  # monotonic seconds
        self._swept_to, self._swept = 0, float("-inf")  # by the clock, and monotonic seconds
        self._catching_up = asyncio.Lock()
        self._hooks: list[Callable[[bytes, int], None]] = []
        self._position = "0-0"
        self._again: set[bytes] = set()  # endings told again: once is enough, or a dead token would fill the stream
        self._unsent: deque[Event] = deque(maxlen=_MOST_UNSENT)
        self._tasks: list[asyncio.Task[None]] = []
        self.events = AccountEvents(settings, clock)
        self.endings: Counter[str] = Counter()  # made known by this worker, by reason
        self.lag = 0.0  # seconds from the event heard last to its being heard

    async def start(self) -> None:
        """Learn what has ended, then follow. Raises Unavailable when the database does not answer."""
        await self._sweep()
        self._tasks = [asyncio.create_task(self._sweep_forever())]
        if self._redis:
            self._tasks.append(asyncio.create_task(self._follow_forever(self._redis)))

    async def stop(self) -> None:
        """Stop following."""
        for task in self._tasks:
            await background.stop(task)

    def ended(self, session_id: bytes) -> Ending | None:
        """How this session has ended, as far as this worker has heard; None while it lives."""
        return self._ended.get(session_id)

    def turned(self, session_id: bytes) -> int:
        """The oldest generation of a web session's cookie that is still good, as far as this worker has heard."""
        return self._turned.get(session_id, (0, 0))[0]

    def is_fresh(self) -> bool:
        """Whether a None of `ended` can be believed; when False, read the row."""
        return self._redis is None or time.monotonic() - self._heard < _FRESH

    def silence(self) -> float:
        """Seconds since Redis was heard of, at most a day; none without Redis."""
        return 0.0 if self._redis is None else min(time.monotonic() - self._heard, 86_400.0)

    async def complete(self) -> None:
        """Return when this worker knows all that has ended: at once if it is fresh, else swept just now.

        However many ask at the same time, one sweep answers them. Raises Unavailable.
        """
        async with self._catching_up:
            if not self.is_fresh() and time.monotonic() - self._swept > _SWEPT_ENOUGH:
                await self._sweep()

    def when_ended(self, hook: Callable[[bytes, int], None]) -> None:
        """Have `hook` called with session id and moment of every ending, at once, the first time it is heard of."""
        self._hooks.append(hook)

    async def publish(self, *events: Event) -> None:
        """Tell everybody, after the commit. Never fails: the others sweep, and without Redis they read the row."""
        now = self._clock.now()
        events = tuple(event if event.at else replace(event, at=now) for event in events)
        for number, event in enumerate(events, 1):
            if event.kind == "session.ended" and event.session_id not in self._ended:
                self.endings[event.data.get("reason") or "other"] += 1
            self._take_in(event)
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)  # other requests must not wait for all of very many
        if self._redis:
            await self._send(self._redis, events)

    async def _send(self, redis: "RedisClient", events: Sequence[Event]) -> None:
        """Append them, or keep them for when Redis is back."""
        for start in range(0, len(events), _TOLD_AT_ONCE):
            try:
                await self._append(redis, events[start : start + _TOLD_AT_ONCE])
            except RedisDown:
                self._unsent.extend(events[start:])
                log.warning("feed.publish_failed", events=len(events) - start)
                return

    async def tell_again(self, account_id: bytes) -> None:
        """Publish what has ended lately of this account. For who asks to end what has ended already: the one that did
        it may have died before it told, and a second answer must mean what the first would have. Raises Unavailable."""
        rows = await self._db.hot.fetch(_ENDED_LATELY, self._clock.now() - _LATELY, account_id)
        new = [row for row in rows if row["id"] not in self._again]
        self._again |= {row["id"] for row in new}
        await self.publish(*map(_ending, new))

    async def _append(self, redis: "RedisClient", events: Sequence[Event]) -> None:
        await redis.append(self._stream, [_pack(event) for event in events], self.keep // SECOND)

    def _take_in(self, event: Event) -> None:
        # Forgotten by the steady clock: one that went ahead and came back revives nobody.
        forget_at = self._clock.steady() + self.keep
        if event.kind == "session.ended":
            if event.session_id not in self._ended:
                for hook in self._hooks:
                    hook(event.session_id, event.at or self._clock.now())
            self._ended[event.session_id] = Ending(forget_at, event.data.get("reason"), event.data.get("ended_by"))
        if event.kind == "session.turned":
            generation = max(int(event.data["generation"] or 0), self.turned(event.session_id))
            self._turned[event.session_id] = (generation, forget_at)
        self.events.tell(event)

    async def _sweep(self) -> None:
        now, began = self._clock.now(), time.monotonic()
        since = max(now - self.keep, self._swept_to - _OVERLAP) if self._swept_to <= now else now - self.keep
        for row in await self._db.hot.fetch(_ENDED_SINCE, since):
            if row["id"] not in self._ended:
                self._take_in(_ending(row))
        for row in await self._db.hot.fetch(_TURNED_SINCE, since):
            if row["generation"] > self.turned(row["id"]):
                data = {"generation": str(row["generation"])}
                self._take_in(Event("session.turned", row["account_id"], row["id"], data, row["auth_time"]))
        self._swept_to, self._swept = now, began
        self._forget(self._clock.steady())

    def _forget(self, now: int) -> None:
        for session_id in [session_id for session_id, ending in self._ended.items() if ending.forget_at < now]:
            del self._ended[session_id]
            self._again.discard(session_id)
        for session_id in [session_id for session_id, (_, forget_at) in self._turned.items() if forget_at < now]:
            del self._turned[session_id]

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self._sweep()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next sweep must come
                log.warning("feed.sweep_failed", error=background.reason(error))

    async def _follow_forever(self, redis: "RedisClient") -> None:
        cut_off = True
        while True:
            try:
                at_end = await self._follow(redis)
                if cut_off and at_end:
                    await self._sweep()  # what ended while we could not hear
                    cut_off = False
                    log.info("feed.following")
                if not cut_off:
                    self._heard = time.monotonic()
            except Exception as error:  # noqa: BLE001  # a follower that died would leave every request to the database
                if not cut_off:
                    log.warning("feed.cut_off", error=background.reason(error))
                    self._position = _rewound(self._position)
                cut_off = True
                self._heard = float("-inf")
                await asyncio.sleep(_RETRY)

    async def _follow(self, redis: "RedisClient") -> bool:
        """Take in what is new, send what is left unsent; whether nothing newer was waiting. Raises RedisDown."""
        entries = await redis.follow(self._stream, self._position, _WAIT)
        for entry_id, fields in entries:
            self._position = entry_id
            try:
                event = _unpack(fields)
                self._take_in(event)
                self.lag = max(0, self._clock.now() - (event.at or 0)) / SECOND
            except (KeyError, TypeError, ValueError):  # another release's, or none of ours
                log.warning("feed.unreadable", entry=entry_id)
        while self._unsent:
            await self._append(redis, [self._unsent[0]])
            self._unsent.popleft()
        return len(entries) < FOLLOWED_AT_ONCE
