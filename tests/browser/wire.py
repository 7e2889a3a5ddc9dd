"""The wire between browser and server, in a test's hands: it can lose, hold back, replace or swallow answers.

Nothing in the browser or the server is replaced, so what a test sees is what a bad network does. Each connection
carries one request.
"""

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.live import free_port

_TOKENS = re.compile(rb'"access_token":\s*"([^"]+)"|coatcheck-(?:refresh|session)=([^;"\s]+)')


@dataclass
class Exchange:
    """One request, the answer it got from the server, and the way back to the browser."""

    method: str
    path: str
    request: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: int
    head: bytes = b""

    async def pass_on(self) -> None:
        """Ask the server and hand its answer on, as it comes."""
        await self.hand_on(*await self.ask())

    async def ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask the server and read the head of its answer, so that it has done its work."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        writer.write(self.request)
        self.head = await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on the server's answer, until either side hangs up."""
        gone = asyncio.ensure_future(self.reader.read(1))
        try:
            self.writer.write(self.head)
            while True:
                chunk = asyncio.ensure_future(reader.read(65_536))
                await asyncio.wait({gone, chunk}, return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done() or not chunk.result():
                    chunk.cancel()
                    return
                self.writer.write(chunk.result())
                await self.writer.drain()
        finally:
            gone.cancel()
            writer.close()


Act = Callable[[Exchange], Awaitable[None]]


@dataclass
class _Rule:
    path: str
    act: Act
    times: int = -1  # how often it still applies; negative: always


@dataclass
class Gate:
    """Answers that are held back: the server has done its work, the browser does not know yet."""

    arrived: asyncio.Queue[Exchange] = field(default_factory=asyncio.Queue)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    _ways: list[asyncio.Event] = field(default_factory=list)

    async def act(self, exchange: Exchange) -> None:
        """Hold one answer."""
        answer = await exchange.ask()
        way = asyncio.Event()
        self._ways.append(way)
        self.arrived.put_nowait(exchange)
        opened = [asyncio.ensure_future(event.wait()) for event in (way, self.open)]
        await asyncio.wait(opened, return_when=asyncio.FIRST_COMPLETED)
        for waiting in opened:
            waiting.cancel()
        await exchange.hand_on(*answer)

    async def wait(self, answers: int = 1) -> list[Exchange]:
        """Until so many answers are held."""
        async with asyncio.timeout(30):
            return [await self.arrived.get() for _ in range(answers)]

    def release(self, which: int) -> None:
        """Let one of them go; the oldest is 0, the newest -1."""
        self._ways.pop(which).set()


class Wire:
    """A proxy on a port of its own; `origin` is what the browser knows."""

    def __init__(self) -> None:
        self.port = free_port()
        self.upstream = 0
        self.database = Path()  # the server's
        self.log: list[tuple[str, str]] = []
        self.secrets: set[str] = set()
        self._rules: list[_Rule] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    def count(self, path: str) -> int:
        """How many requests went to `path`."""
        return sum(seen == path for _, seen in self.log)

    def change(self, sql: str) -> None:
        """What time would do to the server's rows; its clock can't be moved."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as db, db:
            db.execute(sql)

    def mend(self) -> None:
        """Behave again."""
        self._rules.clear()

    def answer(self, path: str, status: int, body: str = "<h1>proxy</h1>", times: int = -1, **headers: str) -> None:
        """Answer in the server's place, as a proxy would; a body that is an object goes out as a problem."""
        kind = "application/problem+json" if body.startswith("{") else "text/html"
        lines = [
            f"HTTP/1.1 {status} Nope",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        whole = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

        async def act(exchange: Exchange) -> None:
            exchange.writer.write(whole)

        self._rules.append(_Rule(path, act, times))

    def refuse(self, path: str, status: int, code: str, times: int = -1, **headers: str) -> None:
        """Answer with a problem of the contract."""
        self.answer(path, status, json.dumps({"title": code, "status": status, "code": code}), times, **headers)

    def lose(self, path: str, times: int = -1) -> None:
        """Let the server do its work, then cut the line: its answer never arrives."""

        async def act(exchange: Exchange) -> None:
            _, writer = await exchange.ask()
            writer.close()

        self._rules.append(_Rule(path, act, times))

    def cut(self, path: str) -> None:
        """Hang up before the server hears of it."""

        async def act(exchange: Exchange) -> None:
            exchange.writer.close()

        self._rules.append(_Rule(path, act))

    def swallow(self, path: str) -> None:
        """Take the request and never answer."""

        async def act(exchange: Exchange) -> None:
            await exchange.reader.read(1)

        self._rules.append(_Rule(path, act))

    def hold(self, path: str) -> Gate:
        """Keep answers back until the test lets them go."""
        gate = Gate()
        self._rules.append(_Rule(path, gate.act))
        return gate

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Wire"]:
        """Open for browsers while the block runs."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 20)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(await self._read(reader, writer))
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        kept = [line for line in headers if not line.lower().startswith("connection:")]
        length = next((int(line.split(":")[1]) for line in kept if line.lower().startswith("content-length:")), 0)
        request = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1")
        method, target, _ = first.split(" ")
        body = await reader.readexactly(length)
        return Exchange(method, target.partition("?")[0], request + body, reader, writer, self.upstream)

    async def _serve(self, exchange: Exchange) -> None:
        self.log.append((exchange.method, exchange.path))
        exchange.writer = _Noting(exchange.writer, self.secrets)  # type: ignore[assignment]
        rule = next((rule for rule in self._rules if rule.path == exchange.path and rule.times), None)
        if rule is None:
            await exchange.pass_on()
        else:
            rule.times -= 1
            await rule.act(exchange)


class _Noting:
    """A writer that remembers every credential that goes to a browser, so that a test can look for it there."""

    def __init__(self, writer: asyncio.StreamWriter, secrets: set[str]) -> None:
        self._writer, self._secrets = writer, secrets

    def write(self, data: bytes) -> None:
        self._secrets.update(found.decode() for pair in _TOKENS.findall(data) for found in pair if found)
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
