"""A line between a worker and a store, or a client and a worker, byte by byte: slow, dead, cut, or cut at the worst
moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tests.live import free_port

_PIECE = 65_536  # bytes
_END_OF_HEAD = b"\r\n\r\n"

Arrives = Literal["nothing", "question", "head"]


class Break(NamedTuple):
    """These bytes, in a transaction in which `of` went by; and what still arrives: not even they, they but no answer,
    or the head of an HTTP answer."""

    question: bytes
    arrives: Arrives
    of: bytes


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
        self._break: Break | None = None
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

    def break_at(self, question: bytes, arrives: Arrives = "question", of: bytes = b"") -> None:
        """The next time these bytes go by, the line breaks."""
        self._break = Break(question, arrives, of)

    def mend(self) -> None:
        """As good as new."""
        self.delay, self._refuses, self._break = 0.0, False, None
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
        fate: list[Arrives] = []
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(self._pass(reader, back, fate, asked=True)),
                    asyncio.create_task(self._pass(there, writer, fate, asked=False)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._ends -= {writer, back}
            for end in (writer, back):
                end.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, fate: list[Arrives], asked: bool
    ) -> None:
        said = b""  # in this transaction
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                said = data if b"BEGIN" in data else (said + data)[-_PIECE:]
                if asked and self._break and self._break.question in data and self._break.of in said:
                    fate.append(self._break.arrives)
                    self._break = None
                if "nothing" in fate:
                    return
                if fate and not asked:  # the work is done; nobody will hear of it, or not all
                    if "head" in fate:
                        target.write(data.partition(_END_OF_HEAD)[0] + _END_OF_HEAD)
                    return
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                target.write(data)
                await target.drain()
