"""Login storm: 200 people sign in at once, again and again, with the real Argon2 parameters, while others just work.

The limit is what the machine can hash: cores / the time of one Argon2id verification, measured in turn with the storm.
A second figure compares with what as many threads as cores really verify a second with nothing else running, because
cores share their memory. Everybody comes from an address of their own, so that the limits are those of production.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from coatcheck import migrate, settings
from coatcheck.passwords import Hasher
from tests.house import PASSWORD, SECRET
from tests.live import serving
from tests.load import asking, crowd, servers
from tests.load.asking import Asker, Visitor
from tests.load.effort import Effort, say
from tests.load.figures import AtLeast, AtMost, Figure, percentile
from tests.load.weights import MEGABYTE
from tests.servers import postgres, redis

PEOPLE = 200
CORES = os.cpu_count() or 1
_WARM_UP = 2.0  # seconds until the queue is as full as it gets
_PATIENCE = 60.0  # seconds for an answer: who gets none by then hangs
_SERVERS_SHARE = 120  # MB that a worker may hold without hashing


@dataclass
class Storm:
    """What has happened so far."""

    logins: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    longest: float = 0.0  # seconds for an answer
    reads: list[float] = field(default_factory=list)  # seconds each
    idle_reads: list[float] = field(default_factory=list)
    verifications: list[float] = field(default_factory=list)  # seconds each, one at a time
    verification_cpu: list[float] = field(default_factory=list)  # seconds of CPU time each
    login_cpu: list[float] = field(default_factory=list)  # the worker's, whatever else it did meanwhile
    verified_a_second: list[float] = field(default_factory=list)  # as many at a time as there are cores
    logins_a_second: list[float] = field(default_factory=list)
    peak: int = 0  # bytes


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """Idle, hashing alone, storm, in turn; then everybody at once, until all are in."""
    async with opened(folder) as (worker, reader):
        storm, rounds = Storm(), max(1, effort.pairs // 4)
        seconds = effort.seconds * 5
        at_rest = worker.memory_info().rss
        for number in range(1, rounds + 1):
            await _idle(storm, reader, seconds)
            await asyncio.to_thread(_verify, storm, seconds)
            await rage(storm, worker, reader, seconds)
            say(f"storm: {number} of {rounds}, {storm.logins_a_second[-1]:.1f} logins/s")
        all_in = await everybody_once(storm, reader.port)
    return figures(storm, all_in, at_rest)


def figures(storm: Storm, all_in: float, at_rest: int) -> list[Figure]:
    """What it comes to."""
    logins = statistics.median(storm.logins_a_second)
    limit = CORES / statistics.median(storm.verifications)
    together = statistics.median(storm.verified_a_second)
    verify_cpu, login_cpu = statistics.median(storm.verification_cpu), statistics.median(storm.login_cpu)
    cpu = f"{verify_cpu * 1000:.1f} / {login_cpu * 1000:.1f} ms; GETs and refusals included"
    idle, meanwhile = percentile(storm.idle_reads, 99), percentile(storm.reads, 99)
    bound = _SERVERS_SHARE + CORES * _argon2_memory() / MEGABYTE
    refused = sum(storm.refused.values())
    kinds = ", ".join(f"{number} x {status}" for status, number in sorted(storm.refused.items()))
    one = f"one takes {statistics.median(storm.verifications) * 1000:.1f} ms, {CORES} cores"
    return [
        Figure("logins a second, 200 people at once", logins, "/s", note=f"{storm.logins} logins"),
        Figure("logins a second / (cores / one Argon2id verify)", logins / limit, "", AtLeast(0.95), one),
        Figure("logins a second / what the cores verify together", logins / together, "", note=f"{together:.1f}/s"),
        Figure("CPU time of one verify / the worker's CPU time a login", verify_cpu / login_cpu, "", note=cpu),
        Figure("authenticated GET, p99 meanwhile / p99 idle", meanwhile / idle, "", AtMost(3)),
        Figure("  p99 idle", idle * 1000, "ms", note=f"{len(storm.idle_reads)} requests"),
        Figure("  p99 meanwhile", meanwhile * 1000, "ms", note=f"{len(storm.reads)} requests"),
        Figure("peak memory of the worker", storm.peak / MEGABYTE, "MB", AtMost(bound), "120 + a hash for each core"),
        Figure("  at rest before", at_rest / MEGABYTE, "MB"),
        Figure("excess refused at once, with Retry-After", refused, "", note=kinds),
        Figure("  without Retry-After", storm.without_retry_after, "", AtMost(0)),
        Figure("  the longest answer to any login", storm.longest, "s", AtMost(10)),
        Figure(f"{PEOPLE} people at once, all of them in after", all_in, "s", note="waiting as Retry-After says"),
    ]


def _argon2_memory() -> int:
    return settings.Settings().argon2_memory_kib * 1024


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[psutil.Process, "Reader"]]:
    """One worker with the settings everybody starts with, 200 people it knows, and one who has signed in."""
    with ExitStack() as stack:
        database, cache = stack.enter_context(postgres()), stack.enter_context(redis())
        await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
        defaults = settings.Settings()
        live = stack.enter_context(
            serving(
                folder / "log",
                database_url=database.url,
                redis_url=cache.url,
                trusted_proxies="127.0.0.1/32",
                argon2_memory_kib=defaults.argon2_memory_kib,
                argon2_time=defaults.argon2_time,
            )
        )
        connection = await asyncpg.connect(database.url)
        await crowd.add_people(connection, Asker(live.port), PEOPLE)
        await connection.close()
        visitor = await asking.sign_in(Asker(live.port))
        yield live.workers()[0], Reader(live.port, visitor)


# -- those who just work -------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Somebody who is signed in (reading.py)."""

    port: int
    visitor: Visitor

    async def read(self, seconds: float) -> list[float]:
        """How long each request took from the moment it was due, seconds."""
        [(name, value)] = self.visitor.credential.items()
        command = [sys.executable, "-m", "tests.load.reading", str(self.port), str(seconds), f"{name}: {value}"]
        reading = await asyncio.create_subprocess_exec(*command, cwd=servers.ROOT, stdout=asyncio.subprocess.PIPE)
        try:
            told, _ = await reading.communicate()
        finally:
            if reading.returncode is None:
                reading.kill()
        assert reading.returncode == 0
        times: list[float] = json.loads(told)
        return times


