"""The seal for computers without a key store: the key is a file beside the sealed one, both for your eyes only (0600).

What this protects against: other users of the computer, and a copy of the sealed file alone (a synced or backed-up
`session.sealed` without `seal.key`). What it does not: programs that run as you, and an administrator. They can read
both files, as they could read anything of yours.
"""

import os
from pathlib import Path

from . import aes_gcm, atomic_file
from .seals import CannotOpen


class KeyFileSeal:
    """Fails closed: a key of a wrong length, or none, opens nothing."""

    name = b"file"
    protects = (
        "Your ticket is kept in an encrypted file that other users of this computer can't read. "
        "Programs that you run yourself could."
    )

    def __init__(self, folder: Path) -> None:
        self._path = folder / "seal.key"

    def close(self, content: bytes) -> bytes:
        """Makes the key when there is none."""
        key = self._key()
        if key is None:
            key = os.urandom(aes_gcm.KEY_BYTES)
            atomic_file.write(self._path, key)
        return aes_gcm.close(key, content, self.name)

    def open(self, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        key = self._key()
        if key is None:
            raise CannotOpen
        return aes_gcm.open_(key, sealed, self.name)

    def _key(self) -> bytes | None:
        try:
            key = self._path.read_bytes()
        except OSError:
            return None
        return key if len(key) == aes_gcm.KEY_BYTES else None
