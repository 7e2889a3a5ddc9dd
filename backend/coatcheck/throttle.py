"""Limits. Counted before the work, atomically, in fixed windows (counters.py).

Refreshes are counted in the worker alone, because a round trip there would cost more than the refresh. What is counted
for a network address is counted for wider networks too (networks.py).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import limits

from .clock import Clock
from .counters import Count, Counters, Limit
from .errors import RateLimited, Unavailable
from .networks import network, networks, wide_network
from .secrets import RootSecrets
from .settings import Settings

_MOST_WAITING = 512  # sign-ins that may wait for others of their address

if TYPE_CHECKING:
    from .redis_client import RedisClient

# Of one kind and account, an hour; and failed sign-ins an hour that the owner is told of.
_ALERTS, _FAILURES = (Limit.of(limits.parse(notation)) for notation in ("5/hour", "10/hour"))
_EXPORTS = Limit.of(limits.parse("5/hour"))  # copies of an account's data: half a second of CPU at 10,000 events
_SPARE_OF_A_NETWORK = 2  # attempts that a network has when an account's limit for unknown devices is full
_GUESSED_AT = (
    "Somebody has tried wrong passwords too often. To sign in now, use a device that you have used before or a passkey,"
    " or choose a new password by mail."
)


_Bucket = tuple[Limit, str]  # what is allowed, and the name it is counted under


class LoginAttempt:
    """An attempt while its password is verified. Only `failed = True` leaves it counted."""

    failed = False


class Throttle:
    """All limits of one worker."""

    def __init__(self, settings: Settings, clock: Clock, roots: RootSecrets, redis: "RedisClient | None") -> None:
        self._roots = roots
        self._clock, self._counters = clock, Counters(settings, clock, redis)
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
    async def login(self, ip: str, email: str, known_by: str = "") -> AsyncIterator[LoginAttempt]:
        """Count an attempt while its password is verified.

        `known_by` names what tells the client from strangers: a device that the account knows, a session, a link just
        used. Such a client is counted by itself alone, wherever it is, so failures of others never hold it up. All
        others ("") are counted for their network, for network and account, and together for the account; ADR 0014.

        An attempt under way counts like a failure, so that a burst of guesses can't overtake its own count. An attempt
        that meets a full limit waits while that is only because of attempts under way, which may well be honest.
        Raises RateLimited, Unavailable (too many wait).
        """
        counts, names = await self._count_login(ip, self._private(email), known_by) if self._login else ([], [])
        attempt = LoginAttempt()
        try:
            yield attempt
        finally:
            try:
                if not attempt.failed:
                    await self._counters.take_back(counts)
            finally:
                await self._done_with(names)

    async def _count_login(self, ip: str, account: str, known_by: str) -> tuple[list[Count], list[str]]:
        """What was counted, and under which names. Raises RateLimited, Unavailable."""
        client = [(self._login[-1], f"login:{account}:{known_by or network(ip)}")]
        if not known_by:
            client = _by_network(self._login[0], "login", ip) + client
        everywhere = [(limit, f"account:{limit.seconds}:{account}:{known_by}") for limit in self._account]
        try:
            return await self._reserve(client + everywhere), [name for _, name in client + everywhere]
        except RateLimited as full:
            if known_by or not everywhere:
                raise
            spare = await self._spare(ip, account)
            try:
                return await self._reserve(client + spare), [name for _, name in client + spare]
            except RateLimited:
                raise RateLimited(_GUESSED_AT, retry_after=full.retry_after) from None

    async def _spare(self, ip: str, account: str) -> list[tuple[Limit, str]]:
        """The attempts that are left when the account's limit for unknown devices is full: few from each network.

        So somebody who guesses from a few networks leaves room for the owner on a new device. A password that was just
        set by mail renews them.
        """
        longest = max(self._account, key=lambda limit: limit.seconds)
        resets = (await self._counters.count(longest, f"resets:{account}", 0)).total
        each, together = Limit(_SPARE_OF_A_NETWORK, longest.seconds), Limit(longest.amount // 2, longest.seconds)
        return [
            (each, f"spare:{account}:{resets}:{wide_network(ip)}"),
            (together, f"spare:{account}:{resets}"),
        ]

    async def renew_spare_attempts(self, email: str) -> None:
        """The owner has proved the mailbox: let them in on a new device, however many failed there before."""
        for limit in self._account and [max(self._account, key=lambda limit: limit.seconds)]:
            await self._counters.count(limit, f"resets:{self._private(email)}", 1)

    async def _reserve(self, buckets: list[tuple[Limit, str]]) -> list[Count]:
        """Count in all of these, waiting for attempts under way. Raises RateLimited, Unavailable."""
        while True:
            counts: list[Count] = []
            held: list[str] = []  # at once, or who is still counting would look like a failure to the next
            full = None
            try:
                for limit, name in buckets:
                    under_way = self._trying[name]
                    counts.append(await self._counters.count(limit, name, 1))
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
            await self._counters.take_back(counts)
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

    def _private(self, email: str) -> str:
        """A name for an address that nobody without our secret can guess."""
        return self._roots.mac(self._roots.writing, "throttle", email.encode())[:16].hex()

    async def register(self, ip: str) -> None:
        """Count a registration. Raises RateLimited."""
        await self._require_room(self._register, "register", ip)

    async def mail(self, purpose: str, ip: str, email: str, account_id: bytes = b"") -> None:
        """Count a mail that somebody asks for. Raises RateLimited.

        An address without an account is counted in the same way. Each purpose is counted by itself, so that mails of
        one kind never keep a person from another kind. Requests that are refused later are counted too.

        Mails of the purpose `reset` go to account holders only, five an hour each; so they spend nothing of the budget
        of the whole installation, and invented addresses can't spend it.
        """
        if not self._mail:
            return
        own, to, together = self._mail_limits()
        buckets = [*_by_network(own, "mail", ip), (to, f"mail:{purpose}:{self._private(email)}")]
        if account_id:  # somebody may ask for mails to many addresses from many networks
            buckets.append((to, f"mail:{purpose}:{account_id.hex()}"))
        if purpose != "reset":
            buckets.append((together, "mail"))
        await self._require(buckets)

    async def mail_by_staff(self, email: str) -> None:
        """Count a mail that staff have sent to an account: apart from what strangers ask for. Raises RateLimited."""
        if self._mail:
            await self._require([(self._mail_limits()[1], f"mail:staff:{self._private(email)}")])

    async def room_for_link(self, ip: str, email: str) -> bool:
        """Count a link that goes out with a registration, unasked; whether one more may be mailed to this address.

        Otherwise a stranger who registers an address and closes the account, again and again, fills the mailbox.
        """
        try:
            await self.mail("register", ip, email)
        except RateLimited:
            return False
        return True

    def _mail_limits(self) -> tuple[Limit, Limit, Limit]:
        own, to, together = (self._mail + self._mail[-1:] * 2)[:3]
        return own, to, together

    async def challenge(self, ip: str) -> None:
        """Count a passkey's challenge, which anybody may ask for. Raises RateLimited."""
        await self._require_room(self._challenge, "challenge", ip)

    async def room_for_alert(self, account_id: bytes, alert: str) -> bool:
        """Count an alert; whether one more of its kind may be mailed to this account."""
        count = await self._counters.count(_ALERTS, f"alert:{alert}:{account_id.hex()}", 1)
        return count.total <= _ALERTS.amount

    async def many_failures(self, account_id: bytes | None) -> bool:
        """Count a failed sign-in; True for the one in an hour that makes them many. None counts for nobody's."""
        name = f"failures:{account_id.hex() if account_id else ''}"
        return (await self._counters.count(_FAILURES, name, 1)).total == _FAILURES.amount

    async def export(self, account_id: bytes) -> None:
        """Count a copy of the account's data. Raises RateLimited."""
        await self._require([(_EXPORTS, f"export:{account_id.hex()}")])

    async def wrong_service(self, ip: str) -> None:
        """Count a wrong service credential like a failed login of its address. Raises RateLimited."""
        await self._require_room(self._login[:1], "service", ip)

    def refresh(self, session_id: bytes) -> None:
        """Count a refresh. Raises RateLimited."""
        for limit in self._refresh:
            self._judge(limit, self._counters.count_session(limit, session_id.hex()), limit.amount)

    async def _require_room(self, limits: list[Limit], what: str, ip: str) -> None:
        """Count for the networks of an address. Raises RateLimited."""
        await self._require(bucket for limit in limits for bucket in _by_network(limit, what, ip))

    async def _require(self, buckets: Iterable[_Bucket]) -> None:
        for limit, name in buckets:
            count = await self._counters.count(limit, name, 1)
            self._judge(limit, count.total, count.allowed)

    def _judge(self, limit: Limit, counted: int, allowed: int) -> None:
        if counted > allowed:
            raise RateLimited(retry_after=limit.left(self._clock.now()))


def _by_network(limit: Limit, what: str, ip: str) -> list[_Bucket]:
    return [(limit.times(factor), f"{what}:{network}") for network, factor in networks(ip)]


def _parse(notation: str) -> list[Limit]:
    return [] if notation == "off" else [Limit.of(item) for item in limits.parse_many(notation)]
