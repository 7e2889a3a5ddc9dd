"""What goes wrong in the soak: at random, one store and one worker at a time, each written down from when to when."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from redis.asyncio import Redis

from tests.faults.evidence import Fault
from tests.faults.street import Street, Worker

_CALM = (1.0, 5.0)  # seconds between two faults of a kind
_LASTS = (0.3, 4.0)  # seconds
_STARTS = 5  # attempts: a worker that starts while a store is down gives up, and its supervisor starts another
_PRESSURE = Path("/proc/pressure/cpu")


class Mischief:
    """Everything that goes wrong."""

    def __init__(self, street: Street, now: Callable[[], float], seed: int) -> None:
        self.faults: list[Fault] = []
        self.running: set[str] = set()
        self._database, self._cache, self._workers = street.database, street.cache, street.workers
        self._now, self._random = now, Random(seed)

    async def with_stores(self, until: float) -> None:
        """PostgreSQL and Redis."""
        kinds = {
            "redis killed": self._kill_redis,
            "redis restarted": self._restart_redis,
            "redis paused": self._pause_redis,
            "redis wiped": self._wipe_redis,
            "postgres restarted": self._restart_postgres,
            "postgres killed": self._kill_postgres,
        }
        while await self._calm_before(until):
            kind = self._random.choice(list(kinds))
            await self._written_down(kind, kinds[kind]())

    async def with_workers(self, until: float) -> None:
        """One of them at a time."""
        while await self._calm_before(until):
            worker = self._random.choice(self._workers)
            kind, act = self._random.choice([("killed", self._kill_worker), ("paused", self._pause_worker)])
            await self._written_down(f"worker {kind}", act(worker), worker.number)

    async def watch_the_machine(self) -> None:
        """Write down when somebody waited for a turn nearly all the time: there are too few for us and others."""
        while _PRESSURE.is_file():
            began, waited = self._now(), _waited()
            await asyncio.sleep(0.5)
            if _waited() - waited > 0.8 * (self._now() - began):
                self.faults.append(Fault("machine", began, self._now()))

    async def _calm_before(self, until: float) -> bool:
        await asyncio.sleep(self._random.uniform(*_CALM))
        return self._now() + _LASTS[1] < until

    async def _written_down(self, kind: str, act: Awaitable[None], worker: int | None = None) -> None:
        name = kind if worker is None else f"{kind} ({worker})"
        began = self._now()
        self.running.add(name)
        await act
        self.running.remove(name)
        self.faults.append(Fault(kind, began, self._now(), worker))

    async def _a_while(self) -> None:
        await asyncio.sleep(self._random.uniform(*_LASTS))

    async def _kill_redis(self) -> None:
        await asyncio.to_thread(self._cache.kill)
        await self._a_while()
        await asyncio.to_thread(self._cache.restart)

    async def _restart_redis(self) -> None:
        await asyncio.to_thread(self._cache.restart)

    async def _pause_redis(self) -> None:
        self._cache.pause()
        try:
            await self._a_while()
        finally:
            self._cache.resume()

    async def _wipe_redis(self) -> None:
        async with Redis.from_url(self._cache.url) as client:
            await client.flushall()

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._database.restart)

    async def _kill_postgres(self) -> None:
        await asyncio.to_thread(self._database.kill)
        await asyncio.to_thread(self._database.restart)

    async def _kill_worker(self, worker: Worker) -> None:
        await asyncio.to_thread(worker.kill)
        await self._a_while()
        for _ in range(_STARTS - 1):
            with suppress(AssertionError):
                await asyncio.to_thread(worker.restart)
                return
        await asyncio.to_thread(worker.restart)

    async def _pause_worker(self, worker: Worker) -> None:
        worker.pause()
        try:
            await self._a_while()
        finally:
            worker.resume()


def _waited() -> float:
    """Seconds in which somebody waited for a turn, since the machine was started."""
    return int(_PRESSURE.read_text().partition("total=")[2].split()[0]) / 1e6
