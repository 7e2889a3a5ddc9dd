"""The one clock. Every rule takes its time from here, so a test moves the clock instead of weakening a rule.

Moments are whole milliseconds since 1970 (UTC) everywhere inside the house; HTTP shows RFC 3339.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND


class Clock:
    """Wall-clock time of this machine; or, once it follows another clock (shared_clock.py), that one's.

    Between two looks at the other one it goes by the steady clock, which never steps.
    """

    _ahead: int | None = None  # milliseconds of the other clock before the steady one

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._told()

    def follow(self, theirs: int, blur: int) -> int:
        """The other clock says `theirs`, give or take `blur`: go by it from now on. Gives how far apart they were."""
        told = self._told()
        apart = theirs - told
        if abs(apart) <= blur:
            apart = 0
        self._ahead = told + apart - _steady()
        return apart

    def _told(self) -> int:
        return self._wall() if self._ahead is None else _steady() + self._ahead

    def _wall(self) -> int:
        return time.time_ns() // 1_000_000


def _steady() -> int:
    return time.monotonic_ns() // 1_000_000


@lru_cache(4_096)  # a credential tells the same two moments at every request
def rfc3339(moment: int) -> str:
    """`1700000000123` -> `2023-11-14T22:13:20.123Z`."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
