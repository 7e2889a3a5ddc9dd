"""Workers whose clocks disagree by minutes: one that was set wrong, or steps."""

from contextlib import AsyncExitStack
from typing import cast

import pytest

from coatcheck.clock import Clock
from coatcheck.db import Database
from coatcheck.settings import Settings
from coatcheck.shared_clock import SharedClock
from tests.conftest import OpenHouse, Stores
from tests.house import MovableClock, NativeClient, opened


class WrongClock(MovableClock):
    """Of a machine whose wall clock is off by some seconds; a test may let it step."""

    def __init__(self, off: int) -> None:
        super().__init__()
        self.off = off

    def wall(self) -> int:
        return super().wall() + self.off * 1000


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
        assert clock.apart(clock.now() + 50, 100) == 0
        assert clock.apart(clock.now() + 3_600_000, 100) > 3_500_000


def looked_at(clock: WrongClock) -> SharedClock:
    """The clock of a worker that looks at one in the test's hand: its machine's, by `clock.off`."""
    return SharedClock(Settings(), clock, cast("Database", None))


async def test_clocks_of_one_machine_follow_its_own() -> None:
    """Embedded, the wall clock is the clock: who sets it right has set it right here."""
    clock = WrongClock(0)
    shared = looked_at(clock)
    await shared.start()
    await shared.stop()
    for off in (300, 86_400, -86_400):
        clock.off = off
        await shared.look()
        assert abs(clock.now() - Clock().now() - off * 1000) < 30_000


class TheirClock(SharedClock):
    """One that looks at a database whose clock is `off` seconds ahead."""

    off = 0

    async def _read(self) -> tuple[int, int]:
        return Clock().now() + self.off * 1000, 100


async def test_clocks_that_jump_are_not_believed_at_once() -> None:
    """A database that is days ahead for some seconds runs no session out; one that stays there is followed; and one
    that its own machine's clock bears out, at once."""
    clock = WrongClock(0)
    shared = TheirClock(Settings(), clock, cast("Database", None))
    shared.off = 10 * 86_400
    for _ in range(14):
        await shared.look()
        clock.passed += 1_000
        assert abs(clock.now() - Clock().now()) < 30_000
        assert clock.doubt() > 9 * 86_400_000  # a worker that started meanwhile goes by it
    shared.off = 0
    await shared.look()
    shared.off = 10 * 86_400
    for _ in range(15):
        await shared.look()
        assert abs(clock.now() - Clock().now()) < 30_000
        clock.passed += 1_000
    await shared.look()
    assert abs(clock.now() - Clock().now() - shared.off * 1000) < 30_000
    shared.off = clock.off = 300
    await shared.look()
    assert abs(clock.now() - Clock().now() - 300_000) < 30_000


@pytest.mark.parametrize("step", [300, -300, 3])
async def test_clocks_that_step_leave_a_retry_harmless(open_house: OpenHouse, clock: MovableClock, step: int) -> None:
    """A retry just after all clocks have stepped gets the one successor, though its race window seems to be over; a
    minute later a superseded token is a thief's again."""
    async with open_house() as house:
        await house.register()
        phone = await house.native()
        first = phone.refresh_token
        assert (await phone.refresh()).status_code == 200
        assert (await phone.get("/v1/me")).status_code == 200
        await house.desk.presence.flush()
        clock.move(28)
        clock.mistrust(step * 1000, 60_000)  # as a look does that finds them apart
        clock.moved += step * 1000
        answer = await NativeClient(house.http()).refresh(first)
        assert (answer.status_code, answer.json().get("refresh_token")) == (200, phone.refresh_token)
        clock.move(61)
        assert (await NativeClient(house.http()).refresh(first)).json()["code"] == "token_reused"


async def test_clocks_that_go_ahead_and_back_revive_nobody(open_house: OpenHouse, clock: MovableClock) -> None:
    """An ended session stays ended in a worker's memory while its clock is a day ahead for a moment."""
    async with open_house() as house:
        await house.register()
        phone, laptop = await house.native(), await house.native()
        await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        clock.moved += 86_400_000
        await house.desk.feed._sweep()
        clock.moved -= 86_400_000
        assert (await phone.get("/v1/sessions/current")).json()["code"] == "session_revoked"
