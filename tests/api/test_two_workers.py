"""Two real worker processes on one PostgreSQL and one Redis: one truth, seen at once by both."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest

from coatcheck import revocation, sessions
from tests.conftest import Stores
from tests.house import PASSWORD, House, MovableClock, NativeClient, SpaClient, WebClient, opened
from tests.live import Live, serving
from tests.waiting import until


@pytest.fixture
def live(servers: Stores, tmp_path: Path) -> Iterator[Live]:
    """`coatcheck serve --workers 2`."""
    with serving(tmp_path / "log", workers=2, limit_refresh="off", **servers) as running:
        yield running


@asynccontextmanager
async def _calling(live: Live) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that opens a connection a request, so that both workers answer."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=live.url, limits=limits, timeout=30) as http:
        yield http


async def _phone(http: httpx2.AsyncClient, register: bool = True) -> NativeClient:
    if register:
        await http.post("/v1/accounts", json={"email": "ada@example.test", "password": PASSWORD})
    return await NativeClient(http).login("ada@example.test")


async def test_two_workers_parallel_refreshes_get_one_answer(live: Live) -> None:
    """Twenty parallel refreshes over two processes: twenty identical answers, one rotation, and the answer works."""
    async with _calling(live) as http:
        phone = await _phone(http)
        for generation in range(1, 4):
            answers = await asyncio.gather(*(phone.refresh(phone.refresh_token) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["refresh_token"] for answer in answers}) == 1
            phone.refresh_token = answers[0].json()["refresh_token"]
            phone.access_token = answers[-1].json()["access_token"]
            told = (await phone.get("/v1/sessions/current")).json()
            assert told["session_id"] == phone.session_id, generation


@pytest.fixture
def live_pair(servers: Stores, tmp_path: Path) -> Iterator[tuple[Live, Live]]:
    """Two processes on one PostgreSQL and one Redis, each at a port of its own, so that a test knows whom it asks."""
    shared = servers | {"public_url": "https://coatcheck.test"}
    with serving(tmp_path / "one", **shared) as one, serving(tmp_path / "two", **shared) as two:
        yield one, two


async def _refused(phone: NativeClient) -> bool:
    return (await phone.get("/v1/me")).status_code == 401


async def test_two_workers_remote_logout_bites_on_both(live_pair: tuple[Live, Live]) -> None:
    """With warm caches in both processes, each of five remote logouts is obeyed by the other one within a second."""
    async with _calling(live_pair[0]) as here, _calling(live_pair[1]) as there:
        laptop = await _phone(here)
        for _ in range(5):  # the sweep alone, every two seconds, would be in time for few of them
            phone = await _phone(there, register=False)
            assert (await phone.get("/v1/me")).status_code == 200
            assert (await NativeClient(here, phone.access_token).get("/v1/me")).status_code == 200
            assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
            assert await _refused(NativeClient(here, phone.access_token))
            await until(partial(_refused, phone), 1.0)
            assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
            assert (await phone.refresh()).json()["code"] == "session_revoked"
            assert (await NativeClient(there, laptop.access_token).get("/v1/me")).status_code == 200


async def _at(worker: House, phone: NativeClient) -> str:
    """What a worker says to the phone's access token: "ok" or a code."""
    headers = {"Authorization": f"Bearer {phone.access_token}"}
    answer = await worker.http().get("/v1/me", headers=headers)
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


async def _fresh(workers: tuple[House, House]) -> None:
    """Both follow the feed and believe it: from now on nobody reads the session's row."""

    async def so() -> bool:
        return all(worker.desk.feed.is_fresh() for worker in workers)

    await until(so, 5)


async def _page_at(worker: House, page: WebClient) -> str:
    answer = await worker.http(cookies=page.http.cookies).get("/v1/me")
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


async def test_two_workers_every_credential_is_refused_on_both(two_workers: tuple[House, House]) -> None:
    """Access token, refresh token and web cookie of ended sessions are refused by both workers; others go on."""
    first, second = two_workers
    await first.register()
    phone, page, laptop = await first.native(), await first.web(), await second.native()
    await _fresh(two_workers)
    for worker in two_workers:
        assert await _at(worker, phone) == await _page_at(worker, page) == "ok"
    assert (await laptop.call("POST", "/v1/devices/logout-others")).json() == {"ended": 2}

    async def both_refused() -> bool:
        said = [await _at(worker, phone) for worker in two_workers]
        said += [await _page_at(worker, page) for worker in two_workers]
        return set(said) == {"session_revoked"}

    await until(both_refused, 1.0)
    for worker in two_workers:
        phone.http = worker.http()
        assert (await phone.refresh()).json()["code"] == "session_revoked"
        assert await _at(worker, laptop) == "ok"


