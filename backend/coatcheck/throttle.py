"""Limits. Counted before the work, atomically, in fixed windows; in Redis where there is one, else in this process.

While Redis is down each worker counts for itself, from nought, with half the allowance: never open. Refreshes are
counted in the worker alone, because a round trip there would cost more than the refresh. IPv6 counts by /64.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

import limits
import structlog

from .clock import SECOND, Clock
from .errors import RateLimited, Unavailable
from .redis_down import RedisDown
from .secrets import RootSecrets
from .settings import Settings

_MOST_WAITING = 512  # sign-ins that may wait for others of their address
_MOST_KEYS = 100_000  # what the local counters remember at most

if TYPE_CHECKING:
    from .redis_client import RedisClient

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


@dataclass(frozen=True, slots=True)
class _Count:
    """Where something was counted, what that came to, and how much is allowed there."""

    key: str
    here: bool
    total: int
    allowed: int
    seconds: int


# Of one kind and account, an hour; and failed sign-ins an hour that the owner is told of.
_ALERTS, _FAILURES = (_Limit(limits.parse(notation)) for notation in ("5/hour", "10/hour"))


class LoginAttempt:
    """An attempt while its password is verified. Only `failed = True` leaves it counted."""

    failed = False


class Throttle:
    """All limits of one worker."""

    def __init__(self, settings: Settings, clock: Clock, roots: RootSecrets, redis: "RedisClient | None") -> None:
        self._roots = roots
        self._clock, self._redis, self._prefix = clock, redis, f"{settings.redis_prefix}:limit:"
        self._local: dict[str, int] = {}
        self._trying: Counter[str] = Counter()  # attempts under way in this worker
        self._waiting = 0
        self._waited_for: Counter[str] = Counter()
        self._done = asyncio.Condition()
        self._login, self._account, self._register, self._refresh, self._mail, self._challenge = map(
            _parse,
            (
                *(settings.limit_login, settings.limit_account, settings.limit_register, settings.limit_refresh),
                *(settings.limit_mail, settings.limit_challenge),
            ),
        )

    @asynccontextmanager
    async def login(self, ip: str, email: str, whence: str | None = None) -> AsyncIterator[LoginAttempt]:
        """Count an attempt for the address, and for account and address, while it is verified.

        `whence` is counted for the account from wherever it comes, so that many addresses are no way around: "" for all
        devices together that the account does not know, else the name of one it knows, or of a session, for itself.
        Hence strangers hold no owner up.

        What is being verified counts like a failure, so that a burst of guesses can't overtake its own count. Hence who
        meets a full limit waits while that is only because of attempts under way, which may well be honest.
        Raises RateLimited, Unavailable (too many wait).
        """
        account = self._private(email)
        buckets = []
        if self._login:
            buckets += [(self._login[0], f"login:{network(ip)}"), (self._login[-1], f"login:{network(ip)}:{account}")]
        if self._login and whence is not None:
            buckets += [(limit, f"account:{limit.seconds}:{account}:{whence}") for limit in self._account]
        counts = await self._reserve(buckets)
        attempt = LoginAttempt()
        try:
            yield attempt
        finally:
            try:
                if not attempt.failed:
                    await self._take_back(counts)
            finally:
                await self._done_with([name for _, name in buckets])

    async def _reserve(self, buckets: list[tuple[_Limit, str]]) -> list[_Count]:
        """Count in all of these, waiting for attempts under way. Raises RateLimited, Unavailable."""
        while True:
            counts: list[_Count] = []
            held: list[str] = []  # at once, or who is still counting would look like a failure to the next
            full = None
            try:
                for limit, name in buckets:
                    under_way = self._trying[name]
                    counts.append(await self._count(limit, name, 1))
                    if counts[-1].total > counts[-1].allowed:
                        full = limit, name, under_way
                        break
                    self._trying[name] += 1
                    held.append(name)
            except BaseException:
                await self._done_with(held)
                raise
            if full is None:
                return counts
            await self._take_back(counts)
            await self._done_with(held)
            limit, name, under_way = full
            if self._trying[name]:
                await self._wait(name)
            elif not under_way:  # else they are done since, and what they had reserved may be free
                raise RateLimited(retry_after=limit.left(self._clock.now()))

    async def _done_with(self, names: list[str]) -> None:
        self._trying -= Counter(names)
        # Whoever wakes in vain counts, finds it full, and is done with that: he must not wake another one in vain.
        if any(self._waited_for[name] for name in names):
            async with self._done:
                self._done.notify_all()

    async def _wait(self, name: str) -> None:
        """Until an attempt under way is done. Raises Unavailable when too many wait."""
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("Many people are signing in right now. Try again in a moment.", retry_after=2)
        self._waiting += 1
        self._waited_for[name] += 1
        try:
            async with self._done:
                if self._trying[name]:  # looked at again under the lock, or the last wake-up could be missed
                    await self._done.wait()
        finally:
            self._waiting -= 1
            self._waited_for -= Counter((name,))

    async def _take_back(self, counts: list[_Count]) -> None:
        """Each where it was counted: not in another window, nor in another store."""
        for count in counts:
            if count.here:
                self._local[count.key] = self._local.get(count.key, 0) - 1
            elif self._redis:
                with suppress(RedisDown):  # a window forgets it soon
                    await self._redis.count(count.key, -1, count.seconds)

    def _private(self, email: str) -> str:
        """A name for an address that nobody without our secret can guess."""
        return self._roots.mac(self._roots.writing, "throttle", email.encode())[:16].hex()

    async def register(self, ip: str) -> None:
        """Count a registration. Raises RateLimited."""
        for limit in self._register:
            count = await self._count(limit, f"register:{network(ip)}", 1)
            self._judge(limit, count.total, count.allowed)

    async def mail(self, purpose: str, ip: str, email: str, account_id: bytes = b"") -> None:
        """Count a mail that somebody asks for. Raises RateLimited.

        The same for an address that nobody has. Each purpose counts for itself, so that who has one kind of mail sent
        to somebody keeps no other kind from him. Counted is also what is refused later: a bomber gains nothing by that.
        """
        if not self._mail:
            return
        own, to, all_mail = (self._mail + self._mail[-1:] * 2)[:3]
        names = [(own, f"mail:{network(ip)}"), (to, f"mail:{purpose}:{self._private(email)}"), (all_mail, "mail")]
        if account_id:  # whoever asks for mails to many addresses from many
            names.append((to, f"mail:{purpose}:{account_id.hex()}"))
        for limit, name in names:
            count = await self._count(limit, name, 1)
            self._judge(limit, count.total, count.allowed)

    async def room_for_link(self, email: str) -> bool:
        """Count a link that goes out with a registration, unasked; whether one more may be mailed to this address.

        Or who registers an address and closes the account, again and again, from many networks, fills the mailbox.
        """
        if not self._mail:
            return True
        count = await self._count((self._mail * 2)[1], f"mail:register:{self._private(email)}", 1)
        return count.total <= count.allowed

    async def challenge(self, ip: str) -> None:
        """Count a passkey's challenge, which anybody may ask for. Raises RateLimited."""
        for limit in self._challenge:
            count = await self._count(limit, f"challenge:{network(ip)}", 1)
            self._judge(limit, count.total, count.allowed)

    async def room_for_alert(self, account_id: bytes, alert: str) -> bool:
        """Count an alert; whether one more of its kind may be mailed to this account."""
        count = await self._count(_ALERTS, f"alert:{alert}:{account_id.hex()}", 1)
        return count.total <= _ALERTS.amount

    async def many_failures(self, account_id: bytes | None) -> bool:
        """Count a failed sign-in; True for the one in an hour that makes them many. None counts for nobody's."""
        name = f"failures:{account_id.hex() if account_id else ''}"
        return (await self._count(_FAILURES, name, 1)).total == _FAILURES.amount

    async def wrong_service(self, ip: str) -> None:
        """Count a wrong service credential like a failed login of its address. Raises RateLimited."""
        for limit in self._login[:1]:
            count = await self._count(limit, f"service:{network(ip)}", 1)
            self._judge(limit, count.total, count.allowed)

    def refresh(self, session_id: bytes) -> None:
        """Count a refresh. Raises RateLimited."""
        for limit in self._refresh:
            self._judge(limit, self._count_here(limit, f"refresh:{session_id.hex()}", 1), limit.amount)

    def _judge(self, limit: _Limit, counted: int, allowed: int) -> None:
        if counted > allowed:
            raise RateLimited(retry_after=limit.left(self._clock.now()))

    async def _count(self, limit: _Limit, name: str, amount: int) -> _Count:
        bucket = limit.bucket(name, self._clock.now())
        if self._redis:
            try:
                key = self._prefix + bucket
                total = await self._redis.count(key, amount, limit.seconds)
                return _Count(key, False, total, limit.amount, limit.seconds)
            except RedisDown:
                log.warning("throttle.counting_locally")
                total = self._count_here(limit, name, amount)
                return _Count(bucket, True, total, max(1, limit.amount // 2), limit.seconds)
        return _Count(bucket, True, self._count_here(limit, name, amount), limit.amount, limit.seconds)

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
