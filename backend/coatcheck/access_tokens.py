"""The access token: an ES256 JWT (RFC 9068 `at+jwt`), checked without I/O. The only file that imports `jwt`.

One algorithm, keys from our own ring only, header parameters that would bring in a key refused (RFC 8725). An own token
is accepted up to five seconds after `exp` (clocks of workers differ), and never longer than the configured life after
`iat`, so that shortening ACCESS_TTL bites at once.
"""

import secrets
from dataclasses import dataclass
from re import compile as pattern
from typing import Any, Literal

import jwt
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from . import ids
from .clock import SECOND
from .errors import TokenExpired, TokenInvalid
from .settings import Settings
from .signing_keys import KeyRing

LEEWAY = 5 * SECOND
_LONGEST = 2_048  # characters; ours have about 480
_COMPACT = pattern(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPE = "at+jwt"
_REQUIRED = ["iss", "aud", "sub", "sid", "client_id", "iat", "exp", "jti", "auth_time", "amr", "gen"]


class UnknownKey(TokenInvalid):
    """Well-formed, but no key of our ring goes by this name."""

    def __init__(self, kid: str) -> None:
        super().__init__()
        self.kid = kid


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says; moments in milliseconds."""

    account_id: bytes
    session_id: bytes
    door: str
    generation: int
    roles: tuple[str, ...]
    auth_methods: tuple[str, ...]
    auth_time: int
    expires_at: int


def write(settings: Settings, keys: KeyRing, claims: Claims, now: int) -> str:
    """The signed token, about 480 characters."""
    payload: dict[str, Any] = {
        "iss": settings.issuer,
        "aud": settings.token_audience,
        "sub": ids.text("acc", claims.account_id),
        "sid": ids.text("ses", claims.session_id),
        "client_id": claims.door,
        "iat": now // SECOND,
        "exp": claims.expires_at // SECOND,
        "jti": secrets.token_urlsafe(16),
        "auth_time": claims.auth_time // SECOND,
        "amr": list(claims.auth_methods),
        "gen": claims.generation,
    }
    if claims.roles:
        payload["roles"] = list(claims.roles)
    return sign(keys, _TYPE, payload)


def sign(keys: KeyRing, typ: str, payload: dict[str, Any]) -> str:
    """A compact JWS by the current key. `typ` keeps kinds apart: none is read as another (RFC 8725 section 3.11)."""
    return jwt.encode(payload, keys.private, algorithm="ES256", headers={"typ": typ, "kid": keys.current})


def read(settings: Settings, keys: KeyRing, text: str, now: int) -> Claims:
    """The claims of a genuine, unexpired token. Raises TokenExpired, UnknownKey or TokenInvalid.

    Says nothing of its session.
    """
    if len(text) > _LONGEST or not _COMPACT.fullmatch(text):
        raise TokenInvalid
    try:
        header = jwt.get_unverified_header(text)
        if header.keys() != {"typ", "alg", "kid"} or header["typ"] != _TYPE:
            raise TokenInvalid
        if (key := keys.public.get(header["kid"])) is None:
            raise UnknownKey(header["kid"])
        decoded = jwt.decode(
            text,
            key,
            algorithms=["ES256"],
            audience=settings.token_audience,
            issuer=settings.issuer,
            # Moments are judged below, by our own clock.
            options={
                "require": _REQUIRED,
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        payload = _Payload.model_validate(decoded)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise TokenInvalid from None
    payload.exp = min(payload.exp, payload.iat + settings.access_ttl)
    if now > payload.exp * SECOND + LEEWAY:
        raise TokenExpired
    return _claims(payload)


class _Payload(BaseModel):
    """The claims as we write them: a claim of another type is no token of ours."""

    model_config = ConfigDict(strict=True)

    sub: str
    sid: str
    client_id: Literal["native", "spa", "web"]
    gen: NonNegativeInt
    iat: NonNegativeInt
    exp: NonNegativeInt
    auth_time: NonNegativeInt
    amr: list[str]
    roles: list[str] = []


def _claims(payload: _Payload) -> Claims:
    account_id, session_id = ids.raw("acc", payload.sub), ids.raw("ses", payload.sid)
    if account_id is None or session_id is None:
        raise TokenInvalid
    return Claims(
        account_id,
        session_id,
        payload.client_id,
        payload.gen,
        tuple(payload.roles),
        tuple(payload.amr),
        payload.auth_time * SECOND,
        payload.exp * SECOND,
    )
