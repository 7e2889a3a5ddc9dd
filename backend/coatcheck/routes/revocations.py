"""Ended sessions, for services that are not Coatcheck: signed lists, asked for or followed (docs/verifier.md).

Public: a session id opens nothing, and a list names nobody. Never cached: a list is worth what it is fresh.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ..revocation_lists import MOST, TYPE
from .answers import problems
from .authentication import DeskOf, client_ip

router = APIRouter(prefix="/v1", tags=["revocations"])

_MEDIA_TYPE = f"application/{TYPE}"
_PATIENCE = 5.0  # seconds a reader may take to accept what is sent
_Cursor = Annotated[str | None, Query(max_length=64, description="`next` of an earlier list.")]


@router.get(
    "/revocations",
    response_class=Response,
    responses=problems() | {200: {"content": {_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def revocations(
    desk: DeskOf, after: _Cursor = None, limit: Annotated[int, Query(ge=1, le=MOST)] = MOST
) -> Response:
    """A signed list of the sessions that ended after the cursor; without one, of all that still matter."""
    text = await desk.lists.answer(desk.keys, after, limit)
    return Response(text, media_type=_MEDIA_TYPE, headers={"Cache-Control": "no-store"})


@router.get(
    "/revocations/stream",
    response_class=StreamingResponse,
    responses=problems(429) | {200: {"content": {"text/event-stream": {}}}},
)
async def revocation_stream(
    request: Request,
    desk: DeskOf,
    after: _Cursor = None,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> StreamingResponse:
    """The same lists as they come, and at least one a second. `Last-Event-ID` counts before `after`."""
    await desk.lists.complete()
    place = ExitStack()
    joined = desk.streams.joined(desk, client_ip(request.scope, desk), last_event_id or after)
    known, reader = place.enter_context(joined)

    async def body() -> AsyncIterator[str]:
        for event in known:
            yield _event(event)
        async for event in reader.lists():
            yield _event(event)

    return _Stream(body(), place)


def _event(told: tuple[str, str]) -> str:
    cursor, text = told
    return f"id: {cursor}\nevent: revocations\ndata: {text}\n\n"


class _Stream(StreamingResponse):
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
            async with asyncio.timeout(_PATIENCE):
                await send(message)

        with suppress(TimeoutError):  # the answer stays unfinished, so the server closes the connection
            await super().stream_response(patiently)
