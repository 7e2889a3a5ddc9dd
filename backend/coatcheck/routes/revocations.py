"""Ended sessions, for services that are not Coatcheck: signed lists, asked for or followed (docs/verifier.md).

Public: a session id opens nothing, and a list names nobody. Never cached: a list is worth what it is fresh.
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from ..revocation_lists import MOST, TYPE
from .answers import problems
from .authentication import DeskOf, client_ip
from .streams import EventStream

router = APIRouter(prefix="/v1", tags=["revocations"])

_MEDIA_TYPE = f"application/{TYPE}"
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

    return EventStream(body(), place)


def _event(told: tuple[str, str]) -> str:
    cursor, text = told
    return f"id: {cursor}\nevent: revocations\ndata: {text}\n\n"
