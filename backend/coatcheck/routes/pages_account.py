"""Somebody's own account, on pages: home, activity, the account itself."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from .. import accounts, audit, devices, history, reauthentication
from ..desk import Desk
from ..errors import NotFound, Problem
from ..step_up import require_fresh
from ..tables import AuditEvent
from ..verified_credentials import Caller
from . import cookies, export
from .authentication import DeskOf, OriginOf
from .bodies import PasswordIn
from .form_bodies import ProfileIn
from .forms import TOLD, FormOf
from .pages import PageCallerOf, go, page

router = APIRouter(prefix="/account", include_in_schema=False)

_BRIEF, _PAGE = 3, 20  # events at home, and on a page of them

After = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$")]


@router.get("")
async def home(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """Who is signed in, where, and what happened lately."""
    account = await accounts.get(desk, caller.account_id)
    tickets = await devices.tickets(desk, caller.account_id, caller.session_id, ended=False)
    events, _ = await _events(desk, caller, None, _BRIEF)
    own = next((ticket for ticket in tickets if ticket.current), None)
    if own is None:  # ended between the look at the cookie and this line
        raise NotFound
    return page(request, "home.html", account=account, own=own, others=len(tickets) - 1, events=events)


@router.get("/activity")
async def activity(request: Request, caller: PageCallerOf, desk: DeskOf, after: After = None) -> Response:
    """What happened to the account, newest first."""
    events, earlier = await _events(desk, caller, int(after) if after else None, _PAGE)
    return page(request, "activity.html", events=events, earlier=earlier, after=after)


async def _events(
    desk: Desk, caller: Caller, before: int | None, limit: int
) -> tuple[list[tuple[AuditEvent, history.Line]], int | None]:
    """Events with their words, and where the earlier ones begin."""
    async with desk.db.reading() as db:
        found = await audit.of_account(db, caller.account_id, before, limit + 1)
        names = await devices.names(db, caller.account_id, (one.device_id for one in found))
    told = [
        (one, history.line(one.kind, names.get(one.device_id) if one.device_id else None, audit.told(one)))
        for one in found[:limit]
    ]
    return told, found[limit - 1].id if len(found) > limit else None


@router.get("/profile")
async def profile(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """The account, and all that can be done with it."""
    account = await accounts.get(desk, caller.account_id)
    return page(request, "profile.html", account=account, kept={"name": account.name or ""})


@router.post("/profile")
async def rename(request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf) -> Response:
    """A new name; an empty one removes it."""
    try:
        await accounts.rename(desk, caller.account_id, form.read(ProfileIn).name)
    except TOLD as problem:
        account = await accounts.get(desk, caller.account_id)
        return page(request, "profile.html", problem=problem, account=account, kept=form.kept("name"))
    return go(request, "/account/profile", "name-saved")


@router.get("/password")
async def password_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """The form."""
    return await _password(request, desk, caller)


@router.post("/password")
async def change_password(
    request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """A new password; every other device is signed out."""
    try:
        body = form.read(PasswordIn)
        cookie = cookies.of(request, desk.settings, "session")
        renewed = await reauthentication.by_changing_password(
            desk, caller, cookie, body.current_password, body.new_password, origin
        )
    except TOLD as problem:
        return await _password(request, desk, caller, problem)
    answer = go(request, "/account/profile", "password-changed")
    if renewed:
        cookies.write_session(answer, desk.settings, renewed.pair.refresh_token, caller.expires_at - desk.clock.now())
    return answer


async def _password(request: Request, desk: Desk, caller: Caller, problem: Problem | None = None) -> Response:
    account = await accounts.get(desk, caller.account_id)
    shortest = desk.settings.password_min_length
    return page(request, "password.html", problem=problem, account=account, shortest=shortest)


@router.get("/close")
async def close_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """What closing means, after a fresh proof."""
    require_fresh(desk, caller)
    return page(
        request,
        "confirm.html",
        title="Close your account?",
        text="This deletes your account with its devices and sessions. It can't be undone.",
        action="/account/close",
        yes="Close my account",
        back="/account/profile",
    )


@router.post("/close")
async def close(request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The end of the account."""
    await accounts.close(desk, caller, origin)
    answer = go(request, "/account/sign-in", "account-closed")
    cookies.clear(answer, desk.settings, "session")
    return answer


@router.get("/export")
async def export_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """What the file holds, after a fresh proof."""
    require_fresh(desk, caller)
    return page(request, "export.html")


@router.get(f"/{export.FILE_NAME}")
async def export_file(caller: PageCallerOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The file."""
    return await export.file_of(desk, caller, origin)
