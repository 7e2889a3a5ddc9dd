"""OAuth's own addresses for the native door: renew (RFC 6749 section 6), revoke (RFC 7009). Forms in, RFC errors out.

Our clients are public, so client authentication is neither needed nor looked at. The resource owner password grant
does not exist here (RFC 9700 section 2.4).
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from .. import callers, devices, sessions
from ..errors import MalformedRequest, Problem, Unavailable
from ..refresh_tokens import Door
from .answers import OAuthErrorOut, TokenOut
from .authentication import DeskOf, OriginOf, client_ip, desk_of, origin_of
from .bodies import read_form
from .direct import DirectRoute
from .problems import OAuthRefusal


def described_form(required: list[str], optional: list[str]) -> dict[str, Any]:
    """OpenAPI of a form body that we read ourselves."""
    fields = {name: {"type": "string"} for name in [*required, *optional]}
    schema = {"type": "object", "required": required, "properties": fields}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": OAuthErrorOut, "description": "An OAuth error"}
    for status in (400, 405, 413, 415, 429, 431, 500, 503)
}
router = APIRouter(prefix="/oauth", tags=["oauth"], responses=_REFUSALS)
busiest = APIRouter(prefix="/oauth", tags=["oauth"], responses=_REFUSALS, route_class=DirectRoute)


@busiest.post(
    "/token",
    response_model=TokenOut,
    openapi_extra=described_form(["grant_type"], ["refresh_token", "client_id", "scope"]),
)
async def oauth_token(request: Request) -> Response:
    """Renew: `grant_type=refresh_token`."""
    form = await read_form(request)
    if "grant_type" not in form:
        raise MalformedRequest("The form needs a grant_type.")
    if form["grant_type"] != "refresh_token":
        raise OAuthRefusal("unsupported_grant_type", "The only grant here is refresh_token.")
    if form.get("scope"):
        raise OAuthRefusal("invalid_scope", "No scope was granted, so none can be asked for.")
    if "refresh_token" not in form:
        raise MalformedRequest("The form needs a refresh_token.")
    pair = await sessions.refresh(desk_of(request), Door.NATIVE, form["refresh_token"], origin_of(request))
    told = TokenOut(access_token=pair.access_token, expires_in=pair.expires_in, refresh_token=pair.refresh_token)
    return Response(told.model_dump_json(), media_type="application/json")


@router.post("/revoke", openapi_extra=described_form(["token"], ["token_type_hint", "client_id"]))
async def oauth_revoke(request: Request, desk: DeskOf, origin: OriginOf) -> dict[str, str]:
    """End the session of a refresh or access token. 200 whatever the token (RFC 7009 section 2.2)."""
    form = await read_form(request)
    if "token" not in form:
        raise MalformedRequest("The form needs a token.")
    try:
        if form["token"].startswith("cct_"):
            await devices.sign_out(desk, Door.NATIVE, form["token"], origin)
        else:
            caller = await callers.by_access_token(desk, form["token"], client_ip(request.scope, desk))
            await devices.sign_out_self(desk, caller.session_id, origin)
    except Unavailable:
        raise
    except Problem:
        pass
    return {}
