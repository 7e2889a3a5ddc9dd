"""Passkeys (WebAuthn level 3). The only `webauthn` import, made at the first use: it costs 130 ms and 6 MB.

What the browser signed is checked against our own values, never against what it sent along: challenge (single-use,
deleted on first read, ADR 0013), origin (PUBLIC_URL and the allowed ones of the same site), rp id, type, and that no
foreign page framed us. User verification (UV) makes a passkey two factors; without it, it is one, and is never enough
by itself. A counter that stands still is a copy, unless the passkey is synced and its counter means nothing.
"""

import asyncio
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..clock import MINUTE
from ..settings import Settings
from ..tables import Account, Factor

LIFE = 5 * MINUTE
_LONGEST_ID = 1_023  # bytes (WebAuthn section 7.1)
_ALGORITHMS = (-8, -7, -257)  # EdDSA, ES256, RS256


class NotAccepted(Exception):
    """What the authenticator answered is not what was asked for. Fails closed; why is nobody's business."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified assertion."""

    sign_count: int
    backed_up: bool
    user_verified: bool


def new_challenge() -> str:
    """256 random bits, base64url."""
    return _text(secrets.token_bytes(32))


def creation_options(settings: Settings, account: Account, challenge: str, held: list[Factor]) -> dict[str, Any]:
    """What `navigator.credentials.create()` is given (PublicKeyCredentialCreationOptionsJSON)."""
    return {
        "rp": {"id": rp_id(settings), "name": rp_id(settings)},
        "user": {"id": _text(account.id), "name": account.email, "displayName": account.name or account.email},
        "challenge": challenge,
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in _ALGORITHMS],
        "timeout": LIFE,
        "excludeCredentials": _descriptors(held),
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
        "attestation": "none",
    }


def request_options(settings: Settings, challenge: str, held: list[Factor] | None) -> dict[str, Any]:
    """What `navigator.credentials.get()` is given. `held=None`: any passkey of ours that verifies its user."""
    return {
        "rpId": rp_id(settings),
        "challenge": challenge,
        "timeout": LIFE,
        "allowCredentials": _descriptors(held or []),
        "userVerification": "required" if held is None else "preferred",
    }


def rp_id(settings: Settings) -> str:
    """The domain that passkeys belong to."""
    return settings.passkey_domain or urlsplit(settings.public_url).hostname or ""


def origins(settings: Settings) -> list[str]:
    """Our own origin, and the allowed ones under the passkeys' domain."""
    domain = rp_id(settings)
    hosts = {origin: urlsplit(origin).hostname or "" for origin in (settings.public_url, *settings.allowed_origins)}
    return [origin for origin, host in hosts.items() if host == domain or host.endswith(f".{domain}")]


def id_of(credential: dict[str, Any]) -> bytes:
    """The credential's id. Raises NotAccepted."""
    try:
        return _raw(credential["id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NotAccepted from None


def user_of(credential: dict[str, Any]) -> bytes | None:
    """The account that a discoverable passkey says it is of. Raises NotAccepted."""
    try:
        handle = credential["response"].get("userHandle")
        return None if handle is None else _raw(handle)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NotAccepted from None


async def verify_new(settings: Settings, credential: dict[str, Any], challenge: str) -> dict[str, Any]:
    """The columns of a new passkey's row. Raises NotAccepted."""
    webauthn = await _library()
    try:
        _require_top_level(credential)
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=_raw(challenge),
            expected_rp_id=rp_id(settings),
            expected_origin=origins(settings),
            supported_pub_key_algs=list(_ALGORITHMS),
        )
        if not 16 <= len(found.credential_id) <= _LONGEST_ID or found.credential_id != _raw(credential["id"]):
            raise NotAccepted
        known = {"usb", "nfc", "ble", "hybrid", "internal", "smart-card"}
        told = credential["response"].get("transports") or []
        return {
            "credential_id": found.credential_id,
            "public_key": found.credential_public_key,
            "sign_count": found.sign_count,
            "synced": found.credential_device_type == "multi_device",
            "backed_up": found.credential_backed_up,
            "transports": " ".join(sorted(known.intersection(told))),
        }
    except Exception as error:  # made by somebody else, down to the bits of its CBOR
        raise NotAccepted from error


async def verify(settings: Settings, credential: dict[str, Any], challenge: str, factor: Factor) -> Signed:
    """Whether this passkey signed this challenge. Raises NotAccepted."""
    webauthn = await _library()
    try:
        _require_top_level(credential)
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=_raw(challenge),
            expected_rp_id=rp_id(settings),
            expected_origin=origins(settings),
            credential_public_key=factor.public_key,
            credential_current_sign_count=0,  # the counter is judged under the account's lock
        )
        if (found.credential_device_type == "multi_device") is not factor.synced:
            raise NotAccepted  # this never changes in an honest passkey
        return Signed(found.new_sign_count, found.credential_backed_up, found.user_verified)
    except Exception as error:  # as above
        raise NotAccepted from error


def methods(factor: Factor, signed: Signed) -> tuple[str, ...]:
    """RFC 8176: a key that can leave its device is `swk`, one that can't is `hwk`; `user` was there; `mfa` with UV."""
    return ("swk" if factor.synced else "hwk", "user", *(("mfa",) if signed.user_verified else ()))


def _require_top_level(credential: dict[str, Any]) -> None:
    told = json.loads(_raw(credential["response"]["clientDataJSON"]))
    if told.get("crossOrigin") not in (None, False) or told.get("topOrigin") is not None:
        raise NotAccepted


def _descriptors(held: list[Factor]) -> list[dict[str, Any]]:
    keys = [factor for factor in held if factor.credential_id is not None]
    return [
        {"type": "public-key", "id": _text(key.credential_id or b"")}
        | ({"transports": key.transports.split()} if key.transports else {})
        for key in keys
    ]


async def _library() -> Any:
    return await asyncio.to_thread(_load)  # the loop goes on meanwhile


def _load() -> Any:
    import webauthn  # noqa: PLC0415  # 130 ms and 6 MB that a worker may never need

    return webauthn


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(raw) != text:
        raise ValueError
    return raw
