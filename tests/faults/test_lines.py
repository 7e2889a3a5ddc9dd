"""Slow, dead and broken lines between the workers and their stores."""

import pytest

from tests.faults.conftest import Lines
from tests.faults.guests import DOORS, visited
from tests.faults.line import Line

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("how", ["100 ms", "1 s", "dead", "cut", "refused"])
async def test_line_to_redis_costs_speed_and_nothing_else(lines: Lines, how: str) -> None:
    """However the line to Redis misbehaves: everybody lives on, a remote logout bites, and no help is needed."""
    async with visited(lines.street) as crowd:
        await _break(lines.cache, how)
        await crowd.go_on(2.0)
        for door in DOORS:
            assert await crowd.sign_out_one(door) < 1.0 + 2 * crowd.stood_still
        lines.cache.mend()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()


@pytest.mark.parametrize("how", ["25 ms", "1 s", "dead", "cut", "refused"])
async def test_line_to_the_database_is_an_outage_with_an_end(lines: Lines, how: str) -> None:
    """However the line to PostgreSQL misbehaves: a yes, or a 503 within two seconds, and then all is as before."""
    async with visited(lines.street) as crowd:
        await _break(lines.database, how)
        await crowd.go_on(4.0)
        lines.database.mend()
        await lines.street.well()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()


async def _break(line: Line, how: str) -> None:
    if how.endswith("s"):
        number, unit = how.split()
        line.delay = float(number) / (1000 if unit == "ms" else 1)
    elif how == "dead":
        line.go_dead()
    else:
        line.cut(and_refuse=how == "refused")
