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
    _doubt, _doubt_ends = 0, 0

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._told()

    def steady(self) -> int:
        """Milliseconds since some moment, by a clock that never steps: for how long something has been."""
        return _monotonic()

    def wall(self) -> int:
        """Milliseconds since the epoch, as this machine has them."""
        return time.time_ns() // 1_000_000

    def apart(self, theirs: int, blur: int) -> int:
        """How far ahead the other clock is that says `theirs`, give or take `blur`."""
        apart = theirs - self._told()
        return 0 if abs(apart) <= blur else apart

    def go_by(self, apart: int) -> None:
        """Go by a clock that is so far ahead, from now on."""
        self._ahead = self._told() + apart - _monotonic()

    def mistrust(self, apart: int, lasting: int) -> None:
        """For so long, moments that were written lately may be wrong by `apart`."""
        self._doubt, self._doubt_ends = max(abs(apart), self.doubt()), self.steady() + lasting

    def doubt(self) -> int:
        """By how many milliseconds a moment that was written lately may be wrong."""
        return self._doubt if self.steady() < self._doubt_ends else 0

    def _told(self) -> int:
        return self.wall() if self._ahead is None else _monotonic() + self._ahead


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000_000


@lru_cache(4_096)  # a credential tells the same two moments at every request
def rfc3339(moment: int) -> str:
    """`1700000000123` -> `2023-11-14T22:13:20.123Z`."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
