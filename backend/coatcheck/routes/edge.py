"""The outermost layer: limits on what comes in, headers on what goes out, a last resort for our own mistakes."""

import time
from collections.abc import Awaitable, MutableMapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..db import is_outage
from ..errors import (
    BodyTooLarge,
    HeadersTooLarge,
    InternalError,
    MalformedRequest,
    Problem,
    Unavailable,
    UnsupportedMediaType,
)
from ..metrics import Meter
from ..settings import Settings
from .paths import API, is_page
from .problems import response

LONGEST_HEADERS = 32 * 1024  # bytes, names and values
LONGEST_BODY = 64 * 1024  # bytes
_MOST_PARAMETERS = 100  # in a query: each costs microseconds, several times over, before anybody asks for it

Header = tuple[bytes, bytes]
_NO_STORE, _NO_CACHE = (b"cache-control", b"no-store"), (b"cache-control", b"no-cache")
_FRAMING = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
_API_CSP = b"default-src 'none'; frame-ancestors 'none'"
_PAGE_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)

log = structlog.get_logger("http")


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings, meter: Meter | None) -> None:
        self._app = app
        self._log = log.bind() if settings.log_level == "debug" else None
        self._meter, self._watched = meter, meter is not None or self._log is not None
        always = [
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        if settings.public_url.startswith("https:"):
            always.append((b"strict-transport-security", b"max-age=63072000; includeSubDomains"))
        silent = (b"referrer-policy", b"no-referrer")
        page = (*always, (b"content-security-policy", _PAGE_CSP), (b"cross-origin-resource-policy", b"same-origin"))
        self._api_headers = (*always, silent, (b"content-security-policy", _API_CSP))
        self._file_headers = (*page, silent)
        # With `no-referrer` a form without script would send `Origin: null` even to us, and could not be told from a
        # foreign one. Nobody else learns anything either way.
        self._page_headers = (*page, (b"referrer-policy", b"same-origin"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cache = _NO_STORE
        if scope["path"].startswith(API):
            extra = self._api_headers
        elif is_page(scope["path"]):
            extra = self._page_headers
        else:
            extra, cache = self._file_headers, _NO_CACHE
        began, status = time.monotonic(), 0

        def sending(message: Message) -> Awaitable[None]:  # hands the awaitable on: a coroutine less, twice an answer
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add(message, extra, _NO_STORE if status >= 400 else cache)
            return send(message)

        try:
            chunked = _check(scope)
            await self._app(scope, _counted(receive) if chunked else receive, sending)
        except ClientDisconnect:
            return  # hung up before the request was whole: nobody to answer, nothing amiss
        except Exception as error:
            problem = _last_resort(error, scope["path"])
            if status:
                raise  # half an answer is out; the server closes the connection
            await response(problem, scope["path"])(scope, receive, sending)
        if self._watched:
            self._note(scope, status, time.monotonic() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        if self._meter:
            # A template, never a path that somebody typed; files, and what is not there, have none.
            self._meter.request(scope["method"], getattr(scope.get("route"), "path", "other"), status, seconds)
        if self._log:
            ms = round(seconds * 1000, 2)
            self._log.debug("request", method=scope["method"], path=scope["path"], status=status, ms=ms)


def _add(message: MutableMapping[str, Any], extra: tuple[Header, ...], cache: Header) -> None:
    own = message.get("headers", ())
    message["headers"] = [*own, *extra] if b"cache-control" in dict(own) else [*own, *extra, cache]


def _check(scope: Scope) -> bool:
    """Whether a body of unknown length follows. Raises HeadersTooLarge, MalformedRequest, as `_check_body` does."""
    if scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
        raise MalformedRequest
    size = 0
    told: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in _FRAMING:
            if name in told:
                raise MalformedRequest
            told[name] = value
    if size > LONGEST_HEADERS:
        raise HeadersTooLarge
    chunked = b"transfer-encoding" in told
    if chunked or told.get(b"content-length", b"0") != b"0":
        _check_body(scope, told)
    return chunked


def _check_body(scope: Scope, told: dict[bytes, bytes]) -> None:
    """Raises MalformedRequest, BodyTooLarge, UnsupportedMediaType."""
    length = told.get(b"content-length", b"0")
    if not length.isdigit():
        raise MalformedRequest
    if int(length[:20]) > LONGEST_BODY:
        raise BodyTooLarge
    # A form or plain text is what another site's page can send without asking: never read as JSON.
    path = scope["path"]
    as_form = path.startswith("/oauth/") or is_page(path)
    wanted = b"application/x-www-form-urlencoded" if as_form else b"application/json"
    kind = told.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != wanted and scope["method"] not in ("GET", "HEAD"):
        raise UnsupportedMediaType


def _counted(receive: Receive) -> Receive:
    """A body that comes in chunks of unknown number is cut off once it is too large."""
    taken = 0

    async def counting() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LONGEST_BODY:
            raise HTTPException(413)  # the one exception that FastAPI lets through while it reads a body
        return message

    return counting


def _last_resort(error: Exception, path: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if is_outage(error):
        log.warning("outage", path=path, error=type(error).__name__)
        return Unavailable()
    log.error("unexpected", path=path, exc_info=error)
    return InternalError()
