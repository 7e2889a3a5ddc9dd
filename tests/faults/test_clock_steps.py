"""The clock of one worker of three steps by five minutes, there and back, under libfaketime."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from coatcheck import ids
from tests.faults import street as streets
from tests.faults.guests import DOORS, Crowd, Guest, visited
from tests.faults.street import Street, Worker, until
from tests.load import asking
from tests.servers import postgres, redis

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


def told_by(clock: Path) -> dict[str, str]:
    """What lets a process have its time from this file."""
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # By default libfaketime has timed waits on a condition return at once. A Python thread that waits for the GIL
        # then spins, and its process runs at a twentieth of its speed: workers missed the patience of their stores, and
        # answered 503 that no clock had caused.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


@pytest_asyncio.fixture
async def steps(tmp_path: Path) -> AsyncIterator[Steps]:
    """All clocks right to begin with."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with streets.stores() as (database, cache):
        async with streets.opened(tmp_path, database, cache) as street:
            await asyncio.to_thread(street.workers[0].restart, "", told_by(clock))
            await street.well()
            yield Steps(street, street.workers[0], clock)


@pytest.mark.parametrize("seconds", [STEP, -STEP])
async def test_clock_of_one_worker_steps_and_nobody_notices(steps: Steps, seconds: int) -> None:
    """Five minutes ahead, or behind, and back: everybody lives on at any worker, late duplicates are harmless, and a
    remote logout bites at each."""
    async with visited(steps.street) as crowd:
        await crowd.go_on(0.5)
        steps.step(seconds)
        await is_told_right(steps.odd, seconds)
        await duplicates_are_harmless(steps, crowd)
        await crowd.go_on(2.0)
        for door in DOORS:
            await crowd.sign_out_one(door)
        await crowd.go_on(1.0)
        steps.step(0)
        await crowd.go_on(1.0)
        await crowd.sign_out_one()
    keys = await steps.street.rows("SELECT kid FROM signing_key")
    assert len(keys) == 1  # nobody thought a rotation due


async def test_clock_that_is_wrong_from_the_start_is_put_right(steps: Steps) -> None:
    """A worker that starts five minutes ahead goes by the time of the others, and says so to who reads its log."""
    steps.step(STEP)
    await asyncio.to_thread(steps.odd.restart, "", told_by(steps.clock))
    async with visited(steps.street) as crowd:
        await is_told_right(steps.odd, STEP)
        await duplicates_are_harmless(steps, crowd)
        await crowd.go_on(1.0)
    assert "clock.set" in {line["event"] for line in steps.street.log()}


@pytest.mark.parametrize("seconds, lasting", [(STEP, 18.0), (40 * 86_400, 4.0)])
async def test_clock_of_the_database_steps_and_nobody_is_signed_out(
    tmp_path: Path, seconds: int, lasting: float
) -> None:
    """Five minutes ahead until it goes back, or by more than a session lives for some seconds: everybody lives on, and
    late duplicates are harmless while it steps."""
    async with AsyncExitStack() as stack:
        clock = stack.enter_context(streets.open_folder()) / "clock"
        clock.write_text("+0")
        database = stack.enter_context(postgres(told=told_by(clock)))
        cache = stack.enter_context(redis(persistent=True))
        async with streets.opened(tmp_path, database, cache) as street, visited(street) as crowd:
            steps = Steps(street, street.workers[0], clock)
            await crowd.go_on(0.5)
            for off in (seconds, 0):
                steps.step(off)
                over = time.monotonic() + lasting
                while time.monotonic() < over:
                    await duplicates_are_harmless(steps, crowd)
                    await crowd.go_on(0.5)
            assert ("clock.set" in {line["event"] for line in street.log()}) == (lasting > 15)


async def is_told_right(worker: Worker, off: int) -> None:
    """Its machine's clock is off by so much, as its log shows, and what begins there bears the right time; whoever has
    signed in there is let in at each."""
    began = time.time()
    at = worker.asker()
    visitor = await asking.sign_in(at)
    at.close()
    logged = json.loads(worker.said().splitlines()[-1])["at"]
    assert abs(datetime.fromisoformat(logged).timestamp() - began - off) < 60
    session_id = ids.raw("ses", visitor.session_id)
    [row] = await worker.street.rows("SELECT created_at FROM session WHERE id = $1", session_id)
    assert abs(row["created_at"] / 1000 - began) < 60
    for each in worker.street.workers:
        assert (await Guest(visitor).look(each)).status == 200


async def duplicates_are_harmless(steps: Steps, crowd: Crowd) -> None:
    """What was rotated and used at one worker, and is shown to another one once more, gets the one successor."""
    right = steps.street.workers[1]
    for here, there in ((steps.odd, right), (right, steps.odd)):
        for guest in crowd.staying:
            if guest.door != "web":
                late = Guest(guest.visitor)
                await guest.renew(here)
                assert (await guest.look(here)).status == 200
                await until(partial(_acknowledged, guest, steps.street), "its use is written down")
                assert (await late.renew(there)).status == 200
                assert late.visitor.renewal == guest.visitor.renewal


async def _acknowledged(guest: Guest, street: Street) -> bool:
    sql = "SELECT 1 FROM session WHERE id = $1 AND acknowledged_at IS NOT NULL"
    return bool(await street.rows(sql, ids.raw("ses", guest.visitor.session_id)))
