"""Metadata and health: what anybody may ask."""

from typing import Any

from fastapi import APIRouter, Response

from ..errors import Unavailable
from ..key_rotation import JWKS_MAX_AGE
from .authentication import DeskOf

router = APIRouter(tags=["metadata and health"])


@router.get("/.well-known/jwks.json")
async def jwks(desk: DeskOf, response: Response) -> dict[str, list[dict[str, str]]]:
    """The public keys that verify access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
    return desk.keys.jwks()


@router.get("/.well-known/oauth-authorization-server")
async def metadata(desk: DeskOf, response: Response) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    response.headers["Cache-Control"] = f"public, max-age={JWKS_MAX_AGE}"
    url = desk.settings.public_url
    return {
        "issuer": desk.settings.issuer,
        "token_endpoint": f"{url}/oauth/token",
        "revocation_endpoint": f"{url}/oauth/revoke",
        "introspection_endpoint": f"{url}/oauth/introspect",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "grant_types_supported": ["refresh_token"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
    }


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The database does not answer"}})
async def readyz(desk: DeskOf, response: Response) -> dict[str, str]:
    """`ok`; `degraded` without Redis, still 200; `unavailable` without the database, 503."""
    try:
        await desk.db.hot.fetch_one("SELECT 1 AS one")
    except Unavailable:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
        return {"status": "unavailable"}
    return {"status": "ok" if desk.feed.is_fresh() else "degraded"}
