"""Cross-site request forgery: what an unsafe request that a cookie could authenticate must prove.

Checked before anything touches the cookie's authority, in this order (RFC 10017, OWASP CSRF):
  1. it comes from our own pages: `Origin` is ours or allowed; without an Origin `Sec-Fetch-Site: same-origin`; with
     neither it is refused, and a foreign Origin is refused whatever Sec-Fetch-Site says
  2. it carries `X-Coatcheck-Client`, which no form and no simple request can
  3. where a web session cookie authenticates: the session's own `X-CSRF-Token`, an HMAC bound to session and generation
A form can't send headers: it comes from our own origin, no other, and carries the token of point 3 as a field; before
there is a session, one that is an HMAC of a random cookie of this browser.
"""

from base64 import urlsafe_b64encode
from hmac import compare_digest

from fastapi import Request

from ..desk import Desk
from ..errors import CsrfFailed
from ..refresh_tokens import RefreshToken
from ..verified_credentials import Caller

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def require_own_page(request: Request, desk: Desk, client: str) -> None:
    """Points 1 and 2. Raises CsrfFailed, which names what is missing."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin != desk.settings.public_url and origin not in desk.settings.allowed_origins:
            raise CsrfFailed("The Origin of this request is neither PUBLIC_URL nor one of ALLOWED_ORIGINS.")
    elif _site(request) != "same-origin":
        raise CsrfFailed("This request has no Origin header.")
    if request.headers.get("x-coatcheck-client") != client:
        raise CsrfFailed(f"Send the header X-Coatcheck-Client: {client}.")


def require_no_stranger(request: Request, desk: Desk) -> None:
    """For what needs no credential, yet counts against the caller's address: no page of another site may have its
    visitors ask. Apps send no Origin. Raises CsrfFailed."""
    origin = request.headers.get("origin")
    if origin is not None and origin != desk.settings.public_url and origin not in desk.settings.allowed_origins:
        raise CsrfFailed("The Origin of this request is neither PUBLIC_URL nor one of ALLOWED_ORIGINS.")


def is_cross_site(request: Request) -> bool:
    """Whether another site had the browser send this; unknown of old browsers and of apps, which say nothing."""
    return _site(request) not in (None, "none", "same-origin")


def require_token(request: Request, desk: Desk, caller: Caller | RefreshToken) -> None:
    """All three points, for a caller known by a web session cookie, or for the cookie itself. Raises CsrfFailed."""
    require_own_page(request, desk, "web")
    if not _fits(desk, request.headers.get("x-csrf-token", ""), "csrf", _message(caller.session_id, caller.generation)):
        raise CsrfFailed("Send the header X-CSRF-Token with the csrf_token of this session.")


def require_own_form(request: Request, desk: Desk) -> None:
    """A form on a page of ours sent this: not even ALLOWED_ORIGINS have any. Raises CsrfFailed."""
    origin = request.headers.get("origin")
    if origin != desk.settings.public_url if origin is not None else _site(request) != "same-origin":
        raise CsrfFailed


def require_form_token(desk: Desk, sent: str, caller: Caller | RefreshToken) -> None:
    """The hidden field of a form of this session, or of the cookie itself. Raises CsrfFailed."""
    if not _fits(desk, sent, "csrf", _message(caller.session_id, caller.generation)):
        raise CsrfFailed


def require_guest_token(desk: Desk, sent: str, cookie: str | None) -> None:
    """The hidden field of a form that needs no session. Raises CsrfFailed."""
    if not cookie or not _fits(desk, sent, "guest", cookie.encode()):
        raise CsrfFailed


def token(desk: Desk, session_id: bytes, generation: int) -> str:
    """The session's `csrf_token`."""
    return _token(desk, desk.roots.writing, "csrf", _message(session_id, generation)).decode()


def guest_token(desk: Desk, cookie: str) -> str:
    """What belongs to the guest cookie of this value."""
    return _token(desk, desk.roots.writing, "guest", cookie.encode()).decode()


def _site(request: Request) -> str | None:
    return request.headers.get("sec-fetch-site")


def _message(session_id: bytes, generation: int) -> bytes:
    return session_id + generation.to_bytes(4)


def _fits(desk: Desk, sent: str, purpose: str, message: bytes) -> bool:
    given = sent.encode(errors="replace")
    return any(compare_digest(_token(desk, kid, purpose, message), given) for kid in desk.roots.kids)


def _token(desk: Desk, kid: int, purpose: str, message: bytes) -> bytes:
    return urlsafe_b64encode(desk.roots.mac(kid, purpose, message)[:24])
