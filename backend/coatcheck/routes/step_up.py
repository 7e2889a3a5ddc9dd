"""The fresh proof that irreversible acts ask for."""

from fastapi import APIRouter, Request, Response

from .. import reauthentication
from . import cookies, csrf
from .answers import RenewedCookieOut, RenewedTokenOut, problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import ProofIn, StrictRoute

router = APIRouter(prefix="/v1", tags=["account"], route_class=StrictRoute)


@router.post("/me/reauthenticate", responses=problems(401, 403, 409, 429))
async def reauthenticate(
    body: ProofIn, request: Request, response: Response, caller: CallerOf, desk: DeskOf, origin: OriginOf
) -> RenewedTokenOut | RenewedCookieOut:
    """Prove who you are; the next five minutes need no further proof. Go on with the credential in the answer.

    Who has a second factor is answered `mfa_required`: send the second step here, as at a door's `login/verify`.
    """
    cookie = cookies.of(request, desk.settings, "session") if caller.by_cookie else None
    if answer := body.answer():
        token = body.challenge_token or ""
        renewed = await reauthentication.by_factor(desk, caller, cookie, token, answer, origin)
    else:
        renewed = await reauthentication.by_password(desk, caller, cookie, body.password or "", origin)
    if not caller.by_cookie:
        return RenewedTokenOut(access_token=renewed.pair.access_token, expires_in=renewed.pair.expires_in)
    cookies.write_session(response, desk.settings, renewed.pair.refresh_token, caller.expires_at - desk.clock.now())
    return RenewedCookieOut(csrf_token=csrf.token(desk, caller.session_id, renewed.generation))
