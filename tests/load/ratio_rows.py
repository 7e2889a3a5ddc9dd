"""Ratios: what is compared with what, each row ours beside its floor."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from coatcheck import migrate, settings
from tests.house import SECRET
from tests.load import guests, servers
from tests.load.compare import Row, Side, compare
from tests.load.effort import Effort, say
from tests.load.figures import AtLeast, Figure
from tests.load.guests import Guests
from tests.load.ratios import Comparison
from tests.load.servers import Running
from tests.load.table import table
from tests.load.traffic import Refreshing, Repeating, get_request, refresh_request
from tests.servers import postgres, redis

CONNECTIONS = 16
SESSIONS = 8 * CONNECTIONS  # refreshed in turn, so that no two requests ever meet in one row

_TOLD_EVERY = 7  # pairs
_CURRENT, _ME = "/v1/sessions/current", "/v1/me"


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """All rows, in a table of their own; each ratio is a figure too."""
    results = []
    with servers.apart() as pinning:
        say(f"{pinning}; slices of {effort.seconds} s, {effort.pairs} pairs, {CONNECTIONS} connections")
        for opened in (on_postgres, on_sqlite):
            async with opened(folder) as rows:
                results += [(row, await measure(row, effort)) for row in rows if effort.rows in row.name]
    say(f"\n{table(results)}\n")
    return [figure(row, found) for row, found in results]


async def measure(row: Row, effort: Effort) -> Comparison:
    """Compare, and tell how far it is."""
    found = Comparison()
    async for found in compare(row, effort.pairs, effort.seconds):
        done = len(found.ours)
        if done % _TOLD_EVERY == 0 or done == effort.pairs:
            say(f"{row.name}: {done} of {effort.pairs} pairs, {found.rate_ratio.median:.2f} so far")
    return found


def figure(row: Row, found: Comparison) -> Figure:
    """The ratio as one of all the figures."""
    goal = None if row.goal is None else AtLeast(row.goal)
    return Figure(f"{row.name}: ours / floor", found.rate_ratio.median, "", goal)


@asynccontextmanager
async def on_postgres(folder: Path) -> AsyncIterator[list[Row]]:
    """On real PostgreSQL and Redis: what production runs."""
    with ExitStack() as stack:
        database, cache = stack.enter_context(postgres()), stack.enter_context(redis())
        await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
        stores = {"database_url": database.url, "redis_url": cache.url}
        ours = stack.enter_context(servers.coatcheck(folder / "coatcheck.log", **stores))
        people = await guests.sign_in(ours.url, SESSIONS)
        await guests.copy_on_postgres(database.url)
        floor = stack.enter_context(servers.floor(folder / "floor.log", database.url))
        bearer, cookie = f"Authorization: Bearer {people.access_token}", f"Cookie: {people.cookie}"
        yield [
            Row(f"GET {_CURRENT}, Bearer", 0.95, _getting(ours, _CURRENT, bearer), _getting(floor, _CURRENT)),
            Row(f"GET {_CURRENT}, cookie", None, _getting(ours, _CURRENT, cookie), _getting(floor, _CURRENT)),
            Row(f"GET {_ME}, Bearer", None, _getting(ours, _ME, bearer), _getting(floor, _ME)),
            Row("refresh, PostgreSQL", 0.90, _refreshing(ours, people), _on_the_same_rows(floor, people)),
        ]


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[list[Row]]:
    """On the embedded database."""
    with ExitStack() as stack:
        ours = stack.enter_context(servers.coatcheck(folder / "embedded.log", data_dir=folder))
        people = await guests.sign_in(ours.url, SESSIONS)
        guests.copy_on_sqlite(folder / "coatcheck.sqlite3")
        floor = stack.enter_context(servers.floor(folder / "floor.log", str(folder / "coatcheck.sqlite3")))
        yield [Row("refresh, SQLite", None, _refreshing(ours, people), _on_the_same_rows(floor, people))]


def _getting(server: Running, path: str, *headers: str) -> Side:
    return Side(server, [Repeating(get_request(path, *headers)) for _ in range(CONNECTIONS)])


def _refreshing(server: Running, people: Guests) -> Side:
    return Side(server, [Refreshing(people.refresh_tokens[first::CONNECTIONS]) for first in range(CONNECTIONS)])


def _on_the_same_rows(server: Running, people: Guests) -> Side:
    """The floor is asked with tokens of the same length; it reads no more than the session id in them."""
    shares = [people.refresh_tokens[first::CONNECTIONS] for first in range(CONNECTIONS)]
    return Side(server, [Repeating(*map(refresh_request, share)) for share in shares])
