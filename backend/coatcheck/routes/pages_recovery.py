"""The pages that mails lead to. Looking at one changes nothing, so a mail scanner may: only its form spends the link.

The link's token stands in the fragment, which never reaches us; the page's script puts it into the form and takes it
out of the address. Without a script the person copies it.
"""

from fastapi import APIRouter, Request, Response

from .. import email_change, not_me, password_reset, verification
from ..errors import LinkInvalid, Problem
from . import cookies
from .authentication import DeskOf, OriginOf, desk_of
from .forms import TOLD, GuestFormOf
from .mail_bodies import EmailIn, LinkIn, LinkPasswordIn, NewPasswordIn
from .pages import go, page

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("/forgot")
async def forgot_page(request: Request) -> Response:
    """The form."""
    return _forgot(request)


@router.post("/forgot")
async def forgot(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The same answer for every address."""
    try:
        await password_reset.ask(desk, form.read(EmailIn).email, origin)
    except TOLD as problem:
        return _forgot(request, problem, form.kept("email"))
    return go(request, "/account/forgot/sent")


@router.get("/forgot/sent")
async def forgot_sent(request: Request) -> Response:
    """What to do now."""
    return _forgot(request, sent=True)


@router.get("/reset")
async def reset_page(request: Request) -> Response:
    """The form that a link leads to."""
    return _reset(request)


@router.post("/reset")
async def reset(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """A new password, and then the way in."""
    try:
        body = form.read(NewPasswordIn)
        await password_reset.confirm(desk, body.token, body.new_password, origin)
    except (LinkInvalid, *TOLD) as problem:
        return _reset(request, problem, form.kept("token"))
    answer = go(request, "/account/sign-in", "password-reset")
    cookies.write(answer, desk.settings, "reset", body.token)
    return answer


def _forgot(
    request: Request, problem: Problem | None = None, kept: dict[str, str] | None = None, sent: bool = False
) -> Response:
    return page(request, "forgot.html", guest=True, problem=problem, kept=kept or {"email": ""}, sent=sent)


def _reset(request: Request, problem: Problem | None = None, kept: dict[str, str] | None = None) -> Response:
    shortest = desk_of(request).settings.password_min_length
    return page(request, "reset.html", guest=True, problem=problem, kept=kept or {"token": ""}, shortest=shortest)


# What else a link leads to: title, sentence, button, and whether the password is asked for.
_WORDS = {
    "verify": ("Confirm your address", "Type the password you chose, and the address is yours.", "Confirm", True),
    "email/confirm": ("Confirm your new address", "Type your password, and we use it from now on.", "Confirm", True),
    "not-me": (
        "This wasn't you?",
        "That session ends now, and a mail brings you a link for a new password. A passkey or an app that somebody "
        "added on a new device, where you had none, goes with the old password.",
        "End it",
        False,
    ),
    "email/undo": (
        "Take your address back",
        "Everybody is signed out, and a mail brings you a link for a new password.",
        "Take it back",
        False,
    ),
}


def _from_mail(
    request: Request, name: str, problem: Problem | None = None, kept: dict[str, str] | None = None
) -> Response:
    title, lead, button, password = _WORDS[name]
    words = {"title": title, "lead": lead, "button": button, "password": password, "action": f"/account/{name}"}
    return page(request, "from_mail.html", guest=True, problem=problem, kept=kept or {"token": ""}, **words)


@router.get("/verify")
async def verify_page(request: Request) -> Response:
    """The form that a link leads to."""
    return _from_mail(request, "verify")


@router.post("/verify")
async def verify(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The address is confirmed."""
    try:
        body = form.read(LinkPasswordIn)
        await verification.confirm(desk, body.token, body.password, origin)
    except (LinkInvalid, *TOLD) as problem:
        return _from_mail(request, "verify", problem, form.kept("token"))
    return go(request, "/account/sign-in", "address-confirmed")


@router.get("/email/confirm")
async def confirm_email_page(request: Request) -> Response:
    """The form that a link leads to."""
    return _from_mail(request, "email/confirm")


@router.post("/email/confirm")
async def confirm_email(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The new address is the account's."""
    try:
        body = form.read(LinkPasswordIn)
        await email_change.confirm(desk, body.token, body.password, origin)
    except (LinkInvalid, *TOLD) as problem:
        return _from_mail(request, "email/confirm", problem, form.kept("token"))
    return go(request, "/account/sign-in", "address-changed")


@router.get("/email/undo")
async def undo_email_page(request: Request) -> Response:
    """The form that a link leads to."""
    return _from_mail(request, "email/undo")


@router.post("/email/undo")
async def undo_email(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The old address is the account's again."""
    try:
        await email_change.undo(desk, form.read(LinkIn).token, origin)
    except (LinkInvalid, *TOLD) as problem:
        return _from_mail(request, "email/undo", problem, form.kept("token"))
    return go(request, "/account/sign-in", "address-restored")


@router.get("/not-me")
async def not_me_page(request: Request) -> Response:
    """The form that a link leads to."""
    return _from_mail(request, "not-me")


@router.post("/not-me")
async def this_was_not_me(request: Request, form: GuestFormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """The session is over."""
    try:
        await not_me.answer(desk, form.read(LinkIn).token, origin)
    except (LinkInvalid, *TOLD) as problem:
        return _from_mail(request, "not-me", problem, form.kept("token"))
    return go(request, "/account/sign-in", "not-me")
