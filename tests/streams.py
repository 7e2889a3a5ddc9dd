"""Event streams, asked of an application directly: a stream has no end that an HTTP client could wait for."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI


async def stream_status(app: FastAPI, path: str, headers: dict[str, str], ip: str = "203.0.113.7") -> int:
    """The status of `GET path`; the client hangs up as soon as it has seen it."""
    status, begun = 0, asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        begun.set()

    async def receive() -> dict[str, Any]:
        await begun.wait()
        return {"type": "http.disconnect"}

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": raw, "client": (ip, 1), "server": ("coatcheck.test", 443), "scheme": "https"}
    async with asyncio.timeout(30):
        await app(scope | {"http_version": "1.1"}, receive, send)
    return status
