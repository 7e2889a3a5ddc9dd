"""Locks between processes. The system lets go of them when their holder dies.

No lock here is needed for correctness towards the server, which repeats a lost or doubled refresh by itself; so a wait
is bounded, and whoever has waited long enough goes ahead. A frozen process never freezes another one.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

_STEP = 0.02  # seconds between attempts


@contextmanager
def locked(path: Path, patience: float = 2.0) -> Iterator[bool]:
    """For the few milliseconds of a read-change-write. Gives whether the lock was got within `patience` seconds."""
    handle = _open(path)
    try:
        deadline = time.monotonic() + patience
        while not (got := _try(handle)) and time.monotonic() < deadline:
            time.sleep(_STEP)
        yield got
    finally:
        os.close(handle)


@asynccontextmanager
async def locked_across(path: Path, patience: float) -> AsyncIterator[bool]:
    """The same around a network call, without holding up the event loop."""
    handle = _open(path)
    try:
        deadline = time.monotonic() + patience
        while not (got := _try(handle)) and time.monotonic() < deadline:  # noqa: ASYNC110  # another process tells nobody
            await asyncio.sleep(_STEP)
        yield got
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
