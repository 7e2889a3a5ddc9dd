"""The bench compares like with like, and counts right."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import Stores
from tests.house import MovableClock, NativeClient, opened
from tests.load import floors, guests
from tests.load.figures import AtLeast, AtMost, Figure, number, percentile, waits
from tests.load.ratios import Comparison, Slice, Spread, busy, cpu_each, rate
from tests.load.table import verdict
from tests.load.traffic import generation


def slices(*requests: int, cpu: float = 0.5) -> list[Slice]:
    return [Slice(number, 2.0, cpu) for number in requests]


def test_a_ratio_is_the_median_of_the_pairs_between_its_quartiles() -> None:
    found = Comparison(ours=slices(90, 80, 70, 60, 10), floor=slices(100, 100, 100, 100, 100))
    assert found.rate_ratio == Spread(0.6, 0.7, 0.8)


def test_noise_that_meets_both_slices_of_a_pair_leaves_no_trace() -> None:
    found = Comparison(ours=slices(90, 9, 45), floor=slices(100, 10, 50))
    assert found.rate_ratio == Spread(0.9, 0.9, 0.9)


def test_less_cpu_than_the_floor_is_a_ratio_above_one() -> None:
    found = Comparison(ours=slices(100, cpu=0.5), floor=slices(100, cpu=1.0))
    assert found.cpu_ratio.median == 2.0


def test_sums_of_slices() -> None:
    several = slices(100, 300, 800)
    assert rate(several) == 150
    assert cpu_each(several) == pytest.approx(1_250)
    assert busy(several) == pytest.approx(0.25)


@pytest.mark.parametrize("goal,said", [(None, "for information"), (0.5, "0.50 reached"), (0.51, "0.51 not reached")])
def test_a_goal_is_marked_and_never_fails(goal: float | None, said: str) -> None:
    assert verdict(goal, Spread(0.1, 0.5, 0.9)) == said


@asynccontextmanager
async def both(folder: Path, clock: MovableClock) -> AsyncIterator[tuple[NativeClient, httpx2.AsyncClient]]:
    """A client of Coatcheck, and one of the floors on a copy of its sessions."""
    async with opened(clock, data_dir=folder) as house:
        await house.register()
        ours = await house.native()
        guests.copy_on_sqlite(folder / "coatcheck.sqlite3")
        bare = floors.create_app(str(folder / "coatcheck.sqlite3"))
        async with bare.router.lifespan_context(bare):
            yield ours, httpx2.AsyncClient(transport=httpx2.ASGITransport(bare), base_url="http://floor")


@pytest.mark.parametrize("path", ["/v1/sessions/current", "/v1/me"])
async def test_a_bare_application_gives_the_same_body(embedded: Stores, clock: MovableClock, path: str) -> None:
    async with both(embedded["data_dir"], clock) as (ours, floor):
        answer, bare = await ours.get(path), await floor.get(path)
    assert shape(answer.json()) == shape(bare.json())
    assert len(answer.content) == len(bare.content)


async def test_a_bare_refresh_gives_the_same_body(embedded: Stores, clock: MovableClock) -> None:
    async with both(embedded["data_dir"], clock) as (ours, floor):
        presented = ours.refresh_token
        form = {"grant_type": "refresh_token", "refresh_token": presented}
        answer, bare = await ours.refresh(), await floor.post("/oauth/token", data=form)
    assert shape(answer.json()) == shape(bare.json())
    assert len(answer.content) == pytest.approx(len(bare.content), rel=0.05)
    assert generation(ours.refresh_token) == generation(presented) + 1
    assert floors.session_of(ours.refresh_token) == floors.session_of(presented)


def shape(body: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in body.items()}


@pytest.mark.parametrize(
    "goal,said",
    [(None, ""), (AtMost(2), "<= 2 reached"), (AtMost(1.9), "<= 1.90 not reached"), (AtLeast(2), ">= 2 reached")],
)
def test_a_figure_is_marked_against_its_goal(goal: AtMost | AtLeast | None, said: str) -> None:
    assert Figure("sessions ended", 2, "", goal).verdict == said


def test_times_are_told_by_their_percentiles() -> None:
    p50, p99, longest = waits("refused", [number / 1000 for number in range(1, 102)], AtMost(99))
    assert (p50.value, p99.value, longest.value) == pytest.approx((51, 100, 101))
    assert (p50.verdict, p99.verdict) == ("", "<= 99 not reached")
    assert percentile([3.0], 99) == 3.0


@pytest.mark.parametrize(
    "value,told", [(0.01234, "0.012"), (0.7, "0.70"), (12.345, "12.35"), (519, "519"), (1_234.5, "1,234")]
)
def test_a_figure_has_as_many_digits_as_say_something(value: float, told: str) -> None:
    assert number(value) == told
