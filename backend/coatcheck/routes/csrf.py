"""Cross-site request forgery: what an unsafe request that a cookie could authenticate must prove.

Checked before anything touches the cookie's authority, in this order (RFC 10017, OWASP CSRF):
  1. it comes from our own pages: `Origin` is ours or allowed; without an Origin `Sec-Fetch-Site: same-origin`; with
     neither it is refused, and a foreign Origin is refused whatever Sec-Fetch-Site says
  2. it carries `X-Coatcheck-Client`, which no form and no simple request can
  3. where a web session cookie authenticates: the session's own `X-CSRF-Token`, an HMAC bound to session and generation
"""

from base64 import urlsafe_b64encode
from hmac import compare_digest

from fastapi import Request

from ..callers import Caller
from ..desk import Desk
from ..errors import CsrfFailed

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def require_own_page(request: Request, desk: Desk, client: str) -> None:
    """Points 1 and 2. Raises CsrfFailed, which names what is missing."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin != desk.settings.public_url and origin not in desk.settings.allowed_origins:
            raise CsrfFailed("The Origin of this request is neither PUBLIC_URL nor one of ALLOWED_ORIGINS.")
    elif request.headers.get("sec-fetch-site") != "same-origin":
        raise CsrfFailed("This request has no Origin header.")
    if request.headers.get("x-coatcheck-client") != client:
        raise CsrfFailed(f"Send the header X-Coatcheck-Client: {client}.")


def require_token(request: Request, desk: Desk, caller: Caller) -> None:
    """All three points, for a caller known by a web session cookie. Raises CsrfFailed."""
    require_own_page(request, desk, "web")
    sent = request.headers.get("x-csrf-token", "").encode("latin-1", "replace")
    if not any(
        compare_digest(_token(desk, kid, caller.session_id, caller.generation), sent) for kid in desk.roots.kids
    ):
        raise CsrfFailed("Send the header X-CSRF-Token with the csrf_token of this session.")


def token(desk: Desk, session_id: bytes, generation: int) -> str:
    """The session's `csrf_token`."""
    return _token(desk, desk.roots.writing, session_id, generation).decode()


def _token(desk: Desk, kid: int, session_id: bytes, generation: int) -> bytes:
    return urlsafe_b64encode(desk.roots.mac(kid, "csrf", session_id + generation.to_bytes(4))[:24])
