"""`POST /oauth/introspect` (RFC 7662): a form and a service credential in, what an access token is worth out."""

from base64 import b64decode
from urllib.parse import unquote_plus

from fastapi import APIRouter, Request

from .. import ids, introspection
from ..clock import SECOND
from ..errors import InvalidCredentials, MalformedRequest
from ..introspection import Shown
from ..settings import Settings
from ..verified_credentials import Caller
from .answers import IntrospectionOut, OAuthErrorOut
from .authentication import DeskOf, client_ip
from .bodies import read_form
from .oauth import described_form
from .problems import OAuthRefusal

router = APIRouter(prefix="/oauth", tags=["oauth"])


@router.post(
    "/introspect",
    openapi_extra=described_form(["token"], ["token_type_hint"]),
    response_model_exclude_none=True,
    responses={
        status: {"model": OAuthErrorOut, "description": "An OAuth error"}
        for status in (400, 401, 405, 413, 415, 429, 431, 500, 503)
    },
)
async def introspect(request: Request, desk: DeskOf) -> IntrospectionOut:
    """Whether an access token is good, and what it says. Needs a service credential, as Basic or Bearer."""
    try:
        await introspection.identify(desk, _shown(request), client_ip(request.scope, desk))
    except InvalidCredentials as wrong:
        raise OAuthRefusal("invalid_client", wrong.detail, wrong.code, status=401) from None
    form = await read_form(request)
    if "token" not in form:
        raise MalformedRequest("The form needs a token.")
    caller = await introspection.examine(desk, form["token"])
    return _told(desk.settings, caller) if caller else IntrospectionOut(active=False)


def _shown(request: Request) -> Shown:
    """What stands in the Authorization header. Raises OAuthRefusal when there is none, InvalidCredentials."""
    headers = request.headers.getlist("authorization")
    if not headers:
        detail = "Send the service credential: Authorization: Basic name:credential, or Bearer credential."
        raise OAuthRefusal("invalid_client", detail, "unauthenticated", status=401)
    scheme, _, rest = headers[0].partition(" ")
    if len(headers) == 1 and scheme.lower() == "bearer":
        return Shown(rest)
    if len(headers) == 1 and scheme.lower() == "basic":
        try:
            name, _, credential = b64decode(rest, validate=True).decode().partition(":")
        except ValueError:
            raise InvalidCredentials("The Basic credential could not be read.") from None
        return Shown(unquote_plus(credential), unquote_plus(name))  # RFC 6749 section 2.3.1
    raise InvalidCredentials("Send one service credential, as Basic or Bearer.")


def _told(settings: Settings, caller: Caller) -> IntrospectionOut:
    return IntrospectionOut(
        active=True,
        iss=settings.issuer,
        aud=settings.token_audience,
        sub=ids.text("acc", caller.account_id),
        sid=ids.text("ses", caller.session_id),
        client_id=caller.door,
        token_type="Bearer",
        exp=caller.expires_at // SECOND,
        auth_time=caller.auth_time // SECOND,
        amr=list(caller.auth_methods),
        roles=list(caller.roles) or None,
    )
