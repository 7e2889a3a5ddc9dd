"""The bench's stages run, a few trials each, and would notice a promise that is broken."""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.live import serving
from tests.load import asking, growth, logout, other_service, storm
from tests.load.asking import Asker
from tests.load.effort import Effort
from tests.load.figures import Figure
from tests.load.logout import Fleet
from tests.load.storm import Storm


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two workers and an account."""
    async with logout.opened(tmp_path, workers=2) as opened:
        await asking.register(opened.workers[0])
        yield opened


def _told(figures: list[Figure]) -> dict[str, float]:
    return {figure.name.partition(": ")[2]: figure.value for figure in figures if not figure.name.startswith(" ")}


async def test_bench_measures_remote_logout(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all three doors, with Redis, without it, and with a publisher that dies; a device that nobody signs out
    is noticed."""
    told = _told(await logout.all_well(fleet, 3))
    assert 0 < told["p50"] <= told["p99"] <= told["longest"] < 10_000
    for trouble in (logout.redis_killed, logout.publisher_killed, logout.started_in_the_middle):
        told = _told(await trouble(fleet, 1))
        assert 0 <= told["p50"] <= told["longest"] < 10_000, trouble
    monkeypatch.setattr(logout, "_LATEST", 0.05)
    monkeypatch.setattr(asking, "sign_out", _forget_to)
    with pytest.raises(AssertionError, match="still accepts"):
        await logout.all_well(fleet, 1)


async def _forget_to(*_whom: object) -> None:
    """Says that it has signed somebody out."""


async def test_bench_measures_another_service(tmp_path: Path) -> None:
    """How long it accepts when Coatcheck is gone is about its max_staleness, never much less."""
    with serving(tmp_path / "log", data_dir=tmp_path) as live:
        await asking.register(Asker(live.port))
    [figure] = await other_service.coatcheck_away(tmp_path, "refuse", 1)
    assert 2 < figure.value < 20


async def test_bench_gets_everybody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a storm of sign-ins with real hashing each person gets in; who is refused is told when to come back."""
    monkeypatch.setattr(storm, "PEOPLE", 90)
    found = Storm()
    async with storm.opened(tmp_path) as (_worker, reader):
        assert await storm.everybody_once(found, reader.port) > 0
        assert not await reader.visitor.is_refused(Asker(reader.port))
    assert (found.logins, found.without_retry_after) == (90, 0)
    assert set(found.refused) <= {503}


async def test_bench_compares_few_sessions_with_many(tmp_path: Path) -> None:
    """Rows put straight into the database are as good as those of real sign-ins: refreshed, listed, signed in to."""
    effort = Effort(pairs=1, seconds=0.2, trials=1, slow_trials=1, sessions=2_000)
    told = {figure.name: figure.value for figure in await growth.stage(effort, tmp_path)}
    for name in ("refresh", "device list", "sign-in, hashing made cheap"):
        assert told[f"{name}: CPU at 2,000 sessions / at 1,000"] > 0
    assert 100 < told["bytes on disk each session, indexes included"] < 2_000


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_bench_leaves_no_process_behind(tmp_path: Path, how: signal.Signals) -> None:
    """Ended in the middle, by Ctrl-C or `kill`, it ends every server that it has started."""
    command = [sys.executable, "-m", "tests.load.bench", "--quick", "--only", "logout"]
    with (tmp_path / "log").open("wb") as output:
        bench = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        process, family = psutil.Process(bench.pid), list[psutil.Process]()
        deadline = time.monotonic() + 60
        while not any(_serves(one) for one in family):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            assert bench.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
            family = process.children(recursive=True)
        bench.send_signal(how)
        assert bench.wait(60) != 0
        assert psutil.wait_procs(family, 20)[1] == []
    finally:
        bench.kill()


def _serves(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "serve" in process.cmdline()
    return False
