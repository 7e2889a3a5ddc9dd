"""Remote logout: how long after its answer each worker refuses the device, while all is well and while it is not.

Four `coatcheck serve`, each a process with a port of its own, so that every one of them can be asked. All are warm:
each has just accepted the credential. A trial's time is that of the slowest worker; refresh tokens must be refused by
each, and no worker may change its mind.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from coatcheck import migrate, settings
from tests.house import SECRET
from tests.live import Live, free_port, serving
from tests.load import asking
from tests.load.asking import Asker, Visitor
from tests.load.effort import Effort, say
from tests.load.figures import AtMost, Figure, percentile, waits
from tests.servers import Server, postgres, redis

WORKERS = 4
_DOORS = ("native", "spa", "web")
_LATEST = 10.0  # seconds: not refused by then is a broken promise, and ends the stage
_OFTEN, _SELDOM = 0.001, 0.005  # seconds between questions: in the first tenth of a second, and after it
_PAUSED = 5.0  # seconds
DIES = {"DIE_AT": "logout-committed"}  # between commit and publish


@dataclass
class Fleet:
    """Workers on one PostgreSQL and one Redis."""

    cache: Server
    settings: dict[str, Any]
    folder: Path
    workers: list[Asker]
    _turn: Iterator[int] = field(default_factory=count)

    def next_door(self) -> str:
        """Each door in turn."""
        return _DOORS[next(self._turn) % len(_DOORS)]

    async def ready(self) -> None:
        """Return when every worker follows the feed."""
        async with asyncio.timeout(30):
            for worker in self.workers:
                while not await asking.is_ready(worker):  # noqa: ASYNC110  # another process gets ready
                    await asyncio.sleep(0.05)

    async def laptop(self) -> Visitor:
        """Who signs the others out."""
        return await asking.sign_in(self.workers[0])

    async def warm_visitor(self, workers: Sequence[Asker]) -> Visitor:
        """Signed in at one of these workers, and known to each."""
        visitor = await asking.sign_in(random.choice(workers), self.next_door())
        for worker in workers:
            assert not await visitor.is_refused(worker)
        return visitor


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """Every kind of trouble, one after the other."""
    async with opened(folder) as fleet:
        await asking.register(fleet.workers[0])
        return [
            *await all_well(fleet, effort.trials),
            *await redis_killed(fleet, effort.slow_trials),
            *await redis_paused(fleet, max(1, effort.slow_trials // 4)),
            *await publisher_killed(fleet, effort.slow_trials),
            *await started_in_the_middle(fleet, effort.slow_trials),
        ]


@asynccontextmanager
async def opened(folder: Path, workers: int = WORKERS) -> AsyncIterator[Fleet]:
    """Real servers, and so many workers that follow the feed."""
    with ExitStack() as stack:
        database, cache = stack.enter_context(postgres()), stack.enter_context(redis())
        await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
        given: dict[str, Any] = {"database_url": database.url, "redis_url": cache.url, "public_url": asking.ORIGIN}
        given |= {"limit_login": "off", "limit_refresh": "off"}
        opening = [serving(folder / f"log-{number}", **given) for number in range(workers)]
        with ThreadPoolExecutor(workers) as together:
            lives = list(together.map(stack.enter_context, opening))
        fleet = Fleet(cache, given, folder, [Asker(live.port) for live in lives])
        await fleet.ready()
        yield fleet


# -- one trial -----------------------------------------------------------------------------------------------------


async def _until_refused(at: Asker, visitor: Visitor, began: float) -> float:
    """Seconds from `began` to this worker's first refusal."""
    while not await visitor.is_refused(at):
        passed = time.perf_counter() - began
        assert passed < _LATEST, f"port {at.port} still accepts {visitor.door}"
        await asyncio.sleep(_OFTEN if passed < 0.1 else _SELDOM)
    return time.perf_counter() - began


async def _until_all_refuse(workers: Sequence[Asker], visitor: Visitor) -> float:
    """Seconds from now until the slowest has refused, for good, access and refresh."""
    began = time.perf_counter()
    longest = max(await asyncio.gather(*(_until_refused(worker, visitor, began) for worker in workers)))
    for worker in workers:
        assert not await visitor.renews(worker)
        assert await visitor.is_refused(worker), f"port {worker.port} changed its mind"
    return longest


async def _trial(fleet: Fleet, by: Visitor, visitor: Visitor) -> tuple[float, float]:
    """Seconds the logout's own answer took, and from then until every worker refused."""
    began = time.perf_counter()
    await asking.sign_out(random.choice(fleet.workers), by, visitor)
    answered = time.perf_counter() - began
    return answered, await _until_all_refuse(fleet.workers, visitor)


async def _begun(stack: ExitStack, opening: AbstractContextManager[Live]) -> Live:
    """The server, in a thread meanwhile; whatever happens, it is on the stack before this ends."""
    starting = asyncio.create_task(asyncio.to_thread(stack.enter_context, opening))
    try:
        return await asyncio.shield(starting)
    finally:
        await starting


# -- kinds of trouble ----------------------------------------------------------------------------------------------


