"""A thousand sessions and very many: what each thing costs, side by side.

Two databases in one PostgreSQL, a worker for each, asked in turn (compare.py). A cost is CPU time: of the worker and of
those processes of PostgreSQL that serve its database.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import asyncpg
import psutil

from coatcheck import cleanup, migrate, settings
from coatcheck import desk as desks
from coatcheck.cleanup import Cleanup
from coatcheck.clock import SECOND, Clock
from tests.house import PASSWORD, SECRET
from tests.load import crowd, servers
from tests.load.asking import Asker
from tests.load.compare import Row, Side
from tests.load.crowd import Crowd
from tests.load.effort import Effort, say
from tests.load.figures import AtMost, Figure
from tests.load.ratio_rows import CONNECTIONS, measure
from tests.load.ratios import Comparison, cpu_each
from tests.load.servers import Running
from tests.load.traffic import Refreshing, Repeating, get_request, json_request
from tests.servers import Server, postgres, redis

FEW = 1_000
_SAMPLE = 40_000  # sessions refreshed in turn, spread over all
_LISTED = 64  # people who ask for their devices in turn


@dataclass(frozen=True, slots=True)
class WithDatabase(Running):
    """A worker together with the processes that serve its database."""

    server: Server
    database: str

    def cpu(self) -> float:
        """Seconds of CPU time so far; a backend that has ended no longer counts, and none does between two slices."""
        backends = [
            child
            for child in psutil.Process(self.server.pid).children()
            if f" {self.database} " in " ".join(child.cmdline())
        ]
        times = [process.cpu_times() for process in (*self.workers, *backends)]
        return sum(one.user + one.system for one in times)


@dataclass
class Place:
    """A worker and its crowd."""

    running: WithDatabase
    url: str
    connection: "asyncpg.Connection[asyncpg.Record]"
    crowd: Crowd

    async def bytes_per(self, table: str) -> float:
        """On disk, indexes included."""
        size = await self.connection.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table)
        return float(size) / float(await self.connection.fetchval(f"SELECT count(*) FROM {table}"))


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """Refresh, device list, sign-in, and the room they take."""
    with servers.apart(), ExitStack() as stack:
        database, cache = stack.enter_context(postgres()), stack.enter_context(redis())
        async with (
            _opened(folder, database, cache, "few", FEW) as few,
            _opened(folder, database, cache, "many", effort.sessions) as many,
        ):
            found = await _sizes(few, many)
            for row in await _rows(few, many):
                found += _growth(row, await measure(row, effort), effort.sessions)
            found += await _sizes(few, many, " after all that")
            found += [await _cleaning(place) for place in (few, many)]
    return found


@asynccontextmanager
async def _opened(folder: Path, database: Server, cache: Server, name: str, sessions: int) -> AsyncIterator[Place]:
    admin = await asyncpg.connect(database.url)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    url = f"{database.url.rpartition('/')[0]}/{name}"
    await migrate.upgrade(settings.load({}, database_url=url, secret_key=[SECRET]))
    given = {"database_url": url, "redis_url": cache.url, "redis_prefix": name, "limit_login": "off"}
    with servers.coatcheck(folder / f"{name}.log", **given) as plain:
        running = WithDatabase(plain.port, plain.workers, database, name)
        connection = await asyncpg.connect(url)
        began = time.monotonic()
        people = await crowd.add_sessions(connection, Asker(plain.port), sessions)
        say(f"{sessions:,} sessions put there in {time.monotonic() - began:.0f} s")
        yield Place(running, url, connection, people)
        await connection.close()


async def _rows(few: Place, many: Place) -> list[Row]:
    """What is done in both places; what adds rows comes last."""
    return [
        Row("refresh", 1.1, _refreshing(many), _refreshing(few)),
        Row("device list", None, await _listing(many), await _listing(few)),
        Row("sign-in, hashing made cheap", None, _signing_in(many), _signing_in(few)),
    ]


def _refreshing(place: Place) -> Side:
    tokens = place.crowd.sample(_SAMPLE)[_LISTED:]
    return Side(place.running, [Refreshing(tokens[first::CONNECTIONS]) for first in range(CONNECTIONS)])


async def _listing(place: Place) -> Side:
    asker, requests = Asker(place.running.port), []
    for token in place.crowd.sample(_SAMPLE)[:_LISTED]:
        answer = await asker.form("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token})
        bearer = json.loads(answer.body)["access_token"]
        requests.append(get_request("/v1/devices", f"Authorization: Bearer {bearer}"))
    return Side(place.running, [Repeating(*requests[first::CONNECTIONS]) for first in range(CONNECTIONS)])


def _signing_in(place: Place) -> Side:
    people = range(place.crowd.sessions // crowd.DEVICES)
    return Side(
        place.running, [Repeating(*map(_login, people[first::CONNECTIONS][:500])) for first in range(CONNECTIONS)]
    )


def _login(number: int) -> bytes:
    return json_request("/v1/native/login", {"email": crowd.email(number), "password": PASSWORD})


def _growth(row: Row, found: Comparison, sessions: int) -> list[Figure]:
    """CPU time with many / with few."""
    note = f"{cpu_each(found.ours):.0f} / {cpu_each(found.floor):.0f} µs, worker and database"
    goal = None if row.goal is None else AtMost(row.goal)
    return [
        Figure(f"{row.name}: CPU at {sessions:,} sessions / at {FEW:,}", 1 / found.cpu_ratio.median, "", goal, note)
    ]


async def _cleaning(place: Place) -> Figure:
    """One turn of the clean-up over all rows, a tenth of the sessions having ended long ago; without its pauses."""
    long_ago = Clock().now() - 1_000 * 86_400 * SECOND
    await place.connection.execute(_END_SOME, long_ago)
    chosen = settings.load({}, database_url=place.url, secret_key=[SECRET])
    async with desks.opened(chosen, Clock()) as desk:
        await place.connection.execute("DELETE FROM chore")  # whoever's turn it was: now it is ours
        before = await place.connection.fetchval("SELECT count(*) FROM session")
        with mock.patch.object(cleanup, "_PAUSE", 0.0):
            began = time.monotonic()
            assert await Cleanup(chosen, desk.clock, desk.db, desk.roots, desk.feed).turn()
        lasted = time.monotonic() - began
    removed = before - await place.connection.fetchval("SELECT count(*) FROM session")
    return Figure(f"a turn of the clean-up over {before:,} sessions", lasted, "s", note=f"{removed:,} of them removed")


_END_SOME = """
UPDATE session SET ended_at = $1::bigint, end_reason = 'idle', created_at = $1::bigint - 1
WHERE ended_at IS NULL AND get_byte(id, 0) < 26
"""


async def _sizes(few: Place, many: Place, when: str = "") -> list[Figure]:
    found = []
    for table, goal in (("session", AtMost(600)), ("device", None), ("account", None)):
        note = f"{await few.bytes_per(table):.0f} at {FEW:,} sessions"
        name = f"bytes on disk each {table}, indexes included{when}"
        found.append(Figure(name, await many.bytes_per(table), "bytes", goal, note))
    return found
