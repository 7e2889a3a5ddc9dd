"""A street of workers: `coatcheck serve` in processes and on ports of their own, over one PostgreSQL and one Redis.

Each of them can be asked, killed and started again. Nothing in them is replaced; what breaks is broken from outside.
"""

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

from coatcheck import migrate, settings
from tests.house import SECRET
from tests.live import Live, serving
from tests.load import asking
from tests.load.asking import Asker
from tests.servers import Server, postgres, redis

RECOVERED = 60.0  # seconds until everything must be well again; how long a busy machine may take to start a process
LIMITS_OFF: dict[str, Any] = {f"limit_{name}": "off" for name in ("login", "refresh", "register")}


def quiet_port() -> int:
    """A free port that no client's own end is given by chance, so that a worker which was killed can have it again."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Place:
    """Where somebody can be asked."""

    number: int
    port: int = field(default_factory=quiet_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asker(self) -> Asker:
        """Somebody who asks there."""
        return Asker(self.port)


@dataclass(kw_only=True)
class Worker(Place):
    """One process, on a port that stays its own."""

    street: "Street"
    live: Live | None = None
    _is_itself: bool = True
    _away: list[list[float]] = field(default_factory=list)  # from when to when it was dead or stopped, monotonic
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self, die_at: str = "", told: dict[str, str] | None = None) -> None:
        """`die_at`: a point of dying.py. `told`: more for its environment."""
        log = self.street.folder / f"worker-{self.number}-{time.monotonic_ns()}.log"
        module = "tests.faults.dying" if die_at else "coatcheck"
        self._is_itself = not die_at and not told
        told = {"DIE_AT": die_at, **(told or {})}
        opening = serving(log, port=self.port, module=module, told=told, **self.street.settings)
        self.live = self._running.enter_context(opening)
        self._is_back()

    @property
    def broken(self) -> bool:
        """Dead, or told to be another than it is."""
        return not self._is_itself or self.live is None or self.live.process.poll() is not None

    def stop(self) -> None:
        """As an operator does. One that is gone already is no error."""
        self._leaves()
        self._running.close()

    def kill(self) -> None:
        """`kill -9`."""
        assert self.live
        self._leaves()
        self.live.process.kill()
        self.live.process.wait()

    def pause(self) -> None:
        """It keeps its connections and does nothing."""
        assert self.live
        self._leaves()
        self.live.workers()[0].suspend()

    def resume(self) -> None:
        """It goes on as if no time had passed."""
        assert self.live
        self.live.workers()[0].resume()
        self._is_back()

    def restart(self, die_at: str = "", told: dict[str, str] | None = None) -> None:
        """Stopped, if it runs, and started again."""
        self.stop()
        self.start(die_at, told)

    def was_away(self, began: float, ended: float) -> bool:
        """Whether a test had killed or stopped it for some of this time: a reason for no answer."""
        return any(left <= ended and began <= back for left, back in self._away)

    def _leaves(self) -> None:
        if not self._away or self._away[-1][1] < inf:
            self._away.append([time.monotonic(), inf])

    def _is_back(self) -> None:
        if self._away:
            self._away[-1][1] = time.monotonic()

    def said(self) -> str:
        """What it has logged, all of its lives together."""
        return "".join(log.read_text() for log in sorted(self.street.folder.glob(f"worker-{self.number}-*.log")))


@dataclass
class Street:
    """The workers and what they stand on."""

    folder: Path
    database: Server
    cache: Server
    settings: dict[str, Any]
    workers: list[Worker] = field(default_factory=list)

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        """What the database holds."""
        connection = await asyncpg.connect(self.database.url)
        try:
            return [dict(row) for row in await connection.fetch(sql, *args)]
        finally:
            await connection.close()

    async def sweep(self) -> None:
        """Nobody has ever been here."""
        await self.rows("TRUNCATE account, device, session, challenge, outgoing_mail CASCADE")

    async def mend(self) -> None:
        """Start anew what was killed, or is not itself."""
        self.database.resume()
        self.cache.resume()
        for worker in self.workers:
            if worker.broken:
                await asyncio.to_thread(worker.restart)
        await self.well()

    async def well(self) -> None:
        """Return when every worker says that nothing is missing, without help from anybody."""
        for worker in self.workers:
            await until(partial(asking.is_ready, worker.asker()), f"worker {worker.number} is well again")

    def log(self) -> list[dict[str, Any]]:
        """What all workers have logged."""
        lines = "".join(worker.said() for worker in self.workers).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


async def until(true: Callable[[], Any], what: str, seconds: float = RECOVERED) -> None:
    """Wait for a condition, a coroutine's answer."""
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Where PostgreSQL's own user gets in too."""
    with TemporaryDirectory(prefix="coatcheck-open-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def stores() -> Iterator[tuple[Server, Server]]:
    """PostgreSQL and a Redis that keeps what it has acknowledged, as compose.yaml has them."""
    with postgres() as database, redis(persistent=True) as cache:
        yield database, cache


@asynccontextmanager
async def opened(
    folder: Path,
    database: Server,
    cache: Server,
    workers: int = 3,
    told: dict[str, str] | None = None,
    **chosen: Any,
) -> AsyncIterator[Street]:
    """Workers that answer, on these two, whose tables are made. `told`: more for their environment."""
    await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
    given = {"database_url": database.url, "redis_url": cache.url, "public_url": asking.ORIGIN} | LIMITS_OFF | chosen
    street = Street(folder, database, cache, given)
    street.workers = [Worker(number, street=street) for number in range(workers)]
    try:
        await asyncio.gather(*(asyncio.to_thread(worker.start, "", told) for worker in street.workers))
        await street.well()
        yield street
    finally:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in street.workers))
