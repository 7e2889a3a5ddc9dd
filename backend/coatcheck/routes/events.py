"""The account's live events, as a stream (server-sent events). Closes with `signed_out` when its session ends."""

import json
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from .. import callers
from ..callers import Caller
from ..clock import SECOND
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
    with desk.feed.listening(caller.account_id) as listener:
        # Looked at again: the session may have ended between the request's authentication and this line.
        await callers.require_living(desk, caller)
        yield "retry: 2000\n\n"
        # No longer than the credential would be believed anywhere else: then the client comes back with a new one.
        while not listener.lost and (left := caller.until - desk.clock.now()) > 0:
            event = await listener.next(min(_HEARTBEAT, left / SECOND))
            if event is None:
                yield ": still here\n\n"
                continue
            if event.kind == "session.turned":  # no news to anybody, but the end of whoever came with the old cookie
                if caller.by_cookie and caller.generation < desk.feed.turned(caller.session_id):
                    return
                continue
            yield _line(event.kind, event.data)
            if event.kind == "session.ended" and event.session_id == caller.session_id:
                yield _line("signed_out", event.data)
                return


def _line(kind: str, data: Mapping[str, str | None]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
