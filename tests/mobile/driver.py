"""The phone's core in a process of its own, for tests that kill it or let two of them share a store.

python -m tests.mobile.driver refresh FOLDER SERVER POINT    one refresh, killed at POINT
python -m tests.mobile.driver many FOLDER SERVER COUNT       so many refreshes, each followed by a call
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mobile_demo.core import Core


def die() -> None:
    """As the system kills an app: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Have this process killed when it reaches `point` of writing the successor."""
    write, replace, sync = os.write, os.replace, os.fsync

    def half(handle: int, content: Any) -> int:
        write(handle, bytes(content)[: len(content) // 2])
        die()
        return 0

    def before_rename(handle: int) -> None:
        sync(handle)
        die()

    def after_rename(*names: Any, **more: Any) -> None:
        replace(*names, **more)
        die()

    if point == "before write":
        os.write = lambda *_: die()  # type: ignore[assignment]
    elif point == "mid write":
        os.write = half
    elif point == "before rename":
        os.fsync = before_rename  # type: ignore[assignment]
    elif point == "after write":
        os.replace = after_rename


async def refresh(core: Core, point: str) -> None:
    """One refresh, and one call with what it brought."""
    if point == "before send":
        die()
    arm(point)
    await core.api.me()


async def many(core: Core, count: int) -> None:
    """As if the access token ran out after each call."""
    for _ in range(count):
        core.session._access = None
        await core.api.me()


async def main(what: str, folder: str, server: str, argument: str) -> None:
    """The command line."""
    core = Core(Path(folder), server)
    assert core.session.signed_in
    await (refresh(core, argument) if what == "refresh" else many(core, int(argument)))
    await core.close()
    print("done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
