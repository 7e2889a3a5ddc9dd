"""Workers whose clocks disagree by minutes: one that was set wrong, or steps."""

import time
from contextlib import AsyncExitStack

import pytest

from coatcheck.clock import Clock
from tests.conftest import Stores
from tests.house import MovableClock, NativeClient, opened


class WrongClock(MovableClock):
    """Of a machine whose wall clock is off by some seconds; a test may let it step."""

    def __init__(self, off: int) -> None:
        super().__init__()
        self.off = off

    def _wall(self) -> int:
        return super()._wall() + self.off * 1000


@pytest.mark.parametrize("apart", [300, -300])
@pytest.mark.parametrize("rotates_at", [0, 1])
async def test_clocks_apart_leave_a_delayed_duplicate_harmless(servers: Stores, apart: int, rotates_at: int) -> None:
    """A retry that reaches a worker whose clock is five minutes off, after the other has seen the successor used, gets
    the one successor; nobody is signed out."""
    async with AsyncExitStack() as stack:
        clocks = [WrongClock(0), WrongClock(apart)]
        workers = [await stack.enter_async_context(opened(clock, **servers)) for clock in clocks]
        here, there = workers[rotates_at], workers[1 - rotates_at]
        await here.register()
        phone = await here.native()
        first = phone.refresh_token
        assert (await phone.refresh()).status_code == 200
        assert (await phone.get("/v1/me")).status_code == 200
        await here.desk.presence.flush()
        answer = await NativeClient(there.http()).refresh(first)
        assert answer.status_code == 200, answer.text
        assert answer.json()["refresh_token"] == phone.refresh_token
        assert await here.rows("SELECT end_reason FROM session WHERE ended_at IS NOT NULL") == []


async def test_clocks_that_step_change_nothing(servers: Stores) -> None:
    """Once a worker goes by the database's time, a step of its machine's clock is none; a database whose clock is
    another is followed, but not for the little that its answer takes."""
    clock = WrongClock(-86_400)
    async with opened(clock, **servers) as house:
        [row] = await house.rows("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now")
        assert abs(clock.now() - row["now"]) < 30_000  # a day is what it would be
        clock.off = 300
        assert abs(clock.now() - row["now"]) < 30_000
        before, began = clock.now(), time.monotonic()
        assert clock.follow(before + 50, 100) == 0
        assert clock.follow(before + 3_600_000, 100) > 3_500_000
        assert clock.now() - before >= 3_600_000 + int((time.monotonic() - began) * 1000) - 1_000


def test_clocks_of_one_machine_follow_its_own() -> None:
    """Embedded, the wall clock is the clock: who sets it right has set it right here."""
    clock = WrongClock(0)
    clock.off = 300
    assert abs(clock.now() - Clock().now() - 300_000) < 30_000
