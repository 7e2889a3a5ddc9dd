"""Redis as a cluster, under sentinels, behind TLS or a Unix socket: the feed and the limits work as with one server."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from coatcheck import revocation
from coatcheck.redis_client import RedisClient
from coatcheck.redis_down import RedisDown
from tests.conftest import Stores
from tests.house import House, MovableClock, NativeClient, opened
from tests.redis_kinds import Kind, cluster, sentinel, tls_in_front
from tests.servers import Server, redis
from tests.waiting import until

FEED = "coatcheck:feed"


async def _fresh(workers: tuple[House, House]) -> None:
    async def so() -> bool:
        return all(worker.desk.feed.is_fresh() for worker in workers)

    await until(so, 20)


async def _at(worker: House, phone: NativeClient) -> str:
    """What a worker says to the phone's access token: "ok" or a code."""
    headers = {"Authorization": f"Bearer {phone.access_token}"}
    answer = await worker.http().get("/v1/sessions/current", headers=headers)
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


@pytest_asyncio.fixture(params=["cluster", "sentinel", "unix", "tls"])
async def redis_url(request: pytest.FixtureRequest, tmp_path: Path, redis_server: Server) -> AsyncIterator[str]:
    """Each kind of REDIS_URL but the usual one."""
    match request.param:
        case "cluster":
            with cluster(FEED) as kind:
                yield kind.url
        case "sentinel":
            with sentinel() as kind:
                yield kind.url
        case "unix":
            path = tmp_path / "redis.sock"
            with redis("--unixsocket", str(path)):
                yield f"unix://{path}"
        case _:
            async with tls_in_front(redis_server, tmp_path) as url:
                yield f"{url}?ssl_ca_certs={tmp_path / 'redis.pem'}"


async def test_redis_kinds_remote_logout_and_limits_reach_the_other_worker(
    redis_url: str, servers: Stores, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over Redis alone, without a sweep, an ending at one worker bites at the other; wrong passwords at both are
    counted together."""
    monkeypatch.setattr(revocation, "SWEEP_EVERY", 600)
    stores = servers | {"redis_url": redis_url, "limit_login": "4/minute"}
    async with opened(clock, **stores) as first, opened(clock, **stores) as second:
        workers = (first, second)
        await _fresh(workers)
        await first.register()
        phone, laptop = await second.native(), await first.native()
        assert [await _at(worker, phone) for worker in workers] == ["ok", "ok"]
        assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204

        async def refused() -> bool:
            return await _at(second, phone) == "session_revoked"

        await until(refused, 5)
        assert [await _at(worker, laptop) for worker in workers] == ["ok", "ok"]

        wrong = {"email": "ada@example.test", "password": "not the password at all"}
        said = [(await workers[i % 2].http().post("/v1/native/login", json=wrong)).status_code for i in range(5)]
        assert said == [401, 401, 401, 401, 429]


async def test_redis_kinds_tls_checks_the_certificate(redis_server: Server, tmp_path: Path) -> None:
    """A server whose certificate nobody we trust has signed is not talked to."""
    async with tls_in_front(redis_server, tmp_path) as url:
        client = RedisClient(url)
        try:
            with pytest.raises(RedisDown):
                await client.ping()
        finally:
            await client.close()


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/m"])
async def test_redis_kinds_of_which_no_server_is_left_are_redis_down(
    url: str, servers: Stores, clock: MovableClock
) -> None:
    """Redis is speed alone: people register, sign in and are signed out while no server of the kind answers."""
    async with opened(clock, **(servers | {"redis_url": url})) as house:
        await house.register()
        phone, laptop = await house.native(), await house.native()
        assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
        assert await _at(house, phone) == "session_revoked"
        assert (await house.http().get("/readyz")).json()["status"] == "degraded"


@pytest.fixture(params=[cluster, sentinel])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Several servers, of which one may die."""
    with request.param(*([FEED] if request.param is cluster else [])) as servers_behind:
        yield servers_behind


async def test_redis_kinds_survive_the_death_of_the_master(
    kind: Kind, servers: Stores, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed's master is killed: every request meanwhile is answered as ever, an ending during the fail-over bites,
    and afterwards the feed goes on from the replica, with nobody revived and nobody signed out."""
    stores = servers | {"redis_url": kind.url, "limit_refresh": "off"}
    async with AsyncExitStack() as stack:
        workers = (
            await stack.enter_async_context(opened(clock, **stores)),
            await stack.enter_async_context(opened(clock, **stores)),
        )
        await _fresh(workers)
        await workers[0].register()
        dead, dying, later, laptop = [await workers[i % 2].native() for i in range(4)]
        await laptop.call("DELETE", f"/v1/sessions/{dead.session_id}")

        kind.holder(FEED).kill()
        assert (await laptop.call("DELETE", f"/v1/sessions/{dying.session_id}")).status_code == 204

        async def both_refuse_dying() -> bool:
            assert await _everything_works(workers, laptop, later, dead)
            return {await _at(worker, dying) for worker in workers} == {"session_revoked"}

        await until(both_refuse_dying, 5)

        async def over() -> bool:
            await _everything_works(workers, laptop, later, dead, dying)
            return all(worker.desk.feed.is_fresh() for worker in workers)

        await until(over, 20)
        for worker in workers:  # heard from the replica, not swept
            monkeypatch.setattr(worker.desk.feed, "_sweep", asyncio.Event().wait)
        assert (await laptop.call("DELETE", f"/v1/sessions/{later.session_id}")).status_code == 204

        async def both_refuse_later() -> bool:
            return {await _at(worker, later) for worker in workers} == {"session_revoked"}

        await until(both_refuse_later, 5)
        await _everything_works(workers, laptop, laptop, dead, dying, later)
        ended = await workers[0].rows("SELECT id FROM session WHERE ended_at IS NOT NULL")
        assert len(ended) == 3


async def test_redis_kinds_news_of_a_successor_whose_clock_is_behind_is_heard(
    servers: Stores, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fail-over to a server whose clock is half a minute behind, endings are heard although their ids are
    lower than those read before."""
    with redis() as cache:
        stores = servers | {"redis_url": cache.url}
        async with opened(clock, **stores) as first, opened(clock, **stores) as second:
            workers = (first, second)
            await first.register()
            phone, laptop = await second.native(), await first.native()
            async with Redis.from_url(cache.url) as client:
                await client.xadd(FEED, {"of": "another release"}, id=f"{time.time_ns() // 1_000_000 + 30_000}-0")

            async def ahead() -> bool:
                return all(int(worker.desk.feed._position.partition("-")[0]) > time.time() * 1000 for worker in workers)

            await until(ahead, 10)
            cache.restart()  # empty, and by the true time
            await _fresh(workers)
            for worker in workers:
                monkeypatch.setattr(worker.desk.feed, "_sweep", asyncio.Event().wait)
            assert await _at(second, phone) == "ok"
            await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")

            async def refused() -> bool:
                return await _at(second, phone) == "session_revoked"

            await until(refused, 5)


async def _everything_works(
    workers: tuple[House, House], one: NativeClient, other: NativeClient, *ended: NativeClient
) -> bool:
    """The living are let in and refreshed at both workers, the ended ones are not."""
    for worker in workers:
        for living in (one, other):
            assert await _at(worker, living) == "ok"
            living.http = worker.http()
            assert (await living.refresh()).status_code == 200
        for gone in ended:
            assert await _at(worker, gone) == "session_revoked"
            gone.http = worker.http()
            assert (await gone.refresh()).json()["code"] == "session_revoked"
    return True
