"""Who is calling, found out once a request in a small ASGI layer before routing.

There it costs nothing visible; as a FastAPI dependency it would cost an eighth of the request (measured). The outcome,
a Caller or the refusal, is left in the scope; a route that needs a caller asks for it.
If `Authorization` is present only it counts: a bad one is a refusal, never a fall-back to a cookie.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import callers
from ..desk import Desk
from ..errors import Problem, TokenInvalid, Unauthenticated
from ..sessions import Origin
from ..settings import Settings
from ..verified_credentials import Caller
from . import cookies, csrf, paths


class Authentication:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._cookie = cookies.name(settings, "session")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave the outcome under `scope["caller"]`; None when no credential was sent."""
        if scope["type"] == "http":
            if scope["path"].startswith("/v1/"):
                scope["caller"] = await self._resolve(scope)
            elif paths.is_page(scope["path"]):
                scope["caller"] = await self._resolve(scope, cookie_only=True)
        await self._app(scope, receive, send)

    async def _resolve(self, scope: Scope, cookie_only: bool = False) -> Caller | Problem | None:
        authorization, has_cookie = None, False
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value if authorization is None else b""  # two of them are none of ours
            elif name == b"cookie":
                has_cookie = True
        desk: Desk = scope["app"].state.desk
        try:
            if authorization is not None and not cookie_only:
                if authorization[:7].lower() != b"bearer ":
                    return TokenInvalid("Send the access token as `Authorization: Bearer …`.")
                return await callers.by_access_token(desk, authorization[7:].decode("latin-1"), client_ip(scope, desk))
            if has_cookie and (value := cookies.read(scope["headers"], self._cookie)):
                return await callers.by_web_cookie(desk, value, client_ip(scope, desk))
        except Problem as refusal:
            return refusal
        return None


def caller_of(request: Request) -> Caller:
    """The authenticated caller. Raises what refused it; for a cookie's unsafe call also CsrfFailed."""
    found: Caller | Problem | None = request.scope.get("caller")
    if not isinstance(found, Caller):
        raise found or Unauthenticated()
    if found.by_cookie and request.method not in csrf.SAFE:
        csrf.require_token(request, desk_of(request), found)
    return found


def desk_of(request: Request) -> Desk:
    """The worker's desk."""
    return request.app.state.desk  # type: ignore[no-any-return]


def origin_of(request: Request) -> Origin:
    """Where the request came from: true client address and User-Agent."""
    return Origin(client_ip(request.scope, desk_of(request)), request.headers.get("user-agent", ""))


def client_ip(scope: Scope, desk: Desk) -> str:
    """The peer's address; behind TRUSTED_PROXIES the first one from the right that is none of them (ASVS 4.1.3).

    IPv4 in IPv6's spelling (a dual-stack socket) is the IPv4 address. A UNIX socket's peer has none: it is no proxy.
    """
    peer: str = scope["client"][0] if scope["client"] else ""
    if peer.startswith("::ffff:"):
        peer = str(_parsed(peer))
    proxies = desk.settings.trusted_proxies
    if not proxies or not _within(peer, proxies):
        return peer
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    found = peer
    for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
        try:
            found = str(_parsed(hop))
        except ValueError:
            return found  # what stands further left was not written by a proxy of ours
        if not _within(found, proxies):
            return found
    return found


def _within(address: str, networks: list) -> bool:  # type: ignore[type-arg]
    try:
        parsed = _parsed(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


# FastAPI sends a plain function to a worker thread: as coroutines these three cost a tenth. The two busiest routes call
# them without FastAPI between.
async def _desk(request: Request) -> Desk:
    return desk_of(request)


async def _caller(request: Request) -> Caller:
    return caller_of(request)


async def _origin(request: Request) -> Origin:
    return origin_of(request)


DeskOf = Annotated[Desk, Depends(_desk)]
CallerOf = Annotated[Caller, Depends(_caller)]
OriginOf = Annotated[Origin, Depends(_origin)]
