"""The second step of a sign-in, on pages: a code, or a passkey; and a sign-in that begins with a passkey.

What is pending stands on the server; the browser has its token in a cookie that no script reads. A passkey needs a
script, the one thing here that does; the page offers the other ways beside it.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from .. import login, pending
from ..desk import Desk
from ..devices import Hint
from ..errors import ChallengeExpired, Problem
from ..factors import ceremonies, holdings
from ..refresh_tokens import Door
from ..sessions import Origin
from . import cookies, csrf, paths
from .authentication import DeskOf, OriginOf
from .form_bodies import SecondStepIn
from .forms import TOLD, GuestFormOf
from .pages import go, page
from .pages_sign_in import Next, signed_in

router = APIRouter(prefix="/account", include_in_schema=False)

Method = Annotated[str | None, Query(pattern="^(totp|passkey|recovery_code)$")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page asks for: a method, the others instead of it, and for a passkey what the browser is given."""

    method: str
    others: list[str]
    token: str = ""
    options: str = ""


async def ask(desk: Desk, origin: Origin, methods: tuple[str, ...], chosen: str | None, token: str | None) -> Asked:
    """One of `methods`, the chosen one if it is among them. Raises ChallengeExpired, RateLimited."""
    if not methods:
        raise ChallengeExpired
    method = chosen if chosen in methods else methods[0]
    others = [one for one in methods if one != method]
    if method != "passkey":
        return Asked(method, others)
    await desk.throttle.challenge(origin.ip)
    begun = await ceremonies.begin(desk, token)
    return Asked(method, others, begun.token, json.dumps(begun.public_key))


async def methods_of(desk: Desk, purpose: str, token: str | None, place: str) -> tuple[str, ...]:
    """How somebody half-way can go on. Raises ChallengeExpired."""
    waiting = await pending.peek(desk, purpose, token or "", place)
    async with desk.db.reading() as db:
        return await holdings.methods(db, waiting.account_id)


@router.get("/sign-in/verify")
async def verify_page(
    request: Request,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
    method: Method = None,
) -> Response:
    """The form."""
    return await _page(request, desk, origin, paths.own(next), method)


@router.post("/sign-in/verify")
async def verify(
    request: Request,
    form: GuestFormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """The session, or the same form once more."""
    target = paths.own(next)
    try:
        return await _answered(request, form.read(SecondStepIn), desk, origin, target)
    except TOLD as problem:
        return await _page(request, desk, origin, target, form.fields.get("method"), problem)


@router.get("/sign-in/passkey")
async def passkey_page(request: Request, desk: DeskOf, origin: OriginOf, next: Next = None) -> Response:  # noqa: A002
    """A sign-in that needs no password.

    The page holds a challenge, which counts for the visitor's address; so no other site may have it fetched.
    """
    target = paths.own(next)
    if csrf.is_cross_site(request):
        return go(request, f"/account/sign-in?next={quote(target, safe='')}")
    return await _passkey(request, desk, origin, target)


@router.post("/sign-in/passkey")
async def sign_in_with_passkey(
    request: Request,
    form: GuestFormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """The session."""
    target = paths.own(next)
    try:
        return await _answered(request, form.read(SecondStepIn), desk, origin, target)
    except TOLD as problem:
        return await _passkey(request, desk, origin, target, problem)


async def _answered(request: Request, body: SecondStepIn, desk: Desk, origin: Origin, target: str) -> Response:
    token = body.challenge_token or cookies.of(request, desk.settings, "pending") or ""
    hint = Hint(secret=cookies.of(request, desk.settings, "device") or "")
    return await signed_in(request, desk, login.verify(desk, Door.WEB, token, body.answer(), hint, origin), target)


async def _page(
    request: Request, desk: Desk, origin: Origin, target: str, chosen: str | None, problem: Problem | None = None
) -> Response:
    token = cookies.of(request, desk.settings, "pending")
    methods = await methods_of(desk, "sign_in", token, Door.WEB.value)
    asked = await ask(desk, origin, methods, chosen, token)
    return _shown(request, "/account/sign-in/verify", asked, target, problem)


async def _passkey(
    request: Request, desk: Desk, origin: Origin, target: str, problem: Problem | None = None
) -> Response:
    asked = await ask(desk, origin, ("passkey",), None, None)
    return _shown(request, "/account/sign-in/passkey", asked, target, problem)


def _shown(request: Request, action: str, asked: Asked, target: str, problem: Problem | None) -> Response:
    words: dict[str, Any] = {"action": action, "asked": asked, "next": target}
    return page(request, "second_step.html", guest=True, problem=problem, **words)
