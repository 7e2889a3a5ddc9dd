"""The clock of one worker of three steps by five minutes, there and back, under libfaketime."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from coatcheck import ids
from tests.faults import street as streets
from tests.faults.guests import DOORS, visited
from tests.faults.street import Street, Worker
from tests.load import asking

pytestmark = pytest.mark.timeout(240)

_LIBRARIES = ("/usr/lib", "/usr/local/lib")
STEP = 300  # seconds


class Steps(NamedTuple):
    """A street whose first worker has a clock in a test's hand."""

    street: Street
    odd: Worker
    clock: Path

    def step(self, seconds: int) -> None:
        """From now on that worker's clock is off by so much."""
        self.clock.write_text(f"{seconds:+d}")


def library() -> Path:
    """Where Debian's package `faketime` has put it."""
    found = [path for root in _LIBRARIES for path in Path(root).glob("**/faketime/libfaketime.so.1")]
    assert found, "apt-get install faketime"
    return found[0]


@pytest_asyncio.fixture
async def steps(tmp_path: Path) -> AsyncIterator[Steps]:
    """All clocks right to begin with."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    told = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with streets.stores() as (database, cache):
        async with streets.opened(tmp_path, database, cache) as street:
            await asyncio.to_thread(street.workers[0].restart, "", told)
            await street.well()
            yield Steps(street, street.workers[0], clock)


@pytest.mark.parametrize("seconds", [STEP, -STEP])
async def test_clock_of_one_worker_steps_and_nobody_notices(steps: Steps, seconds: int) -> None:
    """Five minutes ahead, or behind, and back: everybody lives on at any worker, and a remote logout bites at each."""
    async with visited(steps.street) as crowd:
        await crowd.go_on(0.5)
        steps.step(seconds)
        assert abs(await told_by(steps.odd) - await told_by(steps.street.workers[1]) - seconds) < 60
        await crowd.go_on(2.0)
        for door in DOORS:
            await crowd.sign_out_one(door)
        await crowd.go_on(1.0)
        steps.step(0)
        await crowd.go_on(1.0)
        await crowd.sign_out_one()
    keys = await steps.street.rows("SELECT kid FROM signing_key")
    assert len(keys) == len({row["kid"] for row in keys}) <= 2


async def told_by(worker: Worker) -> float:
    """What time this worker thinks it is, in seconds: that of a session which begins there."""
    at = worker.asker()
    visitor = await asking.sign_in(at)
    at.close()
    session_id = ids.raw("ses", visitor.session_id)
    [row] = await worker.street.rows("SELECT created_at FROM session WHERE id = $1", session_id)
    return float(row["created_at"]) / 1000
