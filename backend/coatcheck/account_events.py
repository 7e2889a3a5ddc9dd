"""An account's events on their way to its open streams, `GET /v1/events`: who listens, and what was told lately.

Who comes back with the id of the last event it saw is told what came after it, on whatever worker: an id says what
happened and when, so an event has the same one wherever and however it is heard (published, swept, or sent again).
Workers hear events of the same moment in different order; hence what happened within a few seconds before is told
again. What can't be told any more, because too much happened or this worker is too new, is owned up to: `missed`.
Nothing waits for a slow reader: it is dropped, and comes back.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from .clock import SECOND, Clock
from .errors import RateLimited, Unavailable
from .settings import Settings

if TYPE_CHECKING:
    from .revocation import Event

_MOST_STREAMS = 20  # of an account, on a worker
_MOST_WAITING = 100  # events a slow reader may lie behind
_MOST_KEPT = 50  # events of an account that can be told again
_MOST_ACCOUNTS = 10_000  # of which any are kept
_OVERLAP = 5 * SECOND  # how differently workers may hear the same


class Listener:
    """One reader of an account's events. A slow one is dropped rather than buffered: `lost` turns True.

    `cursor` is where it begins, for its client to come back with; `missed`: something before that can't be told.
    """

    def __init__(self, cursor: str) -> None:
        self.cursor, self.missed, self.lost, self.closing = cursor, False, False, False
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_MOST_WAITING)

    def tell(self, event: "Event") -> None:
        """Never waits."""
        if self._queue.full():
            self.lost = True
        else:
            self._queue.put_nowait(event)

    def close(self) -> None:
        """The server stops: `closing` turns True, and who waits wakes up."""
        self.closing = True
        if self._queue.empty():
            self._queue.put_nowait(None)

    async def next(self, patience: float) -> "Event | None":
        """The next event; None when `patience` seconds have passed, or the server stops."""
        try:
            return await asyncio.wait_for(self._queue.get(), patience)
        except TimeoutError:
            return None


class AccountEvents:
    """All of one worker's streams, and what it has heard lately."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock, self._room = clock, settings.event_streams
        self._listeners: dict[bytes, set[Listener]] = {}
        self._kept: dict[bytes, dict[str, Event]] = {}  # by account, the one that heard something last at the end
        self._whole_since = clock.now()  # nothing that happened later has been forgotten
        self._closing = False

    @property
    def open(self) -> int:
        """Streams open now."""
        return sum(map(len, self._listeners.values()))

    def tell(self, event: "Event") -> None:
        """Tell all who listen, and remember; once, however often it is heard."""
        kept = self._kept.pop(event.account_id, {})
        self._kept[event.account_id] = kept
        event_id = identify(event)
        if event_id in kept:
            return
        kept[event_id] = event
        if len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
        if len(self._kept) > _MOST_ACCOUNTS:
            forgotten = self._kept.pop(next(iter(self._kept)))
            self._whole_since = max(self._whole_since, *map(_at, forgotten.values()))
        for listener in self._listeners.get(event.account_id, ()):
            listener.tell(event)

    @contextmanager
    def listening(self, account_id: bytes, after: str | None) -> Iterator[Listener]:
        """The account's events from now on; and those since the one with the id `after`.

        Raises RateLimited when too many listen to this account, Unavailable when too many listen at all.
        """
        if self._closing:
            raise Unavailable  # there is another worker, or will be
        if self._room <= 0:
            raise Unavailable("Too many event streams are open. Ask again in a while.", retry_after=30)
        listeners = self._listeners.setdefault(account_id, set())
        if len(listeners) >= _MOST_STREAMS:
            raise RateLimited("Too many event streams are open for this account.", retry_after=60)
        listener = self._begin(account_id, after)
        listeners.add(listener)
        self._room -= 1
        try:
            yield listener
        finally:
            self._room += 1
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop(account_id, None)

    def _begin(self, account_id: bytes, after: str | None) -> Listener:
        kept = self._kept.get(account_id, {})
        listener = Listener(next(reversed(kept), f"{self._clock.now()}-0"))
        if after is None:
            return listener
        moment = _moment(after)
        since = moment - _OVERLAP
        # Known by its place, too: what was heard later may have happened earlier, on a worker whose clock is behind.
        place = list(kept).index(after) if after in kept else len(kept)
        for number, (event_id, event) in enumerate(kept.items()):
            if event_id != after and (number > place or _at(event) > since):
                listener.tell(event)
        full = len(kept) >= _MOST_KEPT and _at(next(iter(kept.values()))) > since
        listener.missed = after not in kept and (moment < self._whole_since or full)
        return listener

    def close(self) -> None:
        """End every stream, and begin none: the server stops."""
        self._closing = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()


def identify(event: "Event") -> str:
    """The event's id: when it happened, and what it was, in so many letters that others don't share it."""
    what = f"{event.kind} {event.session_id.hex()} {event.at}"
    return f"{_at(event)}-{sha256(what.encode()).hexdigest()[:12]}"


def _at(event: "Event") -> int:
    return event.at or 0


def _moment(event_id: str) -> int:
    """When an event happened, by its id; long ago, for what is none of ours."""
    digits = event_id.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else 0
