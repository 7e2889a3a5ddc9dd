"""No room for one more session: the person chooses which one gives way, and goes on."""

from fastapi import APIRouter, Request, Response

from .. import devices, ids, login, pending
from ..desk import Desk
from ..devices import Hint
from ..errors import NotFound, Problem
from ..factors.proofs import Answer
from ..refresh_tokens import Door
from . import cookies, paths
from .authentication import DeskOf, OriginOf
from .form_bodies import GiveUpIn
from .forms import TOLD, GuestFormOf
from .pages import page
from .pages_sign_in import Next, signed_in

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("/sign-in/limit")
async def limit_page(request: Request, desk: DeskOf, next: Next = None) -> Response:  # noqa: A002
    """The tickets to choose from."""
    return await _page(request, desk, paths.own(next))


@router.post("/sign-in/limit")
async def give_up(
    request: Request,
    form: GuestFormOf,
    desk: DeskOf,
    origin: OriginOf,
    next: Next = None,  # noqa: A002
) -> Response:
    """End the chosen one, and sign in."""
    target, token = paths.own(next), cookies.of(request, desk.settings, "pending") or ""
    try:
        session_id = ids.raw("ses", form.read(GiveUpIn).session_id)
        answer = Answer("sign_out", session_id=session_id)
        attempt = login.verify(desk, Door.WEB, token, answer, Hint(), origin)
        return await signed_in(request, desk, attempt, target)
    except (NotFound, *TOLD) as problem:
        return await _page(request, desk, target, problem)


async def _page(request: Request, desk: Desk, target: str, problem: Problem | None = None) -> Response:
    token = cookies.of(request, desk.settings, "pending") or ""
    waiting = await pending.peek(desk, "session_limit", token, Door.WEB.value)
    held = await devices.tickets(desk, waiting.account_id, b"", ended=False)
    return page(request, "limit.html", guest=True, problem=problem, devices=held, next=target)
