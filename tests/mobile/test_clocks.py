"""The date of the device doesn't matter: lives are durations, measured by a clock that only moves forward."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import time_machine

from mobile_demo import boot_clock
from mobile_demo.core import Core
from tests.house import PASSWORD
from tests.live import Live

from .conftest import register
from .proxy import Proxy, proxying

LIFETIME = 2  # seconds, of `brisk`'s access tokens


@pytest_asyncio.fixture
async def network(brisk: Live) -> AsyncIterator[Proxy]:
    """The network between the phone and `brisk`."""
    async with proxying(brisk.port) as proxy:
        yield proxy


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_day_off_costs_nothing(brisk: Live, network: Proxy, tmp_path: Path, days: int) -> None:
    """Thirty calls over two lifetimes, the date a day wrong and jumping hours midway: one refresh a lifetime, no
    sign-in."""
    core = Core(tmp_path, network.url)
    await core.session.sign_in(register(brisk), PASSWORD)
    began = boot_clock.seconds()
    with time_machine.travel(_days_from_now(days)) as date:
        for number in range(30):
            assert (await core.api.me())["name"] == "Ada"
            if number == 15:
                date.shift(timedelta(hours=-7 * days))
            await asyncio.sleep(2 * LIFETIME / 30)
    lifetimes = (boot_clock.seconds() - began) / (0.9 * LIFETIME)  # a tenth early
    assert 1 <= network.count("POST /oauth/token") <= lifetimes + 1
    assert network.count("POST /v1/native/login") == 1
    await core.close()


async def test_a_slow_clock_is_told_by_the_server(brisk: Live, network: Proxy, tmp_path: Path) -> None:
    """A phone whose clock stood still while it slept: the refusal does what the clock didn't, without a loop."""
    core = Core(tmp_path, network.url)
    await core.session.sign_in(register(brisk), PASSWORD)
    core.session._clock = lambda: 0.0
    stale = core.session._access
    await asyncio.sleep(LIFETIME + 5.2)  # the server's leeway is five seconds
    assert core.session._access is stale
    assert (await core.api.me())["name"] == "Ada"
    assert network.count("POST /oauth/token") == 1
    await core.close()


def test_the_clock_only_moves_forward() -> None:
    """And counts sleep where the system can."""
    first = boot_clock.seconds()
    assert boot_clock.seconds() >= first


def _days_from_now(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)
