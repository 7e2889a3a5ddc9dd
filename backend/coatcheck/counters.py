"""Counters of fixed windows: in Redis where there is one, else in this process.

While Redis is down each worker counts for itself, from zero, with half the allowance: never open.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from zlib import crc32

import limits
import structlog

from .clock import SECOND, Clock
from .redis_down import RedisDown
from .settings import Settings

_MOST_KEYS = 100_000  # names that are counted apart in one process
_SHARED = 1_024  # counters that further names share, in each window

if TYPE_CHECKING:
    from .redis_client import RedisClient

log = structlog.get_logger()


class Limit:
    """One `amount` in a window of `seconds`."""

    __slots__ = ("amount", "seconds")

    def __init__(self, amount: int, seconds: int) -> None:
        self.amount, self.seconds = amount, seconds

    @classmethod
    def of(cls, item: limits.RateLimitItem) -> Self:
        return cls(item.amount, item.get_expiry())

    def times(self, factor: int) -> "Limit":
        """The same window with a larger amount."""
        return self if factor == 1 else Limit(self.amount * factor, self.seconds)

    def window(self, now: int) -> int:
        """The number of the window that is open now."""
        return now // (self.seconds * SECOND)

    def left(self, now: int) -> int:
        """Seconds until it ends."""
        return self.seconds - now // SECOND % self.seconds


@dataclass(frozen=True, slots=True)
class Count:
    """Where something was counted, what that came to, and how much is allowed there."""

    name: str
    seconds: int
    window: int
    here: bool
    total: int
    allowed: int


class LocalCounters:
    """Counters in this process. Memory is bounded, and no counter is forgotten before its window ends.

    So inventing names gives nobody new tries: when there are too many, new names share counters, which fill up sooner.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[int, int], dict[str, int]] = {}  # (seconds, number): totals by name

    def add(self, limit: Limit, name: str, amount: int, now: int) -> int:
        """Count in the window that is open now; the new total."""
        key = (limit.seconds, limit.window(now))
        if key not in self._windows:
            self._forget_ended(now)
            self._windows[key] = {}
        return self._add(self._windows[key], name, amount)

    def take_back(self, count: Count) -> None:
        """Subtract one in the window where it was counted."""
        if (counts := self._windows.get((count.seconds, count.window))) is not None:
            self._add(counts, count.name, -1)

    def _add(self, counts: dict[str, int], name: str, amount: int) -> int:
        if name not in counts and sum(map(len, self._windows.values())) >= _MOST_KEYS:
            name = f"shared:{crc32(name.encode()) % _SHARED}"
        total = counts.get(name, 0) + amount
        if total > 0:
            counts[name] = total
        else:
            counts.pop(name, None)
        return total

    def _forget_ended(self, now: int) -> None:
        for seconds, window in list(self._windows):
            if (window + 1) * seconds * SECOND <= now:
                del self._windows[seconds, window]


class Counters:
    """All counters of one worker."""

    def __init__(self, settings: Settings, clock: Clock, redis: "RedisClient | None") -> None:
        self._clock, self._redis, self._prefix = clock, redis, f"{settings.redis_prefix}:limit:"
        self._local, self._sessions = LocalCounters(), LocalCounters()

    async def count(self, limit: Limit, name: str, amount: int) -> Count:
        """Add to a counter. Of several workers, where Redis answers; else of this one, with half the allowance."""
        now = self._clock.now()
        window, allowed = limit.window(now), limit.amount
        if self._redis:
            try:
                total = await self._redis.count(f"{self._prefix}{name}:{window}", amount, limit.seconds)
                return Count(name, limit.seconds, window, False, total, allowed)
            except RedisDown:
                log.warning("throttle.counting_locally")
                allowed = max(1, limit.amount // 2)
        return Count(name, limit.seconds, window, True, self._local.add(limit, name, amount, now), allowed)

    async def take_back(self, counts: list[Count]) -> None:
        """Each where it was counted: not in another window, nor in another store."""
        for count in counts:
            if count.here:
                self._local.take_back(count)
            elif self._redis:
                with suppress(RedisDown):  # a window forgets it soon
                    await self._redis.count(f"{self._prefix}{count.name}:{count.window}", -1, count.seconds)

    def count_session(self, limit: Limit, name: str) -> int:
        """Count for a session, in this worker alone; apart from names that strangers can invent. The new total."""
        return self._sessions.add(limit, name, 1, self._clock.now())
