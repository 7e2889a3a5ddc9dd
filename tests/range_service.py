"""A range service on this machine: it knows some passwords, and can behave badly."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Literal

Manner = Literal[
    "well", "slow", "dripping", "huge", "packed", "redirecting", "hung up", "half", "html", "empty", "failing"
]


@dataclass
class RangeService:
    """`asked` holds the heads of all requests."""

    known: set[str]
    port: int = 0
    manner: Manner = "well"
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/range"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            prefix = head.split()[1].removeprefix("/range/")
            await self._behave(writer, self._range(prefix))
        except (OSError, asyncio.IncompleteReadError):
            pass  # who asked has hung up
        finally:
            writer.close()

    def _range(self, prefix: str) -> bytes:
        digests = [sha1(one.encode(), usedforsecurity=False).hexdigest().upper() for one in sorted(self.known)]
        lines = [f"{digest[5:]}:7" for digest in digests if digest.startswith(prefix)]
        padding = [f"{number:035X}:0" for number in range(900)]
        return "\r\n".join(lines + padding).encode()

    async def _behave(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        status, more = "200 OK", ""
        match self.manner:
            case "slow":
                await asyncio.sleep(60)
            case "huge":
                body = body + b"\r\n" + b"\r\n".join([b"F" * 35 + b":1"] * 20_000)
            case "packed":
                more, body = "Content-Encoding: gzip\r\n", gzip.compress(body)
            case "redirecting":
                status, more, body = "302 Found", f"Location: {self.url}/elsewhere\r\n", b""
            case "hung up":
                return
            case "html":
                body = b"<html>" + body
            case "empty":
                body = b""
            case "failing":
                status = "503 Service Unavailable"
        length = len(body) + (self.manner == "half")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
        writer.write(head.encode())
        for start in range(0, len(body), 100 if self.manner == "dripping" else 1_000_000):
            writer.write(body[start : start + (100 if self.manner == "dripping" else 1_000_000)])
            await writer.drain()
            await asyncio.sleep(0.5 if self.manner == "dripping" else 0)


@asynccontextmanager
async def ranging(*known: str) -> AsyncIterator[RangeService]:
    """A service that knows these passwords."""
    service = RangeService(set(known))
    server = await asyncio.start_server(service.answer, "127.0.0.1")
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
