"""The lists of ended sessions as a stream: whoever follows hears of an ending in the moment this worker does.

One task a worker makes a list twice a second, or as soon as something ends, and signs it once for all its readers. An
empty list is the heartbeat; signed and dated like any other, it can't be made up or replayed. Each list begins where
the reader's last one ended, so that none can be left out unnoticed. While this worker can't know (Unavailable) it
stays silent: fails closed, at the reader. The task runs only while somebody listens.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from . import background, revocation_lists
from .errors import RateLimited, Unavailable
from .networks import network
from .revocation_lists import Entry, RevocationLists

if TYPE_CHECKING:
    from .desk import Desk

HEARTBEAT = 0.5  # seconds
MOST = 200  # streams a worker
MOST_BY_ADDRESS = 20
_MOST_WAITING = 64  # lists a slow reader may lie behind
_GATHER = 0.005  # seconds in which endings that come together share a list

Told = tuple[str, str]  # a cursor, and the signed list that leads to it


class Reader:
    """One stream: lists still to be sent, each with the cursor it leads to. `None` in the queue ends it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Told | None] = asyncio.Queue(_MOST_WAITING)

    def push(self, told: Told | None) -> None:
        """Add a list. A reader that lies too far behind is dropped: its cursor tells it where to go on."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            told = None
        self._queue.put_nowait(told)

    async def lists(self) -> AsyncIterator[Told]:
        """One by one, until the reader is dropped."""
        while (told := await self._queue.get()) is not None:
            yield told


class RevocationStreams:
    """All streams of one worker."""

    def __init__(self, lists: RevocationLists) -> None:
        self._lists = lists
        self._readers: set[Reader] = set()
        self._by_address: Counter[str] = Counter()
        self._news: list[Entry] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._cursor = 0  # where every reader is
        self._task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End every stream."""
        if self._task:
            await background.stop(self._task)
        self.close()

    def close(self) -> None:
        """Let every reader finish, and take no more: the server stops."""
        self._closing = True
        for reader in self._readers:
            reader.push(None)

    @contextmanager
    def joined(self, desk: "Desk", ip: str, after: str | None) -> Iterator[tuple[Iterator[Told], Reader]]:
        """What follows `after` up to now, signed as it is taken; and the reader of what follows that.

        Raises InvalidRequest, RateLimited when too many listen already, Unavailable when the server stops.
        """
        if self._closing:
            raise Unavailable
        address = network(ip)
        if len(self._readers) >= MOST or self._by_address[address] >= MOST_BY_ADDRESS:
            raise RateLimited("Too many streams are open; ask for lists instead.", retry_after=10)
        # No await between the walk and joining: what ends after the walk's last list is in the reader's first.
        self._start(desk)
        pages, now = self._lists.walk(after, self._cursor), desk.clock.now()
        reader = Reader()
        self._readers.add(reader)
        self._by_address[address] += 1
        try:
            yield ((page.next, self._lists.sign(desk.keys, page, now)) for page in pages), reader
        finally:
            self._readers.discard(reader)
            self._by_address -= Counter([address])

    def _start(self, desk: "Desk") -> None:
        if self._task is None or self._task.done():
            self._cursor, self._news = max(self._cursor + 1, desk.clock.now()), []
            self._lists.listeners.add(self._hear)
            self._task = asyncio.create_task(self._run(desk))

    def _hear(self, entry: Entry) -> None:
        self._news.append(entry)
        self._wake.set()

    async def _run(self, desk: "Desk") -> None:
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), HEARTBEAT)
                    await asyncio.sleep(_GATHER)
                self._wake.clear()
                if not self._readers:
                    return
                with suppress(Unavailable):
                    await self._lists.complete()
                    self._tell(desk)
        finally:
            self._lists.listeners.discard(self._hear)
            self._task = None

    def _tell(self, desk: "Desk") -> None:
        news, self._news, now = sorted(self._news), [], desk.clock.now()
        before, self._cursor = str(self._cursor), max(self._cursor + 1, now)
        for page in revocation_lists.chain(before, news, self._cursor):
            told = page.next, self._lists.sign(desk.keys, page, now)
            for reader in self._readers:
                reader.push(told)
