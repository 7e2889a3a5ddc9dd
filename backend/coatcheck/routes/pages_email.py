"""One's address, on pages: change it, have the link sent again. What the links lead to is in pages_recovery.py."""

from fastapi import APIRouter, Request, Response

from .. import accounts, email_change, verification
from ..desk import Desk
from ..errors import Problem, RateLimited
from ..step_up import require_fresh
from ..verified_credentials import Caller
from .authentication import DeskOf, OriginOf
from .forms import TOLD, FormOf
from .mail_bodies import EmailIn
from .pages import PageCallerOf, go, page

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("/email")
async def email_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """The form, after a fresh proof."""
    require_fresh(desk, caller)
    return await _email(request, desk, caller)


@router.post("/email")
async def change_email(
    request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """A link to the new address."""
    try:
        await email_change.ask(desk, caller, form.read(EmailIn).email, origin)
    except TOLD as problem:
        return await _email(request, desk, caller, problem, form.kept("email"))
    return go(request, "/account/profile", "address-asked")


@router.post("/email/again")
async def send_again(request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """Another link for the address as it is."""
    try:
        await verification.again(desk, caller.account_id, origin)
    except RateLimited:
        return go(request, "/account/profile", "link-sent")  # the newest one is there already
    return go(request, "/account/profile", "link-sent")


async def _email(
    request: Request, desk: Desk, caller: Caller, problem: Problem | None = None, kept: dict[str, str] | None = None
) -> Response:
    account = await accounts.get(desk, caller.account_id)
    kept = kept or {"email": ""}
    return page(request, "email.html", problem=problem, account=account, kept=kept, here="/account/profile")
