"""The account's live events, as a stream (server-sent events). Closes with `signed_out` when its session ends."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from .. import account_events, callers
from ..account_events import Listener
from ..clock import SECOND
from ..desk import Desk
from ..verified_credentials import Caller
from .answers import problems
from .authentication import CallerOf, DeskOf
from .streams import EventStream

router = APIRouter(prefix="/v1", tags=["events"])

_HEARTBEAT = 15.0  # seconds
_RETRY = 2_000  # milliseconds a client should wait before it comes back


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=problems(401, 429, 503) | {200: {"content": {"text/event-stream": {}}}},
)
async def events(
    caller: CallerOf, desk: DeskOf, last_event_id: Annotated[str | None, Header(max_length=64)] = None
) -> StreamingResponse:
    """`session.started`, `session.ended`, `token.reused`, as they happen, on any worker.

    With `Last-Event-ID`, what happened since that event; `missed` if not all of it is known any more.
    """
    with ExitStack() as place:
        listener = place.enter_context(desk.feed.events.listening(caller.account_id, last_event_id))
        # Looked at again: the session may have ended between the request's authentication and this line.
        await callers.require_living(desk, caller)
        return EventStream(_body(desk, caller, listener), place.pop_all())


async def _body(desk: Desk, caller: Caller, listener: Listener) -> AsyncIterator[str]:
    yield f"retry: {_RETRY}\nid: {listener.cursor}\n\n"
    if listener.missed:
        yield _line("missed", {})
    # No longer than the credential would be believed anywhere else: then the client comes back with a new one.
    while not listener.lost and not listener.closing and (left := caller.until - desk.clock.now()) > 0:
        event = await listener.next(min(_HEARTBEAT, left / SECOND))
        if event is None:
            yield ": still here\n\n"
            continue
        yield f"id: {account_events.identify(event)}\n{_line(event.kind, event.data)}"
        if event.kind == "session.ended" and event.session_id == caller.session_id:
            yield _line("signed_out", event.data)
            return
    if listener.closing:
        yield f"retry: {random.randint(_RETRY // 4, 2 * _RETRY)}\n\n"  # noqa: S311  # not everybody at once


def _line(kind: str, data: Mapping[str, str | None]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
