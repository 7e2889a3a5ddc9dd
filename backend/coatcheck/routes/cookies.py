"""Cookies: the only place that names one or writes its attributes.

Host-only, `Secure; HttpOnly; SameSite=Strict; Path=/`, prefix `__Host-`, so no sibling host can plant one. A header
that carries one of our names twice with different values is malformed: nobody guesses which one counts (cookie
tossing).
"""

from typing import Literal, cast

from fastapi import Request, Response

from ..errors import MalformedRequest
from ..settings import Settings

Cookie = Literal["refresh", "session", "device", "guest", "notice", "pending", "reset"]
_SAME_SITE = cast('Literal["strict"]', "Strict")  # as RFC 6265bis spells it
_DEVICE_LIFE = 400 * 86_400  # seconds; browsers keep no cookie longer
_NOTICE_LIFE, _PENDING_LIFE, _RESET_LIFE = 60, 600, 900  # seconds


def name(settings: Settings, cookie: Cookie) -> str:
    """`__Host-coatcheck-refresh` and the like."""
    return f"{'' if settings.insecure_cookies else '__Host-'}coatcheck-{cookie}"


def read(headers: list[tuple[bytes, bytes]], wanted: str) -> str | None:
    """The value of one cookie. Raises MalformedRequest when two values claim the name.

    Only space and tab are trimmed: a name padded with other bytes that look blank is another name.
    """
    values = set()
    for header, line in headers:
        if header == b"cookie":
            for part in line.decode("latin-1").split(";"):
                key, _, value = part.strip(" \t").partition("=")
                if key == wanted:
                    values.add(value)
    if len(values) > 1:
        raise MalformedRequest("Two cookies of the same name were sent. Clear this site's cookies and sign in again.")
    return values.pop() if values else None


def of(request: Request, settings: Settings, cookie: Cookie) -> str | None:
    """The request's cookie of ours."""
    return read(request.scope["headers"], name(settings, cookie))


def write(response: Response, settings: Settings, cookie: Cookie, value: str, life: int | None = None) -> None:
    """Set it. A guest's goes with the browser, and so does the web session's that is given no `life` (seconds)."""
    lives: dict[str, int | None] = {
        "refresh": settings.idle_ttl,
        "device": _DEVICE_LIFE,
        "notice": _NOTICE_LIFE,
        "pending": _PENDING_LIFE,
        "reset": _RESET_LIFE,
    }
    lives["session"] = life
    response.set_cookie(
        name(settings, cookie),
        value,
        max_age=lives.get(cookie),
        path="/",
        secure=not settings.insecure_cookies,
        httponly=True,
        samesite=_SAME_SITE,
    )


def write_session(response: Response, settings: Settings, value: str, expires_in: int) -> None:
    """The web session's cookie. One that outlives the idle hour, in milliseconds from now, its owner wants kept."""
    kept = expires_in > settings.idle_ms("web")
    write(response, settings, "session", value, expires_in // 1000 if kept else None)


def clear(response: Response, settings: Settings, cookie: Cookie) -> None:
    """Remove it: at logout, or when the session behind it is dead."""
    response.delete_cookie(
        name(settings, cookie), path="/", secure=not settings.insecure_cookies, httponly=True, samesite=_SAME_SITE
    )
