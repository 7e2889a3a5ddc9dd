"""The root secret, and everything derived from it or wrapped by it.

Several root secrets may be listed: the first writes, all read. Each is known by its `kid`, a 31-bit number made from
the secret itself, so that a token or a wrapped record says which root secret can read it.
HKDF-SHA-256 (RFC 5869) derives one key a purpose; AES-256-GCM wraps, with the record's id as associated data.
"""

import hmac
import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


class CannotUnwrap(Exception):
    """No listed root secret opens this record, or it was changed. Fails closed."""


class RootSecrets:
    """The listed root secrets, newest first."""

    def __init__(self, roots: list[str]) -> None:
        self._roots = {_kid(root): root.encode() for root in roots}
        self._derived: dict[tuple[int, str], bytes] = {}
        self.writing = _kid(roots[0])

    def __contains__(self, kid: int) -> bool:
        return kid in self._roots

    @property
    def kids(self) -> list[int]:
        """All that are listed, the writing one first."""
        return list(self._roots)

    def derive(self, kid: int, purpose: str) -> bytes:
        """A 32-byte key for one purpose. Raises KeyError when that root secret is not listed."""
        key = self._derived.get((kid, purpose))
        if key is None:
            key = self._derived[kid, purpose] = _hkdf(self._roots[kid], purpose)
        return key

    def mac(self, kid: int, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA-256 of `message`, 32 bytes."""
        return hmac.digest(self.derive(kid, purpose), message, "sha256")

    def wrap(self, purpose: str, record: bytes, plaintext: bytes) -> bytes:
        """kid (4 bytes) + nonce (12) + ciphertext and tag. `record` binds it to one row: swapped rows don't open."""
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self.derive(self.writing, purpose)).encrypt(nonce, plaintext, record)
        return self.writing.to_bytes(4) + nonce + sealed

    def unwrap(self, purpose: str, record: bytes, wrapped: bytes) -> bytes:
        """The plaintext. Raises CannotUnwrap."""
        kid = int.from_bytes(wrapped[:4])
        if kid not in self._roots:
            raise CannotUnwrap
        try:
            return AESGCM(self.derive(kid, purpose)).decrypt(wrapped[4 : 4 + _NONCE], wrapped[4 + _NONCE :], record)
        except InvalidTag:
            raise CannotUnwrap from None


def _hkdf(root: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"coatcheck " + purpose.encode()).derive(root)


def _kid(root: str) -> int:
    return int.from_bytes(sha256(_hkdf(root.encode(), "kid")).digest()[:4]) >> 1
