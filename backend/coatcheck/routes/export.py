"""Somebody's own data, to take along: one JSON document of a fixed name."""

from fastapi import APIRouter, Response

from .. import accounts, audit, devices, step_up
from ..clock import rfc3339
from ..desk import Desk
from ..sessions import Origin
from ..verified_credentials import Caller
from .answers import AccountOut, DeviceOut, EventOut, ExportOut, problems
from .authentication import CallerOf, DeskOf, OriginOf

router = APIRouter(prefix="/v1", tags=["account"])

FILE_NAME = "coatcheck-export.json"  # fixed: nothing that somebody typed is ever in a header
_MOST_EVENTS = 10_000


@router.get("/me/export", response_model=ExportOut, responses=problems(401))
async def export_me(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> Response:
    """All we hold about the caller: account, devices, sessions of the last 30 days, activity. Needs a fresh proof."""
    return await file_of(desk, caller, origin)


async def file_of(desk: Desk, caller: Caller, origin: Origin) -> Response:
    """The file. Raises ReauthenticationRequired."""
    step_up.require_fresh(desk, caller)
    account = await accounts.get(desk, caller.account_id)
    tickets = await devices.tickets(desk, caller.account_id, caller.session_id, ended=True)
    now = desk.clock.now()
    async with desk.db.writing() as db:
        audit.record(db, now, "account.exported", account_id=account.id, session_id=caller.session_id, ip=origin.ip)
        events = await audit.of_account(db, account.id, None, _MOST_EVENTS + 1)
        names = await devices.names(db, account.id)
        await db.commit()
    told = ExportOut(
        exported_at=rfc3339(now),
        account=AccountOut.of(account),
        devices=[DeviceOut.of(ticket, caller.session_id) for ticket in tickets],
        activity=[EventOut.of(event, names) for event in events[:_MOST_EVENTS]],
        activity_complete=len(events) <= _MOST_EVENTS,
    )
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"', "Cache-Control": "no-store"}
    return Response(told.model_dump_json(indent=2), media_type="application/json", headers=headers)
