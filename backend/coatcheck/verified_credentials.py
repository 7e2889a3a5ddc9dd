"""Who a credential stands for, and this worker's memory of the credentials that it has verified.

Access tokens and web cookies have a memory each. With one for both, a cookie that had just been used was found when it
was sent as an access token, and an access token when it was sent as a cookie, past Origin and CSRF token.
"""

from dataclasses import dataclass
from hashlib import sha256

from .access_tokens import Claims

_MOST = 50_000  # credentials of one kind remembered; the oldest goes first


@dataclass(frozen=True, slots=True)
class Caller(Claims):
    """An authenticated caller. `until`, in milliseconds: believed so long without looking again."""

    until: int
    by_cookie: bool


class VerifiedCredentials(dict[bytes, Caller]):
    """Callers by the SHA-256 of their credential, 32 bytes, for credentials of one kind. Never shared between kinds."""

    def remember(self, key: bytes, caller: Caller) -> None:
        """Find this caller under `key_of` the credential from now on."""
        if len(self) >= _MOST:
            del self[next(iter(self))]
        self[key] = caller


def key_of(credential: str) -> bytes:
    """What a credential is remembered by."""
    return sha256(credential.encode(errors="replace")).digest()
