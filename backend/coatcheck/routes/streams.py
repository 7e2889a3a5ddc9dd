"""A stream of server-sent events as an answer: for the account's events and for the lists of ended sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

PATIENCE = 5.0  # seconds a reader may take to accept what is sent


class EventStream(StreamingResponse):
    """A stream that gives its place back however it ends, and is cut when its reader takes nothing in."""

    def __init__(self, body: AsyncIterator[str], place: ExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(body, media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side has enough."""
        with self._place:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """The body, with a limit on each wait for the reader."""

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        with suppress(TimeoutError):  # the answer stays unfinished, so the server closes the connection
            await super().stream_response(patiently)
