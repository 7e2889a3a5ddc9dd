"""AES-256-GCM on desktops. The only file that imports cryptography; on Android the Keystore does this itself."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .seals import CannotOpen

KEY_BYTES = 32
_NONCE_BYTES = 12  # random: a key closes far fewer than the 2**32 messages that would be too many


def close(key: bytes, content: bytes, about: bytes) -> bytes:
    """Nonce and ciphertext; `about` is authenticated, not hidden."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, about)


def open_(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Raises CannotOpen."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
    except (InvalidTag, ValueError):
        raise CannotOpen from None
