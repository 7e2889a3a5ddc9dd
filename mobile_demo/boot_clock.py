"""Seconds that only ever grow, whatever happens to the date; where the system can, they count sleep too."""

import time


def seconds() -> float:
    """CLOCK_BOOTTIME on Linux and Android (a phone's nap counts), the monotonic clock elsewhere."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
