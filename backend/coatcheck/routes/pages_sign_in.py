"""The way in and the way out, on pages: sign in, sign up, sign out."""

from collections.abc import Awaitable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from .. import devices, login, registration
from ..desk import Desk
from ..errors import MfaRequired, Problem, SessionExpired, SessionLimit, SessionRevoked
from ..login import Grant
from ..refresh_tokens import Door
from ..verified_credentials import Caller
from ..words import farewell
from . import cookies, paths
from .authentication import DeskOf, OriginOf, desk_of
from .bodies import RegisterIn
from .form_bodies import SignInIn
from .forms import TOLD, GuestFormOf, HolderFormOf
from .pages import go, page

router = APIRouter(prefix="/account", include_in_schema=False)

Next = Annotated[str | None, Query()]


@router.get("/sign-in")
async def sign_in_page(request: Request, next: Next = None) -> Response:  # noqa: A002  # its name in the address
    """The form; who is signed in already is sent on."""
    found = request.scope["caller"]
    if isinstance(found, Caller):
        return go(request, paths.own(next))
    return _sign_in(request, paths.own(next), farewell=_farewell(found))


@router.post("/sign-in")
async def sign_in(
    request: Request,
    form: GuestFormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """A session, in a cookie that is new."""
    target = paths.own(next)
    try:
        body = form.read(SignInIn)
        hint = body.hint(cookies.of(request, desk.settings, "device") or "")
        used_link = cookies.of(request, desk.settings, "reset")
        attempt = login.sign_in(desk, Door.WEB, body.email, body.password, hint, origin, used_link)
        return await signed_in(request, desk, attempt, target)
    except TOLD as problem:
        return _sign_in(request, target, problem, form.kept("email", "keep"))


async def signed_in(request: Request, desk: Desk, attempt: Awaitable[Grant], target: str) -> Response:
    """What a sign-in comes to: a new cookie and on to `target`, or one more step. Raises what the attempt raises."""
    try:
        grant = await attempt
    except (MfaRequired, SessionLimit) as more:
        if more.challenge_token is None:
            raise
        step = "verify" if isinstance(more, MfaRequired) else "limit"
        answer = go(request, f"/account/sign-in/{step}?next={quote(target, safe='')}")
        cookies.write(answer, desk.settings, "pending", more.challenge_token)
        return answer
    answer = go(request, target)
    lasts = grant.session.idle_expires_at - desk.clock.now()
    cookies.write_session(answer, desk.settings, grant.pair.refresh_token, lasts)
    cookies.write(answer, desk.settings, "device", grant.device_secret)
    cookies.clear(answer, desk.settings, "pending")
    cookies.clear(answer, desk.settings, "reset")
    return answer


def _sign_in(
    request: Request,
    target: str,
    problem: Problem | None = None,
    kept: dict[str, str] | None = None,
    farewell: str | None = None,
) -> Response:
    days = desk_of(request).settings.web_kept_ttl // 86_400
    words = {"days": days, "next": target, "kept": kept or {"email": "", "keep": ""}, "farewell": farewell}
    return page(request, "sign_in.html", guest=True, problem=problem, **words)


def _farewell(found: Problem | None) -> str | None:
    """Why the cookie that this browser still has is not good any more."""
    if isinstance(found, SessionExpired):
        return "You've been away for a while. Sign in to go on."
    return farewell(found.reason, found.ended_by) if isinstance(found, SessionRevoked) else None


@router.get("/sign-up")
async def sign_up_page(request: Request) -> Response:
    """The form."""
    return _sign_up(request)


@router.post("/sign-up")
async def sign_up(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """An account. It does not sign in: that is the same form for everybody."""
    try:
        body = form.read(RegisterIn)
        made = await registration.register(desk, body.email, body.password, body.name, origin)
    except TOLD as problem:
        return _sign_up(request, problem, form.kept("email", "name"))
    return go(request, "/account/sign-in", "signed-up" if made else "look-into-mailbox")


def _sign_up(request: Request, problem: Problem | None = None, kept: dict[str, str] | None = None) -> Response:
    shortest = desk_of(request).settings.password_min_length
    kept = kept or {"email": "", "name": ""}
    return page(request, "sign_up.html", guest=True, problem=problem, kept=kept, shortest=shortest)


@router.post("/sign-out")
async def sign_out(request: Request, _form: HolderFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The end of the cookie's session."""
    await devices.sign_out(desk, Door.WEB, cookies.of(request, desk.settings, "session") or "", origin)
    answer = go(request, "/account/sign-in", "signed-out")
    cookies.clear(answer, desk.settings, "session")
    return answer
