"""The spa door: the access token travels in the body, the refresh token in an HttpOnly cookie."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from .. import devices, login, sessions
from ..desk import Desk
from ..errors import TokenInvalid, Unauthenticated, Unavailable
from ..login import Grant
from ..refresh_tokens import Door
from ..verified_credentials import Caller
from . import cookies, csrf
from .answers import SpaOut, problems
from .authentication import DeskOf, OriginOf
from .bodies import LoginIn, StrictRoute, VerifyIn

router = APIRouter(prefix="/v1/spa", tags=["spa door"], route_class=StrictRoute)


@router.post("/login", responses=problems(401, 403, 409, 429))
async def spa_login(body: LoginIn, request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> SpaOut:
    """Sign in."""
    csrf.require_own_page(request, desk, "spa")
    hint = body.hint(cookies.of(request, desk.settings, "device") or "")
    grant = await login.sign_in(desk, Door.SPA, body.email, body.password, hint, origin, body.reset_token)
    return _handed_out(grant, response, desk)


@router.post("/login/verify", responses=problems(401, 403, 404, 409, 429))
async def spa_verify(body: VerifyIn, request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> SpaOut:
    """Go on after `mfa_required` or `session_limit`."""
    csrf.require_own_page(request, desk, "spa")
    hint = body.hint(cookies.of(request, desk.settings, "device") or "")
    grant = await login.verify(desk, Door.SPA, body.challenge_token, body.answer(), hint, origin)
    return _handed_out(grant, response, desk)


def _handed_out(grant: Grant, response: Response, desk: Desk) -> SpaOut:
    cookies.write(response, desk.settings, "refresh", grant.pair.refresh_token)
    cookies.write(response, desk.settings, "device", grant.device_secret)
    return SpaOut.of(grant.pair, grant.account, grant.session)


@router.post("/refresh", responses=problems(401, 403, 429))
async def spa_refresh(request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> SpaOut:
    """A fresh access token. Every answer sets the current cookie again, a repeated one too."""
    csrf.require_own_page(request, desk, "spa")
    text = cookies.of(request, desk.settings, "refresh")
    if not text:
        raise Unauthenticated
    # A refusal leaves the cookie alone: one jar serves all tabs, and a late refusal must not take a newer session's.
    pair = await sessions.refresh(desk, Door.SPA, text, origin)
    cookies.write(response, desk.settings, "refresh", pair.refresh_token)
    account, session = await sessions.described(desk, pair.account_id, pair.session_id)
    return SpaOut.of(pair, account, session)


@router.post("/logout", status_code=204, responses=problems(403))
async def spa_logout(request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> None:
    """Sign out: the cookie's session and the access token's. 204 whatever they are worth; 503 if we can't."""
    csrf.require_own_page(request, desk, "spa")
    found = request.scope["caller"]
    if isinstance(found, Unavailable):
        raise found
    if text := cookies.of(request, desk.settings, "refresh"):
        with suppress(TokenInvalid):
            await devices.sign_out(desk, Door.SPA, text, origin)
    if isinstance(found, Caller) and not found.by_cookie:
        await devices.sign_out_self(desk, found.session_id, origin)
    cookies.clear(response, desk.settings, "refresh")
