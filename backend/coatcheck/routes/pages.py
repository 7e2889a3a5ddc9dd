"""Pages on the wire: a template in an answer, what it says once (a notice), where it sends people on.

The rules are the same as behind the JSON routes, and so are their refusals. On a page "not signed in" becomes the way
to the sign-in page, "prove it is you" the way to the step-up page, both with the way back; all else is told in words.
"""

import secrets
from re import compile as pattern
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from ..errors import (
    ChallengeExpired,
    Problem,
    ReauthenticationRequired,
    SessionExpired,
    SessionRevoked,
    TokenInvalid,
    TokenReused,
    Unauthenticated,
)
from ..rendering import render
from ..verified_credentials import Caller
from . import assets, cookies, csrf, paths
from .authentication import desk_of

_SIGNED_OUT = (Unauthenticated, SessionExpired, SessionRevoked, TokenInvalid, TokenReused)
_GUEST = pattern(r"[A-Za-z0-9_-]{32}")

# What a page says once after something was done. The cookie between the two answers holds the word, never the sentence:
# whoever writes that cookie can make us say one of these, and nothing else.
NOTICES = {
    "signed-out": "You're signed out.",
    "signed-out-everywhere": "You're signed out on every device.",
    "account-closed": "Your account is closed.",
    "device-renamed": "The device has its new name.",
    "device-signed-out": "The device is signed out.",
    "others-signed-out": "All other devices are signed out.",
    "session-signed-out": "It is signed out there.",
    "name-saved": "Your name is saved.",
    "password-changed": "Your password is changed. Every other device is signed out.",
    "password-reset": "Your new password is set, and you're signed out everywhere. Sign in with it.",
    "look-into-mailbox": "Look into your mailbox: a mail tells how to go on.",
    "address-confirmed": "Your address is confirmed. Sign in to go on.",
    "address-asked": "A link is on its way to the new address. Open it within an hour.",
    "address-changed": "Your account has its new address. Sign in with it from now on.",
    "address-restored": "Your address is back, and everybody is signed out. A mail brings a link for a new password.",
    "not-me": "That session is over. A mail brings you a link for a new password.",
    "link-sent": "A link is on its way to your address.",
    "begin-again": "That took too long, or was tried too often. Begin again.",
    "codes-kept": "Good. Each of those codes works once.",
    "factor-added": "It is added. Every other device is signed out.",
    "factor-removed": "It is removed. Every other device is signed out.",
    "factor-renamed": "It has its new name.",
    "account-disabled": "The account is disabled. Every session of it has ended.",
    "account-enabled": "The account is enabled.",
    "account-signed-out": "The account is signed out everywhere.",
    "everybody-signed-out": "Everybody is signed out, but you here.",
    "reset-sent": "The link is on its way to the person's mailbox.",
    "role-set": "The role is changed.",
    "some-left": "Many are signed out, and some are left: do it again.",
    "signed-up": "Your account is made. Sign in with it.",
}
_MENU = (
    ("/account", "Home"),
    ("/account/devices", "Devices"),
    ("/account/activity", "Activity"),
    ("/account/profile", "Account"),
)
# What a problem page says, where the API's own words are for programmers: title, and what to do next.
_IN_WORDS = {
    "not_found": ("There's nothing here", "The address may be mistyped, or what was here is gone."),
    "csrf_failed": (
        "This form can't be used any more",
        "It was open for too long, or it was not sent from this site. Open the page again, then repeat what you did.",
    ),
    "forbidden": ("This isn't yours to do", "You're signed in, but this page is for administrators."),
    "rate_limited": ("That was a lot of tries", "Wait a moment, then try again."),
    "unavailable": ("We can't answer right now", "You're still signed in. Try again in a moment."),
    "internal_error": ("That went wrong on our side", "Nothing was lost. Try again in a moment."),
    "method_not_allowed": ("This page can't do that", "Open it from the menu, then repeat what you did."),
}


