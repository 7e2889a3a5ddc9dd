"""A line between a worker and a store, byte by byte: slow, dead, cut, or cut at the worst moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.live import free_port

_PIECE = 65_536  # bytes


class Line:
    """Listens on a port of 127.0.0.1 and passes everything on to another one, as it is told."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to, self.port = parts.port or 0, free_port()
        self.url = url.replace(f":{parts.port}", f":{self.port}")
        self.delay = 0.0  # seconds each way
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._cut_answers_to: bytes | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def go_dead(self) -> None:
        """Connections stay open and new ones are taken; nothing passes."""
        self._open.clear()

    def cut(self, and_refuse: bool = False) -> None:
        """Every connection breaks, now; new ones too, or they are taken."""
        self._refuses = and_refuse
        for end in list(self._ends):
            end.transport.abort()

    def cut_the_answer_to(self, question: bytes) -> None:
        """The next time these bytes go by, the question arrives, and the line breaks before the answer does."""
        self._cut_answers_to = question

    def mend(self) -> None:
        """As good as new."""
        self.delay, self._refuses, self._cut_answers_to = 0.0, False, None
        self._open.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Line"]:
        """Open while the block runs."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            self.cut(and_refuse=True)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refuses:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, back}
        doomed = asyncio.Event()
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(self._pass(reader, back, doomed, asked=True)),
                    asyncio.create_task(self._pass(there, writer, doomed, asked=False)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._ends -= {writer, back}
            for end in (writer, back):
                end.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, doomed: asyncio.Event, asked: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                if asked and self._cut_answers_to is not None and self._cut_answers_to in data:
                    self._cut_answers_to = None
                    doomed.set()
                if not asked and doomed.is_set():
                    return  # the store has done its work; nobody will hear of it
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                target.write(data)
                await target.drain()
