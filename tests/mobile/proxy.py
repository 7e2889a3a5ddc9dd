"""A network between the phone and the server that misbehaves on command: answers lost after the server committed,
hanging, gone, or given by somebody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class Pass:
    """Let it through."""


class Drop:
    """Let the server do its work, then close the connection without a byte of its answer."""


class Hang:
    """Take the request and never say anything."""


@dataclass
class Say:
    """Answer in the server's place."""

    status: str
    body: str = ""
    content_type: str = "text/html"
    headers: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The whole HTTP answer."""
        lines = [f"HTTP/1.1 {self.status}", f"Content-Type: {self.content_type}", *self.headers]
        lines += [f"Content-Length: {len(self.body.encode())}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode() + self.body.encode()


@dataclass
class Then:
    """Let the server do its work, wait for something else, then pass the answer on."""

    wait: Callable[[], Awaitable[None]]


Action = Pass | Drop | Hang | Say | Then


def problem(code: str, status: str = "401 Unauthorized", *headers: str) -> Say:
    """A refusal in our server's own words."""
    body = f'{{"type":"urn:coatcheck:problem:{code}","title":"","status":0,"code":"{code}","detail":""}}'
    return Say(status, body, "application/problem+json", headers)


@dataclass
class Proxy:
    """`rules` maps the start of "METHOD /path" to what happens to such requests; the others pass."""

    upstream: int
    port: int = 0
    rules: dict[str, Action] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def met(self, start: str) -> None:
        """Until such a request has come in."""
        while not self.count(start):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def count(self, start: str) -> int:
        """How many requests began like this."""
        return sum(line.startswith(start) for line in self.seen)

    async def online(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def offline(self) -> None:
        """Nothing listens any more; what was open breaks."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._one(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            await _close(writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        length = next((int(h[15:]) for h in rest.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        self.seen.append(line.decode())
        action = next((rule for start, rule in self.rules.items() if line.decode().startswith(start)), Pass())
        if isinstance(action, Hang):
            await reader.read()  # until the phone gives up, or the network goes
        elif isinstance(action, Say):
            writer.write(action.to_bytes())
            await writer.drain()
        else:
            await self._relay(line + b"\r\nConnection: close\r\n" + _without_connection(rest) + body, writer, action)

    async def _relay(self, request: bytes, writer: asyncio.StreamWriter, action: Action) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        self._open.add(upstream_writer)
        try:
            upstream_writer.write(request)
            while chunk := await upstream_reader.read(65_536):
                if isinstance(action, Then):
                    await action.wait()
                if not isinstance(action, Drop):
                    writer.write(chunk)
                    await writer.drain()
        finally:
            self._open.discard(upstream_writer)
            await _close(upstream_writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _without_connection(headers: bytes) -> bytes:
    kept = [line for line in headers.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(kept)


@asynccontextmanager
async def proxying(upstream: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a server on 127.0.0.1."""
    proxy = Proxy(upstream)
    await proxy.online()
    try:
        yield proxy
    finally:
        await proxy.offline()
