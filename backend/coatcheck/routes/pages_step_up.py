"""The pages that ask who is there, before what can't be undone, and then go on where it was interrupted."""

from collections.abc import Awaitable
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from .. import accounts, reauthentication
from ..desk import Desk
from ..errors import MfaRequired, Problem
from ..factors import holdings
from ..sessions import Origin
from ..step_up import Renewed
from ..verified_credentials import Caller
from . import cookies, paths
from .authentication import DeskOf, OriginOf
from .bodies import PasswordProofIn
from .form_bodies import SecondStepIn
from .forms import TOLD, FormOf
from .pages import PageCallerOf, go, page
from .pages_second_step import Method, ask, methods_of
from .pages_sign_in import Next

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("/step-up")
async def step_up_page(request: Request, caller: PageCallerOf, desk: DeskOf, next: Next = None) -> Response:  # noqa: A002
    """The form."""
    return await _page(request, desk, caller, paths.own(next))


@router.post("/step-up")
async def prove(
    request: Request,
    caller: PageCallerOf,
    form: FormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """The password. Where it is not enough, the second step follows."""
    target = paths.own(next)
    try:
        password = form.read(PasswordProofIn).password
        cookie = cookies.of(request, desk.settings, "session")
        attempt = reauthentication.by_password(desk, caller, cookie, password, origin)
        return await _proved(request, desk, caller, attempt, target)
    except MfaRequired as more:
        answer = go(request, f"/account/step-up/verify?next={quote(target, safe='')}")
        cookies.write(answer, desk.settings, "pending", more.challenge_token)
        return answer
    except TOLD as problem:
        return await _page(request, desk, caller, target, problem)


@router.get("/step-up/verify")
async def verify_page(
    request: Request,
    caller: PageCallerOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
    method: Method = None,
) -> Response:
    """The form of the second step; a passkey alone needs no first one."""
    return await _second(request, desk, caller, origin, paths.own(next), method)


@router.post("/step-up/verify")
async def verify(
    request: Request,
    caller: PageCallerOf,
    form: FormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """The second step."""
    target = paths.own(next)
    try:
        body = form.read(SecondStepIn)
        token = body.challenge_token or cookies.of(request, desk.settings, "pending") or ""
        cookie = cookies.of(request, desk.settings, "session")
        attempt = reauthentication.by_factor(desk, caller, cookie, token, body.answer(), origin)
        return await _proved(request, desk, caller, attempt, target)
    except TOLD as problem:
        return await _second(request, desk, caller, origin, target, form.fields.get("method"), problem)


async def _proved(request: Request, desk: Desk, caller: Caller, attempt: Awaitable[Renewed], target: str) -> Response:
    """A fresh proof, and with it a new cookie: the old one is dead (session fixation)."""
    renewed = await attempt
    answer = go(request, target)
    cookies.write_session(answer, desk.settings, renewed.pair.refresh_token, caller.expires_at - desk.clock.now())
    cookies.clear(answer, desk.settings, "pending")
    return answer


async def _page(request: Request, desk: Desk, caller: Caller, target: str, problem: Problem | None = None) -> Response:
    account = await accounts.get(desk, caller.account_id)
    held = await holdings.list_all(desk, caller.account_id)
    by_passkey = any(factor.method == "passkey" for factor in held.factors)
    return page(request, "step_up.html", problem=problem, account=account, by_passkey=by_passkey, next=target)


async def _second(
    request: Request,
    desk: Desk,
    caller: Caller,
    origin: Origin,
    target: str,
    chosen: str | None,
    problem: Problem | None = None,
) -> Response:
    token = cookies.of(request, desk.settings, "pending")
    if token is None and chosen == "passkey":
        asked = await ask(desk, origin, ("passkey",), chosen, None)
    else:
        methods = await methods_of(desk, "step_up", token, caller.session_id.hex())
        asked = await ask(desk, origin, methods, chosen, token)
    return page(
        request, "step_up_second.html", problem=problem, asked=asked, action="/account/step-up/verify", next=target
    )
