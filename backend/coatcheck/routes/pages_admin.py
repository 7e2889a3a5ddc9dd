"""The administrators' desk, on pages: find an account, see where it is signed in, end that, disable it, give it a role.

The rules are those of `/v1/admin`: the role is the one in the account's row now, and every act wants a fresh proof.
What is looked for stands in a form's body, not in an address: it is somebody's e-mail address.
"""

from fastapi import APIRouter, Request, Response

from .. import account_search, administration, audit_reading, devices, ids
from ..account_search import Wanted
from ..desk import Desk
from ..errors import NotFound, Problem
from ..roles import Staff
from .authentication import DeskOf
from .form_bodies import AccountSearchIn
from .forms import TOLD, FormOf
from .pages import go, page
from .pages_account import After
from .pages_staff import AdminRules, SupportActs, SupportLooks, facts, go_to_account
from .staff import AccountId

router = APIRouter(prefix="/admin", include_in_schema=False)

_ACCOUNTS, _EVENTS = 25, 20  # on a page


@router.get("")
async def accounts_page(request: Request, staff: SupportLooks, desk: DeskOf) -> Response:
    """Everybody, from the beginning."""
    return await _found(request, staff, desk, AccountSearchIn())


@router.post("")
async def find_accounts(request: Request, staff: SupportLooks, form: FormOf, desk: DeskOf) -> Response:
    """Accounts by address. Nothing is changed, so the answer is the page itself."""
    try:
        return await _found(request, staff, desk, form.read(AccountSearchIn))
    except TOLD as problem:
        return await _found(request, staff, desk, AccountSearchIn(), problem)


async def _found(
    request: Request, staff: Staff, desk: Desk, body: AccountSearchIn, problem: Problem | None = None
) -> Response:
    after = ids.raw("acc", body.after) if body.after else None
    disabled = None if body.state is None else body.state == "disabled"
    found = await account_search.find(desk, Wanted(body.email, body.role, disabled), after, _ACCOUNTS + 1)
    return page(
        request,
        "admin_accounts.html",
        problem=problem,
        staff=staff,
        found=found[:_ACCOUNTS],
        following=found[_ACCOUNTS - 1].account.id if len(found) > _ACCOUNTS else None,
        kept=body,
    )


@router.get("/accounts/{account_id}")
async def account_page(request: Request, staff: SupportLooks, account_id: AccountId, desk: DeskOf) -> Response:
    """One account: where it is signed in, and what can be done."""
    found = await account_search.one(desk, account_id)
    tickets = await devices.tickets(desk, account_id, b"", ended=True)
    living = [one for one in tickets if any(session.ended_at is None for session in one.sessions)]
    ended = [one for one in tickets if one not in living]
    return page(request, "admin_account.html", staff=staff, found=found, living=living, ended=ended)


@router.get("/accounts/{account_id}/activity")
async def activity_page(
    request: Request, staff: SupportLooks, account_id: AccountId, desk: DeskOf, after: After = None
) -> Response:
    """Its security events, newest first."""
    found = await account_search.one(desk, account_id)
    before = int(after) if after else None
    wanted = audit_reading.Wanted(account_id=account_id)
    events = await audit_reading.page(desk, wanted, before, _EVENTS + 1)
    return page(
        request,
        "admin_activity.html",
        staff=staff,
        found=found,
        events=events[:_EVENTS],
        facts=facts,
        earlier=events[_EVENTS - 1].id if len(events) > _EVENTS else None,
    )


@router.post("/accounts/{account_id}/sessions/{session_id}/sign-out")
async def end_session(
    request: Request, staff: SupportActs, account_id: AccountId, session_id: str, _form: FormOf, desk: DeskOf
) -> Response:
    """End one session."""
    target = ids.raw("ses", session_id)
    if target is None:
        raise NotFound
    await administration.sign_out_session(desk, account_id, target, staff)
    return go_to_account(request, account_id, "session-signed-out")


@router.get("/accounts/{account_id}/sign-out")
async def end_sessions_page(request: Request, _staff: SupportActs, account_id: AccountId, desk: DeskOf) -> Response:
    """Are you sure?"""
    found = await account_search.one(desk, account_id)
    address = f"/admin/accounts/{ids.text('acc', account_id)}"
    return page(
        request,
        "confirm.html",
        title="Sign this account out everywhere?",
        text=f"Every session of {found.account.email} ends at once.",
        action=f"{address}/sign-out",
        yes="Sign it out",
        back=address,
    )


@router.post("/accounts/{account_id}/sign-out")
async def end_sessions(
    request: Request, staff: SupportActs, account_id: AccountId, _form: FormOf, desk: DeskOf
) -> Response:
    """End all of them."""
    await administration.sign_out_account(desk, account_id, staff)
    return go_to_account(request, account_id, "account-signed-out")


@router.get("/everybody")
async def everybody_page(request: Request, _staff: AdminRules) -> Response:
    """Are you very sure?"""
    return page(
        request,
        "confirm.html",
        title="Sign everybody out?",
        text="Every session of every account ends at once, but your own here. People have to sign in again.",
        action="/admin/everybody",
        yes="Sign everybody out",
        back="/admin",
    )


@router.post("/everybody")
async def end_everything(request: Request, staff: AdminRules, _form: FormOf, desk: DeskOf) -> Response:
    """End everything but this session."""
    _, more = await administration.sign_out_everybody(desk, staff)
    return go(request, "/admin", "some-left" if more else "everybody-signed-out")
