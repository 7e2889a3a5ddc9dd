"""A second service, in a process of its own, that knows people by coatcheck.verifier alone."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from coatcheck.verifier import Refused, TokenInvalid, Verifier
from tests.conftest import Stores
from tests.house import PASSWORD, NativeClient
from tests.live import Live, free_port, second_service, serving
from tests.waiting import until

TRIALS = 50


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Coatcheck, on SQLite."""
    folder = tmp_path_factory.mktemp("coatcheck")
    with serving(folder / "log", data_dir=folder, limit_login="off") as running:
        yield running


@pytest.fixture(scope="module")
def second(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The second service beside it."""
    with second_service(live, tmp_path_factory.mktemp("second") / "log") as url:
        yield url


@asynccontextmanager
async def _people(live: Live) -> AsyncIterator[tuple[httpx2.AsyncClient, NativeClient]]:
    """A laptop that is signed in at Coatcheck."""
    async with httpx2.AsyncClient(base_url=live.url, timeout=30) as http:
        await http.post("/v1/accounts", json={"email": "ada@example.test", "password": PASSWORD})
        yield http, await NativeClient(http).login("ada@example.test")


async def _asks(http: httpx2.AsyncClient, url: str, client: NativeClient) -> str:
    """What the second service says: "ok" or a code."""
    answer = await http.get(f"{url}/parcels", headers={"Authorization": f"Bearer {client.access_token}"})
    if answer.status_code == 200:
        return "ok"
    assert answer.status_code == (503 if answer.json()["code"] == "unavailable" else 401)
    return str(answer.json()["code"])


async def _until(http: httpx2.AsyncClient, url: str, client: NativeClient, said: str, seconds: float) -> float:
    """How long it took until the second service said this, seconds."""

    async def so() -> bool:
        return await _asks(http, url, client) == said

    return await until(so, seconds, pause=0.002)


def _told(title: str, times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return f"{title}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, {len(times)} trials"


async def _sign_outs(live: Live, url: str, trials: int) -> list[float]:
    """How long after the answer to each remote logout the second service refused, seconds."""
    times = []
    async with _people(live) as (http, laptop), httpx2.AsyncClient(timeout=30) as other:
        for _ in range(trials):
            phone = await NativeClient(http).login("ada@example.test")
            assert await _asks(other, url, phone) == "ok"
            assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
            times.append(await _until(other, url, phone, "session_revoked", 5))
        assert await _asks(other, url, laptop) == "ok"
    return times


async def test_second_service_refuses_within_a_second(live: Live, second: str) -> None:
    """A remote logout is refused by the second service within a second, and nobody else is."""
    times = await _sign_outs(live, second, TRIALS)
    print(_told("remote logout -> refused by a second service", times))
    assert max(times) < 1


async def test_second_service_hears_from_any_worker(servers: Stores, tmp_path: Path) -> None:
    """With two workers on PostgreSQL and Redis a logout at either bites within a second at the second service."""
    with (
        serving(tmp_path / "log", workers=2, limit_login="off", **servers) as live,
        second_service(live, tmp_path / "second") as url,
    ):
        times = await _sign_outs(live, url, 20)
    print(_told("the same with two workers", times))
    assert max(times) < 1


async def test_second_service_believes_nothing_else(live: Live, second: str) -> None:
    """Refresh tokens, tokens for another audience, garbage and nothing are refused with the contract's codes."""
    async with _people(live) as (http, laptop):
        assert await _asks(http, second, laptop) == "ok"
        async with Verifier(issuer=live.origin, audience="https://elsewhere.example.com") as elsewhere:
            with pytest.raises(TokenInvalid):
                elsewhere.check(laptop.access_token)
        answer = await http.get(f"{second}/parcels")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        for text in (laptop.refresh_token, "x.y.z", laptop.access_token[:-4] + "AAAA"):
            laptop.access_token = text
            assert await _asks(http, second, laptop) == "token_invalid"


@contextmanager
def _stopped(live: Live) -> Iterator[None]:
    """Coatcheck hangs: it keeps its connections and says nothing."""
    process = psutil.Process(live.process.pid)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("policy, then", [("refuse", "unavailable"), ("accept", "ok")])
async def test_second_service_while_coatcheck_hangs(live: Live, tmp_path: Path, policy: str, then: str) -> None:
    """With Coatcheck silent the second service goes on for max_staleness, then does as configured, and recovers by
    itself; a session that it knows has ended stays refused throughout."""
    async with _people(live) as (http, laptop), httpx2.AsyncClient(timeout=30) as other:
        gone = await NativeClient(http).login("ada@example.test")
        await laptop.call("DELETE", f"/v1/sessions/{gone.session_id}")
        with second_service(live, tmp_path / "second", MAX_STALENESS="2", WHEN_STALE=policy) as url:
            assert await _asks(other, url, gone) == "session_revoked"
            with _stopped(live):
                began = time.monotonic()
                while (said := await _asks(other, url, laptop), time.monotonic() - began)[1] < 0.8:
                    assert said == "ok"

                async def lost_touch() -> bool:
                    return not (await other.get(f"{url}/readyz")).json()["knows_endings"]

                await until(lost_touch, 3)
                assert await _asks(other, url, laptop) == then
                assert await _asks(other, url, gone) == "session_revoked"
            await _until(other, url, laptop, "ok", 10)
            phone = await NativeClient(http).login("ada@example.test")
            await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
            await _until(other, url, phone, "session_revoked", 2)


async def test_second_service_while_coatcheck_is_gone(tmp_path: Path) -> None:
    """Coatcheck ends and another process takes its place: the second service refuses meanwhile, then goes on, and knows
    what has ended before, in between and after."""
    port, folder = free_port(), tmp_path / "data"
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        live = first.enter_context(_at(port, tmp_path / "log", folder))
        url = stack.enter_context(second_service(live, tmp_path / "second", MAX_STALENESS="1"))
        async with _people(live) as (http, laptop), httpx2.AsyncClient(timeout=30) as other:
            gone = await NativeClient(http).login("ada@example.test")
            await laptop.call("DELETE", f"/v1/sessions/{gone.session_id}")
            await _until(other, url, gone, "session_revoked", 1)
            os.kill(live.process.pid, signal.SIGKILL)
            await _until(other, url, laptop, "unavailable", 5)
            first.close()
            live = stack.enter_context(_at(port, tmp_path / "log", folder))
            await _until(other, url, laptop, "ok", 10)
            assert await _asks(other, url, gone) == "session_revoked"
            phone = await NativeClient(http).login("ada@example.test")
            await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
            await _until(other, url, phone, "session_revoked", 1)


@contextmanager
def _at(port: int, log: Path, folder: Path) -> Iterator[Live]:
    with serving(log, port=port, data_dir=folder, limit_login="off") as live:
        yield live


async def test_second_service_without_asyncio(live: Live) -> None:
    """Plain threaded code is served as well: a remote logout bites within a second there too."""

    def says(check: Callable[[str], Any], text: str) -> str:
        try:
            check(text)
        except Refused as refused:
            return refused.code
        return "ok"

    async with _people(live) as (http, laptop):
        with Verifier(issuer=live.origin, audience=live.origin) as verifier:
            phone = await NativeClient(http).login("ada@example.test")
            assert verifier.check(phone.access_token).session_id == phone.session_id
            await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")

            async def refused() -> bool:
                return await asyncio.to_thread(says, verifier.check, phone.access_token) == "session_revoked"

            await until(refused, 1, pause=0.001)
            assert verifier.check(laptop.access_token).session_id == laptop.session_id
