"""The administrators' desk: find an account, see where it is signed in, end that, disable it, give it a role."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from .. import account_search, administration, audit_reading, devices, ids
from ..account_search import Wanted
from ..errors import FieldError, InvalidRequest, NotFound
from .admin_answers import AdminAccountOut, AdminAccountsOut, AuditEventOut, AuditOut, EverybodyOut
from .admin_bodies import RoleIn, SearchIn
from .answers import DeviceOut, DevicesOut, EndedOut, problems
from .authentication import DeskOf
from .bodies import StrictRoute
from .staff import SUPPORT_LOOKS, AccountId, AdminActs, SupportActs

router = APIRouter(prefix="/v1/admin", tags=["administration"], route_class=StrictRoute)

_LOOK = problems(401, 403, 404)
_ACT = problems(401, 403, 404, 409)


@router.post("/accounts/search", dependencies=SUPPORT_LOOKS, responses=problems(401, 403))
async def find_accounts(body: SearchIn, desk: DeskOf) -> AdminAccountsOut:
    """Accounts by address; pass `next` as `after` for the page that follows."""
    after = ids.raw("acc", body.after) if body.after else None
    if body.after and after is None:
        raise InvalidRequest(errors=(FieldError("after", "invalid", "Pass the `next` of an earlier page."),))
    found = await account_search.find(desk, Wanted(body.email, body.role, body.disabled), after, body.limit + 1)
    page = [AdminAccountOut.of_found(one) for one in found[: body.limit]]
    return AdminAccountsOut(accounts=page, next=page[-1].id if len(found) > body.limit else None)


@router.get("/accounts/{account_id}", dependencies=SUPPORT_LOOKS, responses=_LOOK)
async def see_account(account_id: AccountId, desk: DeskOf) -> AdminAccountOut:
    """One account."""
    return AdminAccountOut.of_found(await account_search.one(desk, account_id))


@router.get("/accounts/{account_id}/devices", dependencies=SUPPORT_LOOKS, responses=_LOOK)
async def see_devices(account_id: AccountId, desk: DeskOf, ended: Annotated[bool, Query()] = False) -> DevicesOut:
    """Where it is signed in; with `ended=true` the ended sessions too."""
    await account_search.one(desk, account_id)
    found = await devices.tickets(desk, account_id, b"", ended)
    return DevicesOut(devices=[DeviceOut.of(ticket, b"") for ticket in found])


@router.get("/accounts/{account_id}/activity", dependencies=SUPPORT_LOOKS, responses=_LOOK)
async def see_activity(
    account_id: AccountId,
    desk: DeskOf,
    after: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> AuditOut:
    """Its security events, newest first."""
    await account_search.one(desk, account_id)
    return await audit_page(desk, audit_reading.Wanted(account_id=account_id), after, limit)


@router.delete("/accounts/{account_id}/sessions/{session_id}", status_code=204, responses=_LOOK)
async def end_session(staff: SupportActs, account_id: AccountId, session_id: str, desk: DeskOf) -> None:
    """End one session of the account; one that has ended already is 204 too."""
    target = ids.raw("ses", session_id)
    if target is None:
        raise NotFound
    await administration.sign_out_session(desk, account_id, target, staff)


@router.delete("/accounts/{account_id}/sessions", responses=_LOOK)
async def end_sessions(staff: SupportActs, account_id: AccountId, desk: DeskOf) -> EndedOut:
    """End all sessions of the account."""
    return EndedOut(ended=await administration.sign_out_account(desk, account_id, staff))


@router.post("/sign-out-everybody", responses=problems(401, 403))
async def end_everything(staff: AdminActs, desk: DeskOf) -> EverybodyOut:
    """End all sessions of everybody, but the caller's own. With `more`, call again."""
    ended, more = await administration.sign_out_everybody(desk, staff)
    return EverybodyOut(ended=ended, more=more)


@router.post("/accounts/{account_id}/disable", responses=_ACT)
async def disable(staff: AdminActs, account_id: AccountId, desk: DeskOf) -> EndedOut:
    """Disable the account: everything of it ends at once, and nobody signs in to it."""
    return EndedOut(ended=await administration.set_disabled(desk, account_id, True, staff))


@router.post("/accounts/{account_id}/enable", status_code=204, responses=_ACT)
async def enable(staff: AdminActs, account_id: AccountId, desk: DeskOf) -> None:
    """Let the account sign in again."""
    await administration.set_disabled(desk, account_id, False, staff)


@router.post("/accounts/{account_id}/password-reset", status_code=202, responses=problems(401, 403, 404, 409, 429))
async def start_reset(staff: AdminActs, account_id: AccountId, desk: DeskOf) -> Response:
    """Have a link for a new password sent to the owner. No administrator sets or sees a password."""
    await administration.start_reset(desk, account_id, staff)
    return Response(status_code=202)


@router.put("/accounts/{account_id}/role", responses=_ACT)
async def set_role(staff: AdminActs, account_id: AccountId, body: RoleIn, desk: DeskOf) -> EndedOut:
    """Give the account a role; a lower one than before ends its sessions."""
    return EndedOut(ended=await administration.set_role(desk, account_id, body.role, staff))


async def audit_page(desk: DeskOf, wanted: audit_reading.Wanted, after: str | None, limit: int) -> AuditOut:
    """A page of events. Raises InvalidRequest for an `after` that is none of ours."""
    found = await audit_reading.page(desk, wanted, event_id(after), limit + 1)
    page = found[:limit]
    events = [AuditEventOut.of(one) for one in page]
    return AuditOut(events=events, next=str(page[-1].id) if len(found) > limit else None)


def event_id(after: str | None) -> int | None:
    """The `next` of an earlier page. Raises InvalidRequest."""
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidRequest(errors=(FieldError("after", "invalid", "Pass the `next` of an earlier page."),))
    return int(after) if after else None
