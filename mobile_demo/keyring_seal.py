"""The seal for desktops with a key store of their own: macOS Keychain, Windows, Secret Service, KWallet.

Only the key lies there; the record stays a file, because key stores promise neither durability nor order of writes.
`keyring` is optional. Its stand-ins (null, fail, plain text files) are no key stores and are not used.
"""

import importlib
import os
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import aes_gcm
from .seals import CannotOpen

_SERVICE = "coatcheck"


class KeyringSeal:
    """Fails closed: a locked or changed key store opens nothing, and nothing is thrown away meanwhile."""

    name = b"keyring"
    protects = "Your ticket is kept in an encrypted file. Its key lies in this computer's own key store."

    def __init__(self, backend: Any, folder: Path) -> None:
        self._backend = backend
        self._user = sha256(str(folder.resolve()).encode()).hexdigest()[:16]  # one key a folder

    def close(self, content: bytes) -> bytes:
        """Makes the key when there is none. Raises OSError when the key store refuses."""
        try:
            key = self._key()
            if key is None:
                key = os.urandom(aes_gcm.KEY_BYTES)
                self._backend.set_password(_SERVICE, self._user, b64encode(key).decode())
        except Exception as error:  # each backend has errors of its own
            raise OSError("the key store refused") from error
        return aes_gcm.close(key, content, self.name)

    def open(self, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        try:
            key = self._key()
        except Exception:  # noqa: BLE001  # the same
            key = None
        if key is None:
            raise CannotOpen
        return aes_gcm.open_(key, sealed, self.name)

    def _key(self) -> bytes | None:
        text = self._backend.get_password(_SERVICE, self._user)
        key = b64decode(text) if text else b""
        return key if len(key) == aes_gcm.KEY_BYTES else None


def keyring_seal(folder: Path) -> KeyringSeal | None:
    """None where there is no real key store."""
    try:
        backend = importlib.import_module("keyring").get_keyring()
        real = backend.priority >= 1 and not type(backend).__module__.endswith((".null", ".fail", ".chainer"))
        if type(backend).__module__.endswith(".chainer"):
            real = any(one.priority >= 1 for one in backend.backends)
    except Exception:  # noqa: BLE001  # not installed, or broken: then there is none
        return None
    return KeyringSeal(backend, folder) if real else None