async def test_two_workers_sweep_finds_what_was_never_published(two_workers: tuple[House, House]) -> None:
    """An ending that was committed and never told, its worker having died, bites within three seconds on both."""
    first, _ = two_workers
    await first.register()
    phone, page = await first.native(), await first.web()
    await _fresh(two_workers)
    for worker in two_workers:
        assert await _at(worker, phone) == await _page_at(worker, page) == "ok"
    await first.rows(
        "UPDATE session SET ended_at = $1, end_reason = 'signed_out_elsewhere' RETURNING id", first.clock.now()
    )

    async def both_refused() -> bool:
        said = [await _at(worker, phone) for worker in two_workers]
        return {*said, *[await _page_at(worker, page) for worker in two_workers]} == {"session_revoked"}

    await until(both_refused, 3.0)


async def test_two_workers_a_late_one_knows_earlier_endings(
    two_workers: tuple[House, House], servers: Stores, clock: MovableClock
) -> None:
    """A worker that starts after an ending refuses the session's access token and cookie from its first answer on."""
    first, _ = two_workers
    await first.register()
    phone, page, laptop = await first.native(), await first.web(), await first.native()
    await laptop.call("POST", "/v1/devices/logout-others")
    clock.move(500)
    async with opened(clock, **servers) as late:
        assert await _at(late, phone) == await _page_at(late, page) == "session_revoked"
        assert await _at(late, laptop) == "ok"


async def test_two_workers_acknowledge_for_each_other(two_workers: tuple[House, House]) -> None:
    """A successor used at one worker makes the old token reuse at the other, after the race window."""
    first, second = two_workers
    await first.register()
    phone = await first.native()
    stolen = phone.refresh_token
    await phone.refresh()
    assert await _at(second, phone) == "ok"

    async def written() -> bool:
        return bool(await first.rows("SELECT 1 AS one FROM session WHERE acknowledged_at IS NOT NULL"))

    await until(written, 5)
    first.clock.move(61)
    answer = await phone.refresh(stolen)
    while answer.status_code == 503:  # a machine too busy to ask the database in time; never a yes
        await asyncio.sleep(float(answer.headers["Retry-After"]))
        answer = await phone.refresh(stolen)
    assert (answer.status_code, answer.json()["code"]) == (400, "token_reused")


async def test_two_workers_events_reach_the_other_worker(live: Live) -> None:
    """The event stream tells of sessions begun and ended, wherever that was, and closes with `signed_out`."""
    async with _calling(live) as http:
        phone, laptop = await _phone(http), await _phone(http, register=False)
        begun: asyncio.Queue[None] = asyncio.Queue()
        streams = [asyncio.create_task(_events(live, phone, begun)) for _ in range(6)]  # on both, most likely
        for _ in streams:
            await asyncio.wait_for(begun.get(), 30)
        other = await _phone(http, register=False)
        await laptop.call("DELETE", f"/v1/sessions/{other.session_id}")
        await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        for told in await asyncio.wait_for(asyncio.gather(*streams), 30):
            assert told == ["session.started", "session.ended", "session.ended", "signed_out"]


async def _events(live: Live, client: NativeClient, begun: asyncio.Queue[None]) -> list[str]:
    """The names of the events of one stream, until it is closed."""
    headers = {"Authorization": f"Bearer {client.access_token}"}
    async with (
        httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30) as http,
        http.stream("GET", "/v1/events") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        begun.put_nowait(None)
        return [line.removeprefix("event: ") async for line in lines if line.startswith("event: ")]


@pytest.mark.parametrize("door", ["native", "spa", "web"])
async def test_two_workers_logout_asked_again_means_it(
    servers: Stores, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """The worker that ended the session died before it told anybody: asked again, another one tells the rest, at each
    door, and nobody has to wait for a sweep."""
    monkeypatch.setattr(revocation, "SWEEP_EVERY", 3_600.0)
    async with opened(clock, **servers) as here, opened(clock, **servers) as there:
        await until(there.desk.feed.is_fresh)  # it has swept for the last time
        await here.register()
        client: NativeClient | SpaClient | WebClient = await getattr(there, door)()
        assert (await client.get("/v1/sessions/current")).status_code == 200
        async with here.desk.db.writing() as db:
            await sessions.end(db, here.desk, True, "signed_out", None)
            await db.commit()
        http = here.http(cookies=client.http.cookies)
        if isinstance(client, NativeClient):
            answer = await http.post("/oauth/revoke", data={"token": client.refresh_token})
        elif isinstance(client, SpaClient):
            answer = await replace(client, http=http).post("/v1/spa/logout")
        else:
            answer = await replace(client, http=http).call("POST", "/v1/web/logout")
        assert answer.status_code in (200, 204), answer.text

        async def is_refused() -> bool:
            return (await client.get("/v1/sessions/current")).status_code == 401

        await until(is_refused)
