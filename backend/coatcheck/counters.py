"""Counters of fixed windows: in Redis where there is one, else in this process.

While Redis is down each worker counts for itself, from zero, with half the allowance: never open.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import limits
import structlog

from .clock import SECOND, Clock
from .redis_down import RedisDown
from .settings import Settings

_MOST_KEYS = 100_000  # what the local counters remember at most

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

    def bucket(self, name: str, now: int) -> str:
        return f"{name}:{now // (self.seconds * SECOND)}"

    def left(self, now: int) -> int:
        return self.seconds - now // SECOND % self.seconds


@dataclass(frozen=True, slots=True)
class Count:
    """Where something was counted, what that came to, and how much is allowed there."""

    key: str
    here: bool
    total: int
    allowed: int
    seconds: int


class Counters:
    """All counters of one worker."""

    def __init__(self, settings: Settings, clock: Clock, redis: "RedisClient | None") -> None:
        self._clock, self._redis, self._prefix = clock, redis, f"{settings.redis_prefix}:limit:"
        self._local: dict[str, int] = {}

    async def take_back(self, counts: list[Count]) -> None:
        """Each where it was counted: not in another window, nor in another store."""
        for count in counts:
            if count.here:
                self._local[count.key] = self._local.get(count.key, 0) - 1
            elif self._redis:
                with suppress(RedisDown):  # a window forgets it soon
                    await self._redis.count(count.key, -1, count.seconds)

    async def count(self, limit: Limit, name: str, amount: int) -> Count:
        bucket = limit.bucket(name, self._clock.now())
        if self._redis:
            try:
                key = self._prefix + bucket
                total = await self._redis.count(key, amount, limit.seconds)
                return Count(key, False, total, limit.amount, limit.seconds)
            except RedisDown:
                log.warning("throttle.counting_locally")
                total = self.count_here(limit, name, amount)
                return Count(bucket, True, total, max(1, limit.amount // 2), limit.seconds)
        return Count(bucket, True, self.count_here(limit, name, amount), limit.amount, limit.seconds)

    def count_here(self, limit: Limit, name: str, amount: int) -> int:
        bucket = limit.bucket(name, self._clock.now())
        if len(self._local) >= _MOST_KEYS and bucket not in self._local:
            del self._local[next(iter(self._local))]  # the oldest
        self._local[bucket] = self._local.get(bucket, 0) + amount
        return self._local[bucket]
