"""What the issuer has signed, read strictly: one algorithm, one kind, the issuer's keys only (RFC 8725, RFC 9068)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from re import compile as pattern
from typing import Any, NoReturn

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .refusals import TokenInvalid

LEEWAY = 5  # seconds after `exp`
LONGEST_TOKEN = 4_096  # characters; Coatcheck's have about 480
LONGEST_LIST = 512 * 1024
_COMPACT = pattern(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ID = pattern(r"(acc|ses)_[A-Za-z0-9_-]{22}")
_JWS = jwt.PyJWS(algorithms=["ES256"])

Find = Callable[[str], EllipticCurvePublicKey]


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. Moments in seconds since 1970; `door` is the `client_id`."""

    account_id: str
    session_id: str
    door: str
    generation: int
    roles: tuple[str, ...]
    auth_methods: tuple[str, ...]
    auth_time: int
    issued_at: int
    expires_at: int
    key_thumbprint: str | None  # `cnf.jkt`: good only together with a proof of this key (RFC 9449)
    kid: str


def unseal(text: str, typ: str, longest: int, find: Find) -> tuple[str, dict[str, Any]]:
    """The `kid` and payload of a compact JWS of this kind. Raises TokenInvalid, and whatever `find` raises.

    The header may hold `typ`, `alg` and `kid`, nothing else: what would bring in a key (`jwk`, `jku`, `x5u`) or an
    extension (`crit`, `b64`, `zip`) is refused before any key is looked for.
    """
    if len(text) > longest or not _COMPACT.fullmatch(text):
        raise TokenInvalid
    try:
        header = jwt.get_unverified_header(text)
        if header.keys() != {"typ", "alg", "kid"} or header["typ"] != typ or header["alg"] != "ES256":
            raise TokenInvalid
        kid = header["kid"]
        payload = json.loads(
            _JWS.decode(text, find(kid), algorithms=["ES256"]), object_pairs_hook=_once, parse_constant=_malformed
        )
    except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
        raise TokenInvalid from None
    if not isinstance(payload, dict):
        raise TokenInvalid
    return kid, payload


def read(text: str, issuer: str, audience: str, find: Find) -> Claims:
    """The claims of a genuine access token; moments are the caller's to judge. Raises TokenInvalid."""
    kid, payload = unseal(text, "at+jwt", LONGEST_TOKEN, find)
    try:
        return _claims(payload, issuer, audience, kid)
    except (KeyError, ValueError):
        raise TokenInvalid from None


def _claims(payload: dict[str, Any], issuer: str, audience: str, kid: str) -> Claims:
    if payload["iss"] != issuer or payload["aud"] != audience or not _text(payload["jti"]):
        raise ValueError
    return Claims(
        account_id=_id(payload["sub"], "acc"),
        session_id=_id(payload["sid"], "ses"),
        door=_text(payload["client_id"]),
        generation=_number(payload["gen"]),
        roles=_texts(payload.get("roles", [])),
        auth_methods=_texts(payload["amr"]),
        auth_time=_number(payload["auth_time"]),
        issued_at=_number(payload["iat"]),
        expires_at=_number(payload["exp"]),
        key_thumbprint=_text(payload["cnf"]["jkt"]) if _object(payload, "cnf") else None,
        kid=kid,
    )


def _object(payload: dict[str, Any], name: str) -> bool:
    if name in payload and not isinstance(payload[name], dict):
        raise ValueError
    return name in payload


def _id(value: object, kind: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value) or not value.startswith(kind):
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_text(one) for one in value)


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:  # True is an int too
        raise ValueError
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _malformed("a repeated name")


def _malformed(what: str) -> NoReturn:
    raise ValueError(what)
