"""Connections to PostgreSQL, each lent for one statement.

asyncpg's own pool costs as much as the statement it lends for: a wrapper each time, and a task that resets what comes
back. After one statement there is nothing to reset: a seventh of a refresh (measured).

A connection is lent again only if its statement has ended, in rows or in an error that the server told. If the caller
was cancelled, or was out of patience, the answer may still be on its way, and would be the next caller's: such a
connection is closed, and counts as open until it is.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

PATIENCE = 1.5  # seconds for one statement, the wait for a connection included
# Of a table vacuumed while it was empty PostgreSQL expects nothing, until it is vacuumed again, and would read it whole
# though it has filled. Ours all have an index to go by; a join may still walk all of one. (Compiling never pays here.)
PLANNING = {"enable_seqscan": "off", "jit": "off"}
_LONGEST_IDLE = 300.0  # seconds; firewalls forget what is idle for longer

Answer = TypeVar("Answer")


class Pool:
    """At most `most` connections. Who finds none waits in line, for `PATIENCE` at the most: TimeoutError."""

    def __init__(self, url: str, most: int) -> None:
        self._url, self._most = url, most
        self._open = 0  # lent, idle, being opened and being closed
        self._idle: deque[tuple[asyncpg.Connection, float]] = deque()  # the last used at the right, since when
        self._waiting: deque[asyncio.Future[asyncpg.Connection | None]] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, statement: Callable[..., Awaitable[Answer]], *args: Any) -> Answer:
        """What `statement`, a method of asyncpg.Connection, gives. Raises what asyncpg raises, and TimeoutError."""
        connection, left = await self._lend()
        try:
            answer = await statement(connection, *args, timeout=left)
        except asyncpg.PostgresError:
            self._take_back(connection)
            raise
        except BaseException:
            self._discard(connection)
            raise
        self._take_back(connection)
        return answer

    async def close(self) -> None:
        """Close what is idle; what is still lent is closed when it comes back."""
        self._closed = True
        while self._idle:
            self._discard(self._idle.pop()[0])
        while self._closing:
            await asyncio.wait(self._closing)

    async def _lend(self) -> tuple[asyncpg.Connection, float | None]:
        """A connection, and the seconds that are left for its statement; None: all of them."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection, None
            self._discard(connection)
        until = time.monotonic() + PATIENCE
        async with asyncio.timeout(PATIENCE):
            connection = await self._wait_for_one()
        return connection, max(until - time.monotonic(), 0.001)

    async def _wait_for_one(self) -> asyncpg.Connection:
        if self._open < self._most:
            self._open += 1
        elif (handed_over := await self._in_line()) is not None:
            return handed_over
        return await self._connect()

    async def _in_line(self) -> asyncpg.Connection | None:
        """The connection that somebody gives back; None: one was closed, and its place is the caller's."""
        place: asyncio.Future[asyncpg.Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            return await place
        except BaseException:
            if not place.cancelled():  # it was handed over just as the caller gave up
                self._hand_on(place.result())
            raise

    async def _connect(self) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                self._url, timeout=PATIENCE, command_timeout=PATIENCE, server_settings=PLANNING
            )
        except BaseException:
            self._hand_on(None)
            raise

    def _take_back(self, connection: asyncpg.Connection) -> None:
        if self._closed or connection.is_closed():
            self._discard(connection)
            return
        self._hand_on(connection)
        if self._idle and self._idle[0][1] < time.monotonic() - _LONGEST_IDLE:
            self._discard(self._idle.popleft()[0])

    def _hand_on(self, connection: asyncpg.Connection | None) -> None:
        """To whom has waited longest; None is the place of a connection that is no more."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection)
                return
        if connection is None:
            self._open -= 1
        else:
            self._idle.append((connection, time.monotonic()))

    def _discard(self, connection: asyncpg.Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._end(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _end(self, connection: asyncpg.Connection) -> None:
        try:
            with suppress(Exception):
                await connection.close(timeout=PATIENCE)  # which first has the server stop a statement under way
        finally:
            self._hand_on(None)
