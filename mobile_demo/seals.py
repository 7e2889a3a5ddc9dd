"""Seals: what makes the kept record unreadable outside this device. One interface, one file for each kind of seal.

A sealed file starts with the name of its seal, so that what one seal closed is never given to another. AES-256-GCM in
every case; that name is authenticated too (associated data).
"""

from pathlib import Path
from typing import Protocol

from .this_device import is_android


class CannotOpen(Exception):
    """The key is gone or locked, or the content was altered. The store then counts as empty: fails closed."""


class Seal(Protocol):
    """Closes and opens small contents. `name` is a few ASCII letters; `protects` is told in the settings screen."""

    name: bytes
    protects: str

    def close(self, content: bytes) -> bytes:
        """Raises OSError when the key can't be had."""

    def open(self, sealed: bytes) -> bytes:
        """Raises CannotOpen."""


def on_this_device(folder: Path) -> list[Seal]:
    """The seals that work here, best first. The first one writes, all of them read."""
    if is_android():
        from .android_seal import AndroidSeal  # noqa: PLC0415  # there is no cryptography on the phone

        return [AndroidSeal()]
    from .key_file_seal import KeyFileSeal  # noqa: PLC0415
    from .keyring_seal import keyring_seal  # noqa: PLC0415

    file_seal = KeyFileSeal(folder)
    in_keyring = keyring_seal(folder)
    return [in_keyring, file_seal] if in_keyring else [file_seal]
