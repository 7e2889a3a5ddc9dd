"""Waiting for what is not there yet: on the condition that is meant, never on the clock alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable

TURN = 0.05  # seconds


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = 30, pause: float = TURN) -> float:
    """Ask until it is so; returns how long that took, in seconds.

    They are seconds of a machine at rest: a turn that a busy one held up counts as `TURN` and no more, since whoever is
    waited for was held up as well.
    """
    waited = 0.0
    while True:
        began = time.monotonic()
        told = true()
        if told if isinstance(told, bool) else await told:
            return waited + min(time.monotonic() - began, TURN)
        assert waited < seconds, f"not within {seconds} s"
        await asyncio.sleep(pause)
        waited += min(time.monotonic() - began, TURN)
