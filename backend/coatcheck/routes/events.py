"""The account's live events, as a stream (server-sent events). Closes with `signed_out` when its session ends."""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ..callers import Caller
from ..desk import Desk
from .answers import problems
from .authentication import CallerOf, DeskOf

router = APIRouter(prefix="/v1", tags=["events"])

_HEARTBEAT = 15.0  # seconds


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=problems(401, 429) | {200: {"content": {"text/event-stream": {}}}},
)
async def events(caller: CallerOf, desk: DeskOf) -> StreamingResponse:
    """`session.started`, `session.ended`, `token.reused`, as they happen, on any worker."""
    stream = _stream(desk, caller)
    first = await anext(stream)  # refused before the first byte, not in the middle of a stream

    async def body() -> AsyncIterator[str]:
        yield first
        async for chunk in stream:
            yield chunk

    return StreamingResponse(body(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _stream(desk: Desk, caller: Caller) -> AsyncIterator[str]:
    with desk.feed.listening(caller.account_id) as queue:
        yield "retry: 2000\n\n"
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), _HEARTBEAT)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            data = json.dumps(event.data, ensure_ascii=False)
            yield f"event: {event.kind}\ndata: {data}\n\n"
            if event.kind == "session.ended" and event.session_id == caller.session_id:
                yield f"event: signed_out\ndata: {data}\n\n"
                return
