"""A street for each test, on servers of its own: a fault may leave nothing as it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.faults import street as streets
from tests.faults.street import Street


@pytest_asyncio.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """Three workers over one PostgreSQL and one Redis."""
    with streets.stores() as (database, cache):
        async with streets.opened(tmp_path, database, cache) as opened:
            yield opened