def page(
    request: Request, template: str, *, problem: Problem | None = None, guest: bool = False, **values: Any
) -> HTMLResponse:
    """An answer with a template in it. `problem` is what was refused a moment ago, told beside the form.

    `guest`: its form is for somebody who need not be signed in, so it carries the guest token instead of the session's.
    """
    desk = desk_of(request)
    caller = request.scope.get("caller")
    signed_in = isinstance(caller, Caller) and not guest
    planted = None
    if signed_in:
        token = csrf.token(desk, cast("Caller", caller).session_id, cast("Caller", caller).generation)
    else:
        planted = _guest_value(request) or secrets.token_urlsafe(24)
        token = csrf.guest_token(desk, planted)
    notice = cookies.of(request, desk.settings, "notice")
    frame = {
        "asset": assets.url,
        "caller": caller if signed_in else None,
        "now": desk.clock.now(),
        "notice": NOTICES.get(notice or ""),
        "problem": problem,
        "menu": _menu(caller) if signed_in else (),
        "path": request.url.path,
        "here": _here_in_menu(request.url.path),
        "errors": {error.field: error.message for error in problem.errors} if problem else {},
        "token": token,
    }
    answer = HTMLResponse(render(f"pages/{template}", **frame | values), problem.status if problem else 200)
    if problem and problem.retry_after is not None:
        answer.headers["Retry-After"] = str(problem.retry_after)
    if planted and planted != _guest_value(request):
        cookies.write(answer, desk.settings, "guest", planted)
    if notice is not None:
        cookies.clear(answer, desk.settings, "notice")
    return answer


def _menu(caller: object) -> tuple[tuple[str, str], ...]:
    """The entries; those who have a role find their desk, whose pages look at the role as it is now."""
    desk = (("/admin", "Desk"),) if isinstance(caller, Caller) and caller.roles else ()
    return (*_MENU, *desk)


def _here_in_menu(path: str) -> str:
    """The entry of the menu that a page belongs to."""
    entry = "/".join(path.split("/")[:3])
    if path.startswith("/admin"):
        return "/admin"
    return entry if any(entry == address for address, _ in _MENU) else "/account/profile"


def _guest_value(request: Request) -> str | None:
    """What the guest cookie holds; None for what can't be ours."""
    value = cookies.of(request, desk_of(request).settings, "guest")
    return value if value and _GUEST.fullmatch(value) else None


def go(request: Request, path: str, notice: str | None = None) -> RedirectResponse:
    """See another page: 303 after every POST, so that a reload repeats nothing. `notice` is a key of NOTICES."""
    answer = RedirectResponse(path, 303)
    if notice:
        assert notice in NOTICES  # noqa: S101  # a word nobody can say
        cookies.write(answer, desk_of(request).settings, "notice", notice)
    return answer


def caller_of_page(request: Request) -> Caller:
    """Who is signed in here. Raises what refused the cookie."""
    found: Caller | Problem | None = request.scope.get("caller")
    if not isinstance(found, Caller):
        raise found or Unauthenticated()
    return found


async def _caller(request: Request) -> Caller:
    return caller_of_page(request)


PageCallerOf = Annotated[Caller, Depends(_caller)]


def refused(request: Request, problem: Problem) -> Response:
    """What a page answers to a refusal that its form can't tell."""
    if isinstance(problem, _SIGNED_OUT):
        if _arrived_from_outside(request):
            return HTMLResponse(render("pages/bounce.html", target=_here(request)))
        return go(request, f"/account/sign-in?next={quote(_way_back(request), safe='')}")
    if isinstance(problem, ReauthenticationRequired):
        return go(request, f"/account/step-up?next={quote(_way_back(request), safe='')}")
    if isinstance(problem, ChallengeExpired):
        target = paths.own(request.query_params.get("next"))
        return go(request, f"{request.url.path.rpartition('/')[0]}?next={quote(target, safe='')}", "begin-again")
    return problem_page(problem)


def problem_page(problem: Problem) -> HTMLResponse:
    """A refusal in words. It needs nothing but the problem: no session, no database."""
    title, advice = _IN_WORDS.get(problem.code, (problem.title, problem.detail))
    if problem.detail != problem.advice:  # said for this very case
        advice = problem.detail
    text = render("pages/problem.html", asset=assets.url, title=title, advice=advice, wait=problem.retry_after)
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return HTMLResponse(text, problem.status, headers)


def _arrived_from_outside(request: Request) -> bool:
    """A link on another site brought somebody here, so that the browser kept the SameSite=Strict cookie back."""
    outside = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return outside and request.method == "GET" and request.scope.get("caller") is None


def _here(request: Request) -> str:
    return paths.own(request.url.path + (f"?{request.url.query}" if request.url.query else ""))


def _way_back(request: Request) -> str:
    """Where to go on afterwards: here; for a form the nearest page that can be looked at."""
    if request.method == "GET":
        return _here(request)
    path = request.url.path
    looked_at = [
        route for route in request.app.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    ]
    while path.count("/") > 1 and not any(route.path_regex.match(path) for route in looked_at):
        path = path.rpartition("/")[0]
    return paths.own(path)