async def all_well(fleet: Fleet, trials: int) -> list[Figure]:
    """PostgreSQL and Redis as they should be."""
    laptop = await fleet.laptop()
    times: list[tuple[str, float]] = []
    for number in range(1, trials + 1):
        visitor = await fleet.warm_visitor(fleet.workers)
        times.append((visitor.door, (await _trial(fleet, laptop, visitor))[1]))
        if number % 100 == 0 or number == trials:
            say(f"remote logout: {number} of {trials}")
    return [
        *waits(f"remote logout -> refused on all {WORKERS} workers", [lasted for _, lasted in times], AtMost(50)),
        *(
            Figure(f"  {door}: p99", percentile([lasted for by, lasted in times if by == door], 99) * 1000, "ms")
            for door in _DOORS
        ),
    ]


async def redis_killed(fleet: Fleet, trials: int) -> list[Figure]:
    """Redis is killed at the moment of the first logout and stays dead for the others."""
    at_once, later = [], []
    for number in range(1, trials + 1):
        laptop, visitors = await fleet.laptop(), [await fleet.warm_visitor(fleet.workers) for _ in range(3)]
        fleet.cache.kill()
        first, *rest = [(await _trial(fleet, laptop, visitor))[1] for visitor in visitors]
        at_once.append(first)
        later += rest
        await asyncio.to_thread(fleet.cache.restart)
        await fleet.ready()
        say(f"Redis killed: {number} of {trials}")
    return [
        *waits("the same, Redis killed just before", at_once, AtMost(1_000)),
        *waits("the same, Redis dead", later, AtMost(1_000)),
    ]


async def redis_paused(fleet: Fleet, trials: int) -> list[Figure]:
    """Redis keeps its connections and says nothing for five seconds, while devices are signed out."""
    answers, times = [], []
    for number in range(1, trials + 1):
        laptop, visitors = await fleet.laptop(), [await fleet.warm_visitor(fleet.workers) for _ in range(8)]
        until = time.monotonic() + _PAUSED
        fleet.cache.pause()
        try:
            while visitors and time.monotonic() < until:
                answered, waited = await _trial(fleet, laptop, visitors.pop())
                answers.append(answered)
                times.append(waited)
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        finally:
            fleet.cache.resume()
        await fleet.ready()
        say(f"Redis paused: {number} of {trials}")
    return [
        *waits(f"the same, Redis paused {_PAUSED:.0f} s", times, AtMost(1_000)),
        Figure("  the longest answer to such a logout", max(answers) * 1000, "ms"),
    ]


async def publisher_killed(fleet: Fleet, trials: int) -> list[Figure]:
    """The worker that is asked dies after the commit, before it has told anybody; the others are asked."""
    times = []
    for number in range(1, trials + 1):
        opening = serving(fleet.folder / "dying", module="tests.faults.dying", told=DIES, **fleet.settings)
        with ExitStack() as stack:
            live = await _begun(stack, opening)
            dying = Asker(live.port)
            laptop, visitor = await fleet.laptop(), await fleet.warm_visitor([*fleet.workers, dying])
            try:
                await asking.sign_out(dying, laptop, visitor)
            except ConnectionError:
                times.append(await _until_all_refuse(fleet.workers, visitor))
            else:
                raise AssertionError("the publisher did not die")
        say(f"publisher killed: {number} of {trials}, refused after {times[-1]:.2f} s")
    return waits("publisher killed between commit and publish", times, AtMost(3_000), f"{WORKERS} others asked")


async def started_in_the_middle(fleet: Fleet, trials: int) -> list[Figure]:
    """A worker starts, and at some moment of its start a device is signed out: what the new one says."""
    late = []
    for number in range(1, trials + 1):
        laptop, visitor = await fleet.laptop(), await fleet.warm_visitor(fleet.workers)
        port, log = free_port(), fleet.folder / "starting"
        with ExitStack() as stack:
            starting = asyncio.create_task(_begun(stack, serving(log, port=port, **fleet.settings)))
            accepting = asyncio.create_task(_last_accepted(Asker(port), visitor))
            try:
                await asyncio.sleep(random.uniform(0, 3))
                await asking.sign_out(random.choice(fleet.workers), laptop, visitor)
                answered = time.perf_counter()
                late.append(max(0.0, await accepting - answered))
            finally:
                accepting.cancel()
                await starting  # before the stack is closed
        say(f"worker started in the middle: {number} of {trials}, accepted {late[-1] * 1000:.1f} ms too long")
    return waits("a worker started in the middle accepts for", late, AtMost(50), "0 when its first answer refuses")


async def _last_accepted(at: Asker, visitor: Visitor) -> float:
    """When a worker that is just starting accepted for the last time; asked until it refuses."""
    accepted = float("-inf")
    async with asyncio.timeout(30):
        while True:
            try:
                if await visitor.is_refused(at):
                    return accepted
                accepted = time.perf_counter()
            except OSError:  # it does not listen yet
                await asyncio.sleep(_SELDOM)
            await asyncio.sleep(_OFTEN)
