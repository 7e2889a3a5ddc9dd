"""What mails are for: a forgotten password, an address to confirm or to change. A link's token is the proof."""

from fastapi import APIRouter, Response

from .. import email_change, not_me, password_reset, verification
from .answers import problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import StrictRoute
from .mail_bodies import EmailIn, LinkIn, LinkPasswordIn, NewPasswordIn

router = APIRouter(prefix="/v1", tags=["by mail"], route_class=StrictRoute)


@router.post("/password-reset", status_code=202, response_class=Response, responses=problems(429))
async def ask_for_reset(body: EmailIn, desk: DeskOf, origin: OriginOf) -> None:
    """Have a link for a new password mailed. The answer is the same whether or not anybody has the address."""
    await password_reset.ask(desk, body.email, origin)


@router.post("/password-reset/confirm", status_code=204, responses=problems(410))
async def confirm_reset(body: NewPasswordIn, desk: DeskOf, origin: OriginOf) -> None:
    """Choose a new password with the link's token. It does not sign in, and ends every session."""
    await password_reset.confirm(desk, body.token, body.new_password, origin)


@router.post("/me/email-verification", status_code=202, response_class=Response, responses=problems(401, 403, 429))
async def send_verification(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """Have another link to confirm the address mailed, if it is not confirmed yet."""
    await verification.again(desk, caller.account_id, origin)


@router.post("/email-verification/confirm", status_code=204, responses=problems(401, 410, 429))
async def confirm_verification(body: LinkPasswordIn, desk: DeskOf, origin: OriginOf) -> None:
    """Confirm an address with the link's token and the password. It does not sign in."""
    await verification.confirm(desk, body.token, body.password, origin)


@router.post("/me/email", status_code=202, response_class=Response, responses=problems(401, 403, 429))
async def ask_for_email_change(body: EmailIn, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """Have a link mailed to another address; needs a fresh proof. The same answer if somebody else has it."""
    await email_change.ask(desk, caller, body.email, origin)


@router.post("/email-change/confirm", status_code=204, responses=problems(401, 410, 429))
async def confirm_email_change(body: LinkPasswordIn, desk: DeskOf, origin: OriginOf) -> None:
    """Give the account its new address, with the link's token and the password. The old address is told."""
    await email_change.confirm(desk, body.token, body.password, origin)


@router.post("/email-change/undo", status_code=204, responses=problems(409, 410))
async def undo_email_change(body: LinkIn, desk: DeskOf, origin: OriginOf) -> None:
    """Give the account its old address back. Every session ends, and a new password has to be chosen."""
    await email_change.undo(desk, body.token, origin)


@router.post("/not-me", status_code=204, responses=problems(410))
async def this_was_not_me(body: LinkIn, desk: DeskOf, origin: OriginOf) -> None:
    """Answer an alert: the session it told about ends, and a link for a new password is mailed."""
    await not_me.answer(desk, body.token, origin)
