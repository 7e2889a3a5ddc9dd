"""Whether a password is known from a breach elsewhere: asked of a range service (BREACHED_PASSWORDS_URL), if set.

The service hears five of the forty hexadecimal digits of the password's SHA-1 and answers with all the rest it knows
under them, padded, so that nobody on the way learns from the length (k-anonymity; the format of Have I Been Pwned).
Asked only about passwords that pass every rule of ours, and only that one host: no redirect is followed, no proxy of
the environment used. It may not hold anybody up: after two seconds, or when what comes is no such answer, the password
counts as unknown, and that is counted and logged, without the password or a digit of its hash (fails open).
"""

import asyncio
import logging
from hashlib import sha1
from re import compile as pattern
from typing import TYPE_CHECKING

import structlog

from .errors import FieldError, WeakPassword
from .passwords import normalise
from .settings import Settings

if TYPE_CHECKING:
    import httpx2

    from .desk import Desk

PATIENCE = 2.0  # seconds for the whole answer
MOST = 262_144  # bytes of it; a padded range has about 50,000
_ASKED_AT_ONCE = 20
_LINE = pattern(rb"([0-9A-Fa-f]{35}):([0-9]{1,12})")

log = structlog.get_logger()


class Breaches:
    """One worker's way to the service."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.breached_passwords_url
        self._client: httpx2.AsyncClient | None = None
        self._room = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def known(self, password: str) -> str:
        """`known`, `unknown`, `failed`; or `off`."""
        if self._url is None:
            return "off"
        digest = sha1(normalise(password).encode(), usedforsecurity=False).hexdigest().upper()
        try:
            async with asyncio.timeout(PATIENCE), self._room:
                answer = await self._range(f"{self._url}/{digest[:5]}")
            return "known" if _count(answer, digest[5:].encode()) else "unknown"
        except Exception as error:  # noqa: BLE001  # whatever it is, it keeps nobody from a password
            log.warning("breached_passwords.failed", error=type(error).__name__)  # its text may quote the address
            return "failed"

    async def _range(self, url: str) -> bytes:
        self._client = self._client or _client()
        body = b""
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise NoRangeError
            async for piece in answer.aiter_raw():  # raw: what is packed small can't unpack large
                body += piece
                if len(body) > MOST:
                    raise NoRangeError
        return body

    async def close(self) -> None:
        """Hang up."""
        if self._client:
            await self._client.aclose()


class NoRangeError(Exception):
    """What came is not the answer of a range service."""


def _client() -> "httpx2.AsyncClient":
    import httpx2  # noqa: PLC0415  # off, the default: never loaded

    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log addresses, which hold the five digits
    headers = {"Add-Padding": "true", "Accept-Encoding": "identity", "User-Agent": "coatcheck"}
    return httpx2.AsyncClient(headers=headers, timeout=PATIENCE, follow_redirects=False, trust_env=False)


def _count(answer: bytes, rest: bytes) -> int:
    """How often this one was seen; padding was seen never."""
    lines = [_LINE.fullmatch(line.strip()) for line in answer.splitlines()]
    if not lines or not all(lines):
        raise NoRangeError
    return max((int(line[2]) for line in lines if line and line[1].upper() == rest), default=0)


async def require_unknown(desk: "Desk", password: str, field: str = "password") -> None:
    """Raises WeakPassword for one that a breach has made known. Ask `passwords.require_strong` before."""
    found = await desk.breaches.known(password)
    if found != "off":
        desk.counts["breached", found] += 1
    if found == "known":
        message = "This password is known from a breach of another site. Choose one that you use nowhere else."
        raise WeakPassword(message, errors=(FieldError(field, "breached", message),))
