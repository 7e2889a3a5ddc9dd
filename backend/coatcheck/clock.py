"""The one clock. Every rule takes its time from here, so a test moves the clock instead of weakening a rule.

Moments are whole milliseconds since 1970 (UTC) everywhere inside the house; HTTP shows RFC 3339.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND


class Clock:
    """Wall-clock time of this machine."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


@lru_cache(4_096)  # a credential tells the same two moments at every request
def rfc3339(moment: int) -> str:
    """`1700000000123` -> `2023-11-14T22:13:20.123Z`."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
