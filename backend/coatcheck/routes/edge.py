"""The outermost layer: limits on what comes in, headers on what goes out, a last resort for our own mistakes."""

import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..db import is_outage
from ..errors import HeadersTooLarge, InternalError, MalformedRequest, Problem, Unavailable, UnsupportedMediaType
from ..settings import Settings
from .problems import response

LONGEST_HEADERS = 32 * 1024  # bytes, names and values
LONGEST_BODY = 64 * 1024  # bytes

_API = ("/v1/", "/oauth/", "/.well-known/")
_API_CSP = b"default-src 'none'; frame-ancestors 'none'"
_PAGE_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)

log = structlog.get_logger("http")


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        always = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        if settings.public_url.startswith("https:"):
            always.append((b"strict-transport-security", b"max-age=63072000; includeSubDomains"))
        self._api_headers = [*always, (b"content-security-policy", _API_CSP)]
        self._page_headers = [
            *always,
            (b"content-security-policy", _PAGE_CSP),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith(_API)
        extra = self._api_headers if is_api else self._page_headers
        began, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add(message, extra, b"no-store" if is_api or status >= 400 else b"no-cache")
            await send(message)

        try:
            _check(scope)
            await self._app(scope, receive, sending)
        except Exception as error:
            problem = _last_resort(error, scope["path"])
            if status:
                raise  # half an answer is out; the server closes the connection
            await response(problem, scope["path"])(scope, receive, sending)
        log.debug("request", method=scope["method"], path=scope["path"], status=status, ms=_ms_since(began))


def _add(message: MutableMapping[str, Any], extra: list[tuple[bytes, bytes]], cache: bytes) -> None:
    headers = message["headers"] = list(message.get("headers", ()))
    headers += extra
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", cache))


def _check(scope: Scope) -> None:
    """Raises HeadersTooLarge, UnsupportedMediaType, MalformedRequest."""
    size = 0
    kind = None
    has_body = False
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-type":
            if kind is not None:
                raise MalformedRequest
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    if size > LONGEST_HEADERS:
        raise HeadersTooLarge
    # A form or plain text is what another site's page can send without asking: never read as JSON.
    if has_body and scope["method"] not in ("GET", "HEAD"):
        form = scope["path"].startswith("/oauth/")
        if kind != (b"application/x-www-form-urlencoded" if form else b"application/json"):
            raise UnsupportedMediaType


def _last_resort(error: Exception, path: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if is_outage(error):
        log.warning("outage", path=path, error=type(error).__name__)
        return Unavailable()
    log.error("unexpected", path=path, exc_info=error)
    return InternalError()


def _ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)