async def _idle(storm: Storm, reader: Reader, seconds: float) -> None:
    storm.idle_reads += await reader.read(seconds)


# -- hashing alone -------------------------------------------------------------------------------------------------


def _verify(storm: Storm, seconds: float) -> None:
    """One at a time, then as many as there are cores."""
    context = Hasher(settings.Settings())._context
    hashed = context.hash(PASSWORD)

    def verify_until(moment: float) -> list[float]:
        times = []
        while (began := time.perf_counter()) < moment:
            assert context.verify(PASSWORD, hashed)
            times.append(time.perf_counter() - began)
        return times

    began = time.thread_time()
    alone = verify_until(time.perf_counter() + seconds / 2)
    storm.verifications += alone
    storm.verification_cpu.append((time.thread_time() - began) / len(alone))
    with ThreadPoolExecutor(CORES) as threads:
        began = time.perf_counter()
        each = list(threads.map(verify_until, [began + seconds / 2] * CORES))
        storm.verified_a_second.append(sum(map(len, each)) / (time.perf_counter() - began))


# -- those who sign in ---------------------------------------------------------------------------------------------


async def rage(storm: Storm, worker: psutil.Process, reader: Reader, seconds: float) -> None:
    """Everybody signs in again and again; counted is what happens after the warm-up."""
    raging = [asyncio.create_task(_sign_in_for_ever(storm, reader.port, number)) for number in range(PEOPLE)]
    watching = asyncio.create_task(_watch_memory(storm, worker))
    try:
        await asyncio.sleep(_WARM_UP)
        before, began, cpu = storm.logins, time.perf_counter(), sum(worker.cpu_times()[:2])
        storm.reads += await reader.read(seconds)
        done, lasted = max(1, storm.logins - before), time.perf_counter() - began
        storm.logins_a_second.append(done / lasted)
        storm.login_cpu.append((sum(worker.cpu_times()[:2]) - cpu) / done)
    finally:
        for task in (*raging, watching):
            task.cancel()
        ended = await asyncio.gather(*raging, watching, return_exceptions=True)
    for end in ended:
        if not isinstance(end, asyncio.CancelledError) and isinstance(end, BaseException):
            raise end


async def _sign_in_for_ever(storm: Storm, port: int, number: int) -> None:
    while True:
        await _sign_in(storm, port, number)


async def everybody_once(storm: Storm, port: int) -> float:
    """Seconds until all are in, each coming back when Retry-After says."""
    began = time.perf_counter()
    await asyncio.gather(*(_sign_in(storm, port, number) for number in range(PEOPLE)))
    return time.perf_counter() - began


async def _sign_in(storm: Storm, port: int, number: int) -> None:
    """Until it works."""
    asker = Asker(port, _PATIENCE)
    body, headers = {"email": crowd.email(number), "password": PASSWORD}, {"X-Forwarded-For": crowd.address(number)}
    try:
        while True:
            began = time.perf_counter()
            answer = await asker.post("/v1/native/login", body, headers)
            storm.longest = max(storm.longest, time.perf_counter() - began)
            if answer.status == 200:
                storm.logins += 1
                return
            assert answer.status in (429, 503), answer
            storm.refused[answer.status] += 1
            wait = answer.header("retry-after")
            storm.without_retry_after += wait is None
            await asyncio.sleep(float(wait or 1) + random.uniform(0, 0.5))
    finally:
        asker.close()


async def _watch_memory(storm: Storm, worker: psutil.Process) -> None:
    while True:
        storm.peak = max(storm.peak, worker.memory_info().rss)
        await asyncio.sleep(0.02)
