"""A street for each file of tests, swept clean between them: starting one costs seconds."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.faults import street as streets
from tests.faults.line import Line
from tests.faults.street import Street


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    """Three workers over one PostgreSQL and one Redis."""
    with streets.stores() as (database, cache):
        async with streets.opened(tmp_path_factory.mktemp("street"), database, cache) as street:
            yield street


@pytest_asyncio.fixture(loop_scope="module")
async def street(built: Street) -> AsyncIterator[Street]:
    """The same with nobody in it, and all as it was, whatever the test before has broken."""
    await built.sweep()
    yield built
    await built.mend()


class Lines(NamedTuple):
    """A street whose stores are reached by lines in a test's hand; so is its first worker, by who chooses to."""

    street: Street
    database: Line
    cache: Line
    worker: Line


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drawn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lines]:
    """Three workers; whoever looks into the database directly sees it without the line."""
    with streets.stores() as (database, cache):
        async with Line(database.url).listening() as to_database, Line(cache.url).listening() as to_cache:
            urls: dict[str, Any] = {"database_url": to_database.url, "redis_url": to_cache.url}
            folder = tmp_path_factory.mktemp("lines")
            async with (
                streets.opened(folder, database, cache, 3, **urls) as street,
                Line(street.workers[0].url).listening() as to_worker,
            ):
                yield Lines(street, to_database, to_cache, to_worker)


@pytest_asyncio.fixture(loop_scope="module")
async def lines(drawn: Lines) -> AsyncIterator[Lines]:
    """The same with nobody in it, and all mended after."""
    await drawn.street.sweep()
    yield drawn
    for line in drawn[1:]:
        line.mend()
    await drawn.street.mend()
