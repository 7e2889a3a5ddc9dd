"""The opaque refresh token and its twin, the web session cookie: how one is made and read. Pure, no I/O.

    cct_r_ base64url( door 1 | kid 4 | session id 16 | generation 4 | nonce 16 | MAC 16 )      82 characters

The nonce is random per session and constant in it; the row keeps only its SHA-256. The MAC is HMAC-SHA-256 (truncated
to 128 bits, RFC 2104 section 5) under a key derived from the root secret `kid`. So a forged or foreign token is refused
before any I/O, a dump of the database lacks both MAC key and nonce, and the server's secret alone lacks the nonce.
The successor is this token with the next generation: derived, never stored, the same at every retry.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from re import compile as pattern
from struct import Struct

from .errors import TokenInvalid
from .secrets import RootSecrets

_BODY = Struct(">BI16sI16s")
_MAC = 16  # bytes
# 57 bytes are 76 characters with no bit to spare: each token has exactly one spelling.
_TEXT = pattern(r"cct_(r|w)_([A-Za-z0-9_-]{76})")


class Door(StrEnum):
    """The way credentials travel."""

    NATIVE = "native"
    SPA = "spa"
    WEB = "web"


_DOORS = {1: Door.NATIVE, 2: Door.SPA, 3: Door.WEB}
_PREFIXES = {number: "w" if door is Door.WEB else "r" for number, door in _DOORS.items()}
_NUMBERS = {door: number for number, door in _DOORS.items()}


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a genuine token says. That it is genuine does not make it current: `sessions.judge` decides that."""

    door: Door
    kid: int
    session_id: bytes
    generation: int
    nonce: bytes

    @property
    def nonce_hash(self) -> bytes:
        """SHA-256 of the nonce, 32 bytes: what the session row keeps."""
        return sha256(self.nonce).digest()

    def at(self, generation: int, kid: int) -> "RefreshToken":
        """The same session's token of another generation, made under root secret `kid`."""
        return RefreshToken(self.door, kid, self.session_id, generation, self.nonce)


def write(roots: RootSecrets, token: RefreshToken) -> str:
    """The text a client keeps."""
    body = _BODY.pack(_NUMBERS[token.door], token.kid, token.session_id, token.generation, token.nonce)
    sealed = body + roots.mac(token.kid, "refresh token", body)[:_MAC]
    return f"cct_{_PREFIXES[_NUMBERS[token.door]]}_{urlsafe_b64encode(sealed).decode()}"


def read(roots: RootSecrets, text: str, door: Door) -> RefreshToken:
    """A genuine token of this door. Raises TokenInvalid for all else: forged, foreign, another door's, unknown root."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise TokenInvalid
    sealed = urlsafe_b64decode(match[2])
    body, mac = sealed[:-_MAC], sealed[-_MAC:]
    number, kid, session_id, generation, nonce = _BODY.unpack(body)
    if (
        match[1] != _PREFIXES.get(number)
        or kid not in roots
        or not compare_digest(roots.mac(kid, "refresh token", body)[:_MAC], mac)
    ):
        raise TokenInvalid
    if _DOORS.get(number) is not door:
        raise TokenInvalid("This credential belongs to another door. Its session is untouched.")
    return RefreshToken(door, kid, session_id, generation, nonce)
