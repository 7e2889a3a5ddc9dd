"""Limits. Counted before the work, atomically, in fixed windows; in Redis where there is one, else in this process.

While Redis is down each worker counts for itself with half the allowance: stricter, never open. Refreshes are counted
in the worker alone, because a round trip there would cost more than the refresh. IPv6 counts by /64.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

import limits
import structlog

from .clock import SECOND, Clock
from .errors import RateLimited
from .redis_client import RedisClient, RedisDown
from .settings import Settings

_MOST_KEYS = 100_000  # what the local counters remember at most

log = structlog.get_logger()


class _Limit:
    """One `amount` in a window of `seconds`."""

    __slots__ = ("amount", "seconds")

    def __init__(self, item: limits.RateLimitItem) -> None:
        self.amount, self.seconds = item.amount, item.get_expiry()

    def bucket(self, name: str, now: int) -> str:
        return f"{name}:{now // (self.seconds * SECOND)}"

    def left(self, now: int) -> int:
        return self.seconds - now // SECOND % self.seconds


class LoginAttempt:
    """An attempt while its password is verified. Only `failed = True` leaves it counted."""

    failed = False


class Throttle:
    """All limits of one worker."""

    def __init__(self, settings: Settings, clock: Clock, redis: RedisClient | None) -> None:
        self._clock, self._redis, self._prefix = clock, redis, f"{settings.redis_prefix}:limit:"
        self._local: dict[str, int] = {}
        self._trying: Counter[str] = Counter()  # attempts under way in this worker
        self._done = asyncio.Condition()
        self._login, self._register, self._refresh = map(
            _parse, (settings.limit_login, settings.limit_register, settings.limit_refresh)
        )

    @asynccontextmanager
    async def login(self, ip: str, email: str) -> AsyncIterator[LoginAttempt]:
        """Count an attempt for the address, and for account and address, while it is verified. Raises RateLimited.

        What is being verified counts like a failure, so that a burst of guesses can't overtake its own count. Hence who
        meets a full limit waits while that is only because of attempts under way, which may well be honest.
        """
        account = sha256(email.encode()).hexdigest()[:32]  # no address of a person in Redis
        names = (f"login:{network(ip)}", f"login:{network(ip)}:{account}")
        buckets = list(zip((self._login[0], self._login[-1]), names, strict=True)) if self._login else []
        while full := await self._reserve(buckets):
            limit, name = full
            if not self._trying[name]:
                raise RateLimited(retry_after=limit.left(self._clock.now()))
            async with self._done:
                if self._trying[name]:  # looked at again under the lock, or the last wake-up could be missed
                    await self._done.wait()
        self._trying.update(names)
        attempt = LoginAttempt()
        try:
            yield attempt
        finally:
            if not attempt.failed:
                await self._take_back(buckets)
            self._trying -= Counter(names)
            async with self._done:
                self._done.notify_all()

    async def _reserve(self, buckets: list[tuple[_Limit, str]]) -> tuple[_Limit, str] | None:
        """Count in all of these, or in none and give back the one that is full."""
        for position, (limit, name) in enumerate(buckets):
            counted, allowed = await self._count(limit, name, 1)
            if counted > allowed:
                await self._take_back(buckets[: position + 1])
                return limit, name
        return None

    async def _take_back(self, buckets: list[tuple[_Limit, str]]) -> None:
        for limit, name in buckets:
            await self._count(limit, name, -1)

    async def register(self, ip: str) -> None:
        """Count a registration. Raises RateLimited."""
        for limit in self._register:
            counted, allowed = await self._count(limit, f"register:{network(ip)}", 1)
            self._judge(limit, counted, allowed)

    async def wrong_service(self, ip: str) -> None:
        """Count a wrong service credential like a failed login of its address. Raises RateLimited."""
        for limit in self._login[:1]:
            counted, allowed = await self._count(limit, f"service:{network(ip)}", 1)
            self._judge(limit, counted, allowed)

    def refresh(self, session_id: bytes) -> None:
        """Count a refresh. Raises RateLimited."""
        for limit in self._refresh:
            self._judge(limit, self._count_here(limit, f"refresh:{session_id.hex()}", 1), limit.amount)

    def _judge(self, limit: _Limit, counted: int, allowed: int) -> None:
        if counted > allowed:
            raise RateLimited(retry_after=limit.left(self._clock.now()))

    async def _count(self, limit: _Limit, name: str, amount: int) -> tuple[int, int]:
        """The new count in the running window, and how many are allowed where it was counted."""
        if self._redis:
            try:
                key = self._prefix + limit.bucket(name, self._clock.now())
                return await self._redis.count(key, amount, limit.seconds), limit.amount
            except RedisDown:
                log.warning("throttle.counting_locally")
                return self._count_here(limit, name, amount), max(1, limit.amount // 2)
        return self._count_here(limit, name, amount), limit.amount

    def _count_here(self, limit: _Limit, name: str, amount: int) -> int:
        bucket = limit.bucket(name, self._clock.now())
        if len(self._local) >= _MOST_KEYS and bucket not in self._local:
            del self._local[next(iter(self._local))]  # the oldest
        self._local[bucket] = self._local.get(bucket, 0) + amount
        return self._local[bucket]


def _parse(notation: str) -> list[_Limit]:
    return [] if notation == "off" else [_Limit(item) for item in limits.parse_many(notation)]


def network(ip: str) -> str:
    """What an address counts as: IPv6 by its /64."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network(f"{address}/64", strict=False))
    return str(address)
