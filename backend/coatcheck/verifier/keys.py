"""The issuer's public keys (RFC 7517), fetched ahead of need. A token can make us fetch once an interval, no more."""

import asyncio
import json
import logging
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from re import compile as pattern
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)

from .refusals import KeysUnknown, TokenInvalid

PATH = "/.well-known/jwks.json"
REFETCH = 10.0  # seconds: an unknown `kid` makes us fetch once in so long, whoever sends how many
_RETRY = 1.0  # seconds after a failure
_MAX_AGE, _LEAST, _MOST = 600.0, 10.0, 86_400.0  # seconds the keys are kept: without a word from the issuer; bounds
_EARLY = 0.75  # of their age, when they are fetched anew
_MOST_KEYS = 20
_AGE = pattern(r"(?:^|,)\s*max-age=([0-9]{1,9})\b")

Get = Callable[[str], Awaitable[tuple[bytes, str] | None]]  # path -> body and Cache-Control, or None

log = logging.getLogger("coatcheck.verifier")


class Keys:
    """The keys of one issuer. `find` is local; `follow` runs beside the requests."""

    def __init__(self) -> None:
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._until = float("-inf")  # monotonic seconds, like the rest here
        self._due = self._tried = float("-inf")
        self._failed = self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self.arrived = asyncio.Event()

    def find(self, kid: str) -> EllipticCurvePublicKey:
        """The key of this name. Raises TokenInvalid, or KeysUnknown while we can't say that there is none."""
        now = time.monotonic()
        if now >= self._until:
            raise KeysUnknown
        if key := self._keys.get(kid):
            return key
        if self._failed or self._asked:
            raise KeysUnknown
        if now - self._tried < REFETCH:
            raise TokenInvalid
        self._asked = True
        self._hurry()
        raise KeysUnknown

    def _hurry(self) -> None:
        if self._loop:
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._wake.set)  # `find` may be called in any thread

    async def follow(self, get: Get) -> None:
        """Fetch, and fetch again before they are too old. Never returns."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._fetch(get)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, self._due - time.monotonic()))

    async def _fetch(self, get: Get) -> None:
        self._wake.clear()
        began = time.monotonic()
        answer = await get(PATH)
        keys = _parse(answer[0]) if answer else {}
        self._tried, self._failed = began, not keys
        if answer and keys:
            age = _age(answer[1])
            # Used twice as long as the issuer says, if it can't be asked; then we stop. Fails closed.
            self._keys, self._until, self._due = keys, began + 2 * age, began + _EARLY * age
            self.arrived.set()
        else:
            log.warning("the issuer's keys could not be fetched")
            self._due = began + _RETRY
        self._asked = False


def _age(cache_control: str) -> float:
    found = _AGE.search(cache_control.lower())
    return min(max(float(found[1]), _LEAST), _MOST) if found else _MAX_AGE


def _parse(body: bytes) -> dict[str, EllipticCurvePublicKey]:
    """The usable keys of a JWK Set; none if it is malformed. What is no signing key of ours is passed over."""
    try:
        listed = json.loads(body)["keys"][:_MOST_KEYS]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = {}
    for one in listed:
        with suppress(ValueError, KeyError, TypeError):
            found[_name(one)] = _key(one)
    return found


def _name(one: Any) -> str:
    """Raises ValueError when this is no P-256 key for ES256 signatures."""
    if not isinstance(one, dict) or not isinstance(one["kid"], str):
        raise ValueError
    kind = (one["kty"], one["crv"], one.get("alg", "ES256"), one.get("use", "sig"))
    if kind != ("EC", "P-256", "ES256", "sig"):
        raise ValueError
    return str(one["kid"])


def _key(one: dict[str, Any]) -> EllipticCurvePublicKey:
    """Raises ValueError when the point is not on the curve."""
    x, y = (int.from_bytes(urlsafe_b64decode(one[name] + "=="), "big") for name in ("x", "y"))
    return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
