"""What a mail is for: a forgotten password. All of it without a sign-in; the proof is a link's token."""

from fastapi import APIRouter, Response

from .. import password_reset
from .answers import problems
from .authentication import DeskOf, OriginOf
from .bodies import EmailIn, NewPasswordIn, StrictRoute

router = APIRouter(prefix="/v1", tags=["by mail"], route_class=StrictRoute)


@router.post("/password-reset", status_code=202, response_class=Response, responses=problems(429))
async def ask_for_reset(body: EmailIn, desk: DeskOf, origin: OriginOf) -> None:
    """Have a link for a new password mailed. The answer is the same whether or not anybody has the address."""
    await password_reset.ask(desk, body.email, origin)


@router.post("/password-reset/confirm", status_code=204, responses=problems(410))
async def confirm_reset(body: NewPasswordIn, desk: DeskOf, origin: OriginOf) -> None:
    """Choose a new password with the link's token. It does not sign in, and ends every session."""
    await password_reset.confirm(desk, body.token, body.new_password, origin)
