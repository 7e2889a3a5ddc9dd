"""A street for each file of tests, swept clean between them: starting one costs seconds."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import street as streets
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
