"""Limits. Counted before the work, atomically, in fixed windows; in Redis where there is one, else in this process.

While Redis is down each worker counts for itself with half the allowance: stricter, never open. Refreshes are counted
in the worker alone, because a round trip there would cost more than the refresh. IPv6 counts by /64.
"""

from hashlib import sha256
from ipaddress import ip_address, ip_network

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
    """A counted attempt. `succeeded` takes the count back: only failures wear the limit down."""

    def __init__(self, throttle: "Throttle", counted: list[tuple[_Limit, str]]) -> None:
        self._throttle, self._counted = throttle, counted

    async def succeeded(self) -> None:
        """The password was right."""
        for limit, name in self._counted:
            await self._throttle.count(limit, name, -1)


class Throttle:
    """All limits of one worker."""

    def __init__(self, settings: Settings, clock: Clock, redis: RedisClient | None) -> None:
        self._clock, self._redis, self._prefix = clock, redis, f"{settings.redis_prefix}:limit:"
        self._local: dict[str, int] = {}
        self._login, self._register, self._refresh = map(
            _parse, (settings.limit_login, settings.limit_register, settings.limit_refresh)
        )

    async def login(self, ip: str, email: str) -> LoginAttempt:
        """Count an attempt for the address, and for account and address. Raises RateLimited.

        Called when the password is about to be verified, not when the request arrives: a burst of honest
        simultaneous sign-ins then never counts more than the few that are being verified.
        """
        counted = []
        address = _network(ip)
        if self._login:
            account = sha256(email.encode()).hexdigest()[:32]  # no address of a person in Redis
            for limit, name in ((self._login[0], f"login:{address}"), (self._login[-1], f"login:{address}:{account}")):
                counted.append((limit, name))
                await self._hit(limit, name)
        return LoginAttempt(self, counted)

    async def register(self, ip: str) -> None:
        """Count a registration. Raises RateLimited."""
        for limit in self._register:
            await self._hit(limit, f"register:{_network(ip)}")

    def refresh(self, session_id: bytes) -> None:
        """Count a refresh. Raises RateLimited."""
        for limit in self._refresh:
            self._judge(limit, self._count_here(limit, f"refresh:{session_id.hex()}", 1), limit.amount)

    async def _hit(self, limit: _Limit, name: str) -> None:
        counted, allowed = await self.count(limit, name, 1)
        self._judge(limit, counted, allowed)

    def _judge(self, limit: _Limit, counted: int, allowed: int) -> None:
        if counted > allowed:
            raise RateLimited(retry_after=limit.left(self._clock.now()))

    async def count(self, limit: _Limit, name: str, amount: int) -> tuple[int, int]:
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


def _network(ip: str) -> str:
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    return str(ip_network(f"{address}/64", strict=False)) if address.version == 6 else ip
