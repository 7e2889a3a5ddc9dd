"""The spa door: the access token travels in the body, the refresh token in an HttpOnly cookie."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from .. import devices, login, sessions
from ..callers import Caller
from ..errors import Problem, SessionExpired, SessionRevoked, TokenInvalid, TokenReused, Unauthenticated
from ..refresh_tokens import Door
from . import cookies, csrf
from .answers import SpaOut, problems
from .authentication import DeskOf, OriginOf
from .bodies import LoginIn, StrictRoute
from .problems import response as refusal_response

router = APIRouter(prefix="/v1/spa", tags=["spa door"], route_class=StrictRoute)


@router.post("/login", responses=problems(401, 403, 429))
async def spa_login(body: LoginIn, request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> SpaOut:
    """Sign in."""
    csrf.require_own_page(request, desk, "spa")
    hint = body.hint(cookies.of(request, desk.settings, "device") or "")
    grant = await login.sign_in(desk, Door.SPA, body.email, body.password, hint, origin)
    cookies.write(response, desk.settings, "refresh", grant.pair.refresh_token)
    cookies.write(response, desk.settings, "device", grant.device_secret)
    return SpaOut.of(grant.pair, grant.account, grant.session)


@router.post("/refresh", response_model=SpaOut, responses=problems(401, 403, 429))
async def spa_refresh(request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> SpaOut | Response:
    """A fresh access token. Every answer sets the current cookie again, a repeated one too."""
    csrf.require_own_page(request, desk, "spa")
    text = cookies.of(request, desk.settings, "refresh")
    if not text:
        raise Unauthenticated
    try:
        pair = await sessions.refresh(desk, Door.SPA, text, origin)
    except (SessionExpired, SessionRevoked, TokenReused) as ended:
        return await _ended(request, desk, ended, text)
    cookies.write(response, desk.settings, "refresh", pair.refresh_token)
    account, session = await sessions.described(desk, pair)
    return SpaOut.of(pair, account, session)


async def _ended(request: Request, desk: DeskOf, problem: Problem, text: str) -> Response:
    """The session is dead, so its cookie can go; unless the browser has signed in anew meanwhile: one jar serves all
    tabs, and a late answer to an old tab must not take the new session's cookie away."""
    answer = refusal_response(problem, request.scope["path"])
    if not await sessions.has_successor(desk, Door.SPA, text):
        cookies.clear(answer, desk.settings, "refresh")
    return answer


@router.post("/logout", status_code=204, responses=problems(403))
async def spa_logout(request: Request, response: Response, desk: DeskOf, origin: OriginOf) -> None:
    """Sign out: the cookie's session, or without one the access token's. 204 in every case."""
    csrf.require_own_page(request, desk, "spa")
    found = request.scope["caller"]
    if text := cookies.of(request, desk.settings, "refresh"):
        with suppress(TokenInvalid):
            await devices.sign_out(desk, Door.SPA, text, origin)
    elif isinstance(found, Caller) and not found.by_cookie:
        await devices.sign_out_self(desk, found.session_id, origin)
    cookies.clear(response, desk.settings, "refresh")
