"""The web door: one session cookie, for pages on the API's own domain."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from .. import callers, devices, login, refresh_tokens, sessions
from ..desk import Desk
from ..errors import SessionExpired, SessionRevoked, TokenInvalid
from ..login import Grant
from ..refresh_tokens import Door
from . import cookies, csrf
from .answers import AccountOut, SessionOut, WebOut, problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import StrictRoute, VerifyIn, WebLoginIn

router = APIRouter(prefix="/v1/web", tags=["web door"], route_class=StrictRoute)


@router.post("/login", responses=problems(401, 403, 409, 429))
async def web_login(body: WebLoginIn, request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> WebOut:
    """Sign in. Send `csrf_token` as `X-CSRF-Token` with every unsafe call from now on."""
    csrf.require_own_page(request, desk, "web")
    hint = body.hint(cookies.of(request, desk.settings, "device") or "")
    grant = await login.sign_in(desk, Door.WEB, body.email, body.password, hint, origin, body.reset_token)
    return _handed_out(grant, response, desk)


@router.post("/login/verify", responses=problems(401, 403, 404, 409, 429))
async def web_verify(body: VerifyIn, request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> WebOut:
    """Go on after `mfa_required` or `session_limit`."""
    csrf.require_own_page(request, desk, "web")
    hint = body.hint(cookies.of(request, desk.settings, "device") or "")
    grant = await login.verify(desk, Door.WEB, body.challenge_token, body.answer(), hint, origin)
    return _handed_out(grant, response, desk)


def _handed_out(grant: Grant, response: Response, desk: Desk) -> WebOut:
    lasts = grant.session.idle_expires_at - desk.clock.now()
    cookies.write_session(response, desk.settings, grant.pair.refresh_token, lasts)
    cookies.write(response, desk.settings, "device", grant.device_secret)
    return WebOut(
        account=AccountOut.of(grant.account),
        session=SessionOut.of(grant.session, current=True),
        csrf_token=csrf.token(desk, grant.session.id, grant.session.generation),
    )


@router.get("/session", responses=problems(401))
async def web_session(caller: CallerOf, desk: DeskOf) -> WebOut:
    """Who is signed in, for a page that has just been loaded."""
    if not caller.by_cookie:
        raise TokenInvalid("This address takes the web session cookie.")
    account, session = await sessions.described(desk, caller.account_id, caller.session_id)
    return WebOut(
        account=AccountOut.of(account),
        session=SessionOut.of(session, current=True),
        csrf_token=csrf.token(desk, caller.session_id, caller.generation),
    )


@router.post("/logout", status_code=204, responses=problems(403))
async def web_logout(request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> None:
    """Sign out. 204 whatever the cookie is worth; a living session also wants its CSRF token; 503 if we can't."""
    csrf.require_own_page(request, desk, "web")
    if text := cookies.of(request, desk.settings, "session"):
        # The cookie itself, whatever stands beside it: nobody should think she is signed out and be wrong. An outdated
        # one too, as the other doors' old tokens: the answer that held the newer one may have been lost.
        with suppress(TokenInvalid):
            token = refresh_tokens.read(desk.roots, text, Door.WEB)
            with suppress(SessionExpired, SessionRevoked):  # which nobody can harm any more
                with suppress(callers.Outdated):
                    await callers.by_web_cookie(desk, text, origin.ip)
                csrf.require_token(request, desk, token)
            # A dead one too: who ended it may have died before the other workers heard of it.
            await devices.sign_out(desk, Door.WEB, text, origin)
    cookies.clear(response, desk.settings, "session")
