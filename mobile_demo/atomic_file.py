"""Replace a file so that a kill or a power cut at any moment leaves the old content or the new, never half of it."""

import contextlib
import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Durable when this returns. Mode 0600. Raises OSError, then nothing has changed.

    The order is the point: content to disk, then the name, then the folder that holds the name.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            _write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def sweep(path: Path) -> None:
    """Remove what writers of this file left behind when they were killed. Call it with the writers' lock held."""
    for left in path.parent.glob(f"{path.name}.*.new"):
        left.unlink(missing_ok=True)


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can't open folders; its rename is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
