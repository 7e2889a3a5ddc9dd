"""The token store: the only place where the refresh token and the device secret lie.

One sealed file, replaced as a whole and durable when `change` returns. What can't be opened counts as nothing kept:
signed out, never a crash; the unreadable file stays until the next sign-in replaces it, because a key store may only
be locked for the moment.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from . import atomic_file, seals
from .file_lock import locked
from .kept import Kept
from .seals import CannotOpen, Seal

_MAGIC = b"coatcheck1 "


class TokenStore:
    """`folder` is the app's private one. Several processes may share it."""

    def __init__(self, folder: Path, seals_here: Sequence[Seal] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.refresh_lock = folder / "refresh.lock"
        self._path = folder / "session.sealed"
        self._lock = folder / "session.lock"
        self._seals = list(seals_here or seals.on_this_device(folder))

    @property
    def protects(self) -> str:
        """What the writing seal protects against, in words."""
        return self._seals[0].protects

    @property
    def unreadable(self) -> bool:
        """Whether something is kept that can't be opened here and now."""
        try:
            return self._path.stat().st_size > 0 and self._read() is None
        except OSError:
            return False

    def load(self) -> Kept:
        """What is kept; `Kept()` when nothing is, or nothing readable."""
        return self._read() or Kept()

    def change(self, change: Callable[[Kept], Kept]) -> Kept:
        """Read, change, write, as one step between processes; what is kept now. Raises OSError: nothing has changed."""
        with locked(self._lock) as alone:
            before = self.load()
            after = change(before)
            if after != before:
                if alone:
                    atomic_file.sweep(self._path)
                self._write(after)
        return after

    def forget(self) -> None:
        """Keep nothing any more. For a full disk; otherwise `change` is the way, which keeps what is owed."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> Kept | None:
        try:
            magic, name, sealed = _split(self._path.read_bytes())
            seal = next(one for one in self._seals if one.name == name)
            return Kept.from_bytes(seal.open(sealed)) if magic else None
        except (OSError, ValueError, StopIteration, CannotOpen):
            return None

    def _write(self, kept: Kept) -> None:
        for seal in self._seals:
            try:
                sealed = seal.close(kept.to_bytes())
            except OSError:
                if seal is self._seals[-1]:
                    raise
                continue  # the key store is locked: the next best seal
            atomic_file.write(self._path, _MAGIC + seal.name + b"\n" + sealed)
            return


def _split(content: bytes) -> tuple[bool, bytes, bytes]:
    head, _, sealed = content.partition(b"\n")
    return head.startswith(_MAGIC), head.removeprefix(_MAGIC), sealed
