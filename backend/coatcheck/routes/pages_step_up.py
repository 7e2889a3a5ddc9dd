"""The page that asks who is there, before what can't be undone, and then goes on where it was interrupted."""

from fastapi import APIRouter, Request, Response

from .. import accounts, reauthentication
from ..callers import Caller
from ..desk import Desk
from ..errors import Problem
from . import cookies, paths
from .authentication import DeskOf, OriginOf
from .bodies import PasswordProofIn
from .forms import TOLD, FormOf
from .pages import PageCallerOf, go, page
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
    """A fresh proof, and with it a new cookie: the old one is dead (session fixation)."""
    try:
        password = form.read(PasswordProofIn).password
        cookie = cookies.of(request, desk.settings, "session")
        renewed = await reauthentication.by_password(desk, caller, cookie, password, origin)
    except TOLD as problem:
        return await _page(request, desk, caller, paths.own(next), problem)
    answer = go(request, paths.own(next))
    cookies.write_session(answer, desk.settings, renewed.pair.refresh_token, caller.expires_at - desk.clock.now())
    return answer


async def _page(request: Request, desk: Desk, caller: Caller, target: str, problem: Problem | None = None) -> Response:
    account = await accounts.get(desk, caller.account_id)
    return page(request, "step_up.html", problem=problem, account=account, next=target)
