"""The few files that pages need beside their text: two stylesheets, small scripts, the logo.

One product, one look: the first stylesheet and what is said of a new password are the app's own, from `spa_demo/` in a
checkout, copied into the wheel. Their addresses carry a hash of what is in them, so a browser may keep them for ever.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Response

from ..errors import NotFound

router = APIRouter(include_in_schema=False)

_OWN = Path(__file__).parents[1] / "static"
_SHARED = Path(__file__).parents[3] / "spa_demo"
_TYPES = {
    "logo.svg": "image/svg+xml",
    "pages.css": "text/css",
    "passkeys.js": "text/javascript",
    "pages.js": "text/javascript",
    "strength.js": "text/javascript",
    "style.css": "text/css",
}


@router.get("/static/{name}")
async def asset(name: str) -> Response:
    """One of them."""
    if name not in _TYPES:
        raise NotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_content(name), media_type=_TYPES[name], headers=headers)


@cache
def url(name: str) -> str:
    """Its address, which changes with its content."""
    return f"/static/{name}?{sha256(_content(name)).hexdigest()[:12]}"


@cache
def _content(name: str) -> bytes:
    own = _OWN / name
    return (own if own.exists() else _SHARED / name).read_bytes()
