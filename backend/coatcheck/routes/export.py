"""Somebody's own data, to take along: one JSON document of a fixed name, read and written in pieces."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from .. import accounts, audit, devices, step_up
from ..clock import rfc3339
from ..desk import Desk
from ..sessions import Origin
from ..tables import AuditEvent
from ..verified_credentials import Caller
from .answers import AccountOut, DeviceOut, EventOut, ExportOut, problems
from .authentication import CallerOf, DeskOf, OriginOf

router = APIRouter(prefix="/v1", tags=["account"])

FILE_NAME = "coatcheck-export.json"  # fixed: nothing that somebody typed is ever in a header
_MOST_EVENTS = 10_000
_AT_ONCE = 100  # events: others' requests wait for no more than these, and no more are in memory


@router.get("/me/export", response_model=ExportOut, responses=problems(401, 429))
async def export_me(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> Response:
    """All we hold about the caller: account, devices, sessions of the last 30 days, activity. Needs a fresh proof."""
    return await file_of(desk, caller, origin)


async def file_of(desk: Desk, caller: Caller, origin: Origin) -> Response:
    """The file. Raises ReauthenticationRequired, RateLimited."""
    step_up.require_fresh(desk, caller)
    await desk.throttle.export(caller.account_id)
    account = await accounts.get(desk, caller.account_id)
    tickets = await devices.tickets(desk, caller.account_id, caller.session_id, ended=True)
    now = desk.clock.now()
    async with desk.db.writing() as db:
        audit.record(db, now, "account.exported", account_id=account.id, session_id=caller.session_id, ip=origin.ip)
        await db.commit()
    first = await _read(desk, account.id, None)
    start = ExportOut(
        exported_at=rfc3339(now),
        account=AccountOut.of(account),
        devices=[DeviceOut.of(ticket, caller.session_id) for ticket in tickets],
        activity=[],
        activity_complete=True,
    ).model_dump_json(indent=2, exclude={"activity", "activity_complete"})
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"', "Cache-Control": "no-store"}
    pieces = _pieces(desk, account.id, start, first)
    return StreamingResponse(pieces, media_type="application/json", headers=headers)


async def _read(desk: Desk, account_id: bytes, before: int | None) -> tuple[list[AuditEvent], dict[bytes, str]]:
    """The next events, newest first, and the names of their devices."""
    async with desk.db.reading() as db:
        events = await audit.of_account(db, account_id, before, _AT_ONCE)
        return events, await devices.names(db, account_id, (event.device_id for event in events))


async def _pieces(
    desk: Desk, account_id: bytes, start: str, first: tuple[list[AuditEvent], dict[bytes, str]]
) -> AsyncIterator[str]:
    """The document. Each piece is read by itself, so that the database is not held while a client reads slowly."""
    yield start.removesuffix("\n}") + ',\n  "activity": ['
    (events, names), written = first, 0
    while events and written < _MOST_EVENTS:
        lines = ",\n    ".join(EventOut.of(event, names).model_dump_json() for event in events)
        yield ("," if written else "") + "\n    " + lines
        written += len(events)
        events, names = await _read(desk, account_id, events[-1].id)
    yield f'\n  ],\n  "activity_complete": {"false" if events else "true"}\n}}'
