"""Remote logout bites at once, with Redis, without it, and after it; without the database nobody gets a wrong yes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from coatcheck import ids, migrate, settings
from tests.conftest import OpenHouse, Stores
from tests.house import SECRET, House, MovableClock, NativeClient, opened
from tests.servers import Server, postgres, redis
from tests.waiting import until


async def _ready(house: House, status: str) -> None:
    async def so() -> bool:
        answer = await house.http().get("/readyz")
        assert answer.status_code == (503 if answer.json()["status"] == "unavailable" else 200)
        return answer.json()["status"] == status  # type: ignore[no-any-return]

    await until(so, 5)


async def _in_time(call: Awaitable[httpx2.Response], status: int) -> httpx2.Response:
    """The answer, which has this status and took less than two seconds."""
    asking = asyncio.ensure_future(call)
    await until(asking.done, 2, pause=0.005)
    answer = asking.result()
    assert answer.status_code == status, answer.text
    return answer


async def _code(client: NativeClient) -> str:
    answer = await client.get("/v1/me")
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


# -- one worker, every kind of store ------------------------------------------------------------------------------


async def test_revocation_bites_at_the_next_request(house: House) -> None:
    """The request right after a remote logout is refused, access token, refresh token, web and spa cookie alike."""
    await house.register()
    phone, page, browser, laptop = await house.native(), await house.web(), await house.spa(), await house.native()
    for client in (phone, page, browser):
        assert (await client.get("/v1/me")).status_code == 200
        assert (await laptop.call("DELETE", f"/v1/sessions/{client.session_id}")).status_code == 204
        answer = await client.get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
        assert "WWW-Authenticate" in answer.headers
    assert (await phone.refresh()).json()["code"] == (await browser.refresh()).json()["code"] == "session_revoked"
    assert {row["end_reason"] for row in await house.rows("SELECT end_reason FROM session WHERE ended_at > 0")} == {
        "signed_out_elsewhere"
    }
    assert await _code(laptop) == "ok"


async def test_revocation_outlasts_the_access_token(house: House) -> None:
    """An ended session's access token is refused for as long as it could live, and its cookie ever after."""
    await house.register()
    phone, page, laptop = await house.native(), await house.web(), await house.native()
    await phone.get("/v1/me")
    await page.get("/v1/me")
    await laptop.call("POST", "/v1/devices/logout-others")
    for seconds in (300, 299, 5, 1, 600, 2_000, 3_000):
        house.clock.move(seconds)
        await house.desk.feed._sweep()
        assert await _code(phone) in ("session_revoked", "token_expired")
        assert (await page.get("/v1/me")).json()["code"] == "session_revoked"


async def test_revocation_outlasts_a_token_of_a_clock_that_was_set_back(house: House) -> None:
    """A token that lives longer than endings are remembered, because the clock was set back, is refused to its end."""
    await house.register()
    phone, laptop, other = await house.native(), await house.native(), await house.native()
    house.clock.move(-3_600)
    for client in (phone, other):
        assert await _code(client) == "ok"
    assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
    for seconds in (300, 400, 1_000, 1_000):
        house.clock.move(seconds)
        await house.desk.feed._sweep()
        assert await _code(phone) == "session_revoked"
        assert await _code(other) == "ok"


async def test_revocation_of_a_session_whose_row_is_gone_is_seen_without_the_feed(
    servers: Stores, clock: MovableClock, patient: None
) -> None:
    """Where the feed is not fresh, a session that the database does not have any more is refused, not believed."""
    async with opened(clock, **servers) as house:
        await house.register()
        phone, page, laptop = await house.native(), await house.web(), await house.native()
        await until(house.desk.feed.is_fresh)
        for client in (phone, page, laptop):
            assert (await client.get("/v1/me")).status_code == 200
        await house.desk.feed.stop()
        house.desk.feed._heard = float("-inf")
        for client in (phone, page):
            await house.rows("DELETE FROM session WHERE id = $1 RETURNING id", ids.raw("ses", client.session_id))
            assert (await client.get("/v1/sessions/current")).json()["code"] == "session_revoked"
        assert (await laptop.get("/v1/sessions/current")).status_code == 200


async def test_revocation_by_another_process_is_found(house: House) -> None:
    """An ending that only the database knows, a command line's say, bites within three seconds."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    assert await _code(phone) == await _code(laptop) == "ok"
    sql = "UPDATE session SET ended_at = $1, end_reason = 'admin' WHERE id = $2 RETURNING id"
    await house.rows(sql, house.clock.now(), ids.raw("ses", phone.session_id))

    async def refused() -> bool:
        return await _code(phone) == "session_revoked"

    await until(refused, 3)
    assert await _code(laptop) == "ok"


async def test_revocation_is_known_after_a_restart(open_house: OpenHouse) -> None:
    """A server that starts anew refuses ended sessions from its first answer on, and lets the living go on."""
    async with open_house() as house:
        await house.register()
        phone, page, laptop = await house.native(), await house.web(), await house.native()
        await laptop.call("POST", "/v1/devices/logout-others")
    async with open_house() as house:
        for client in (phone, laptop):
            client.http = house.http()
        page.http = house.http(cookies=page.http.cookies)
        assert await _code(phone) == "session_revoked"
        assert (await page.get("/v1/me")).json()["code"] == "session_revoked"
        assert await _code(laptop) == "ok"
        assert (await laptop.refresh()).status_code == 200


# -- Redis in trouble ----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def shaky(servers: Stores, clock: MovableClock) -> AsyncIterator[tuple[Server, House, House]]:
    """Two workers and a Redis of their own, to be hurt."""
    with redis() as cache:
        stores = servers | {"redis_url": cache.url}
        async with opened(clock, **stores) as first, opened(clock, **stores) as second:
            await _ready(first, "ok")
            await _ready(second, "ok")
            yield cache, first, second


@pytest.mark.parametrize("trouble", ["stop", "kill", "pause"])
async def test_revocation_works_while_redis_does_not(shaky: tuple[Server, House, House], trouble: str) -> None:
    """Without Redis all goes on within two seconds a call, an ending bites on both workers and lasts, nobody else
    is signed out, and `readyz` says degraded meanwhile."""
    cache, first, second = shaky
    await first.register()
    phone, laptop, browser, page = (
        await first.native(),
        await second.native(),
        await first.spa(),
        await second.web(),
    )
    await phone.get("/v1/me")
    getattr(cache, trouble)()
    await _ready(first, "degraded")
    await _ready(second, "degraded")

    fresh = NativeClient(second.http())
    login = {"email": "ada@example.test", "password": "three wise monkeys dancing"}
    granted = (await _in_time(fresh.http.post("/v1/native/login", json=login), 200)).json()
    fresh.access_token, fresh.refresh_token = granted["access_token"], granted["refresh_token"]
    for client in (laptop, browser):
        await _in_time(client.refresh(), 200)
    for reader in (laptop, browser, page, fresh):
        await _in_time(reader.get("/v1/me"), 200)
        await _in_time(reader.get("/v1/devices"), 200)
    await _in_time(laptop.call("DELETE", f"/v1/sessions/{phone.session_id}"), 204)
    for worker in (first, second):
        phone.http = worker.http()
        assert (await _in_time(phone.get("/v1/me"), 401)).json()["code"] == "session_revoked"

    cache.restart()  # empty
    await _ready(first, "ok")
    await _ready(second, "ok")
    for worker in (first, second):
        phone.http = worker.http()
        assert await _code(phone) == "session_revoked"
        assert (await phone.refresh()).json()["code"] == "session_revoked"
    for living in (laptop, browser, page, fresh):
        assert (await living.get("/v1/me")).status_code == 200
    assert len(await first.rows("SELECT id FROM session WHERE ended_at IS NOT NULL")) == 1


async def test_revocation_survives_a_wiped_redis(two_workers: tuple[House, House], servers: Stores) -> None:
    """FLUSHALL ends no session, brings none back, and the feed goes on working."""
    first, second = two_workers
    await first.register()
    dead, phone, laptop = await first.native(), await second.native(), await first.native()
    await laptop.call("DELETE", f"/v1/sessions/{dead.session_id}")
    async with Redis.from_url(servers["redis_url"]) as client:
        await client.flushall()
    for worker in (first, second):
        dead.http = phone.http = worker.http()
        assert await _code(dead) == "session_revoked"
        assert await _code(phone) == "ok"
    assert (await phone.refresh()).status_code == 200
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    phone.http = second.http()

    async def refused() -> bool:
        return await _code(phone) == "session_revoked"

    await until(refused, 1)


# -- the database gone ---------------------------------------------------------------------------------------------


async def test_revocation_without_database_answers_503(redis_server: Server, clock: MovableClock) -> None:
    """Without the database every answer that needs it is 503 with Retry-After, quickly; afterwards all goes on."""
    with postgres() as database:
        stores = {"database_url": database.url, "redis_url": redis_server.url}
        await migrate.upgrade(settings.load({}, secret_key=[SECRET], database_url=database.url))
        async with opened(clock, **stores) as house:
            await house.register()
            phone, browser = await house.native(), await house.spa()
            await _ready(house, "ok")
            database.kill()
            calls: list[Callable[[], Awaitable[httpx2.Response]]] = [
                phone.refresh,
                browser.refresh,
                lambda: phone.get("/v1/me"),
                lambda: phone.get("/v1/devices"),
                lambda: phone.call("DELETE", "/v1/sessions/current"),
                lambda: house.http().post("/v1/native/login", json={"email": "a@example.test", "password": "x" * 20}),
                lambda: house.http().post(
                    "/v1/accounts", json={"email": "b@example.test", "password": "h3 jqk v8 ts mn"}
                ),
                lambda: house.http().post("/oauth/revoke", data={"token": phone.refresh_token}),
            ]
            for call in calls:
                answer = await call()
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.request.url
                assert int(answer.headers["Retry-After"]) >= 1
                assert "set-cookie" not in answer.headers
            await _ready(house, "unavailable")
            database.restart()
            await _ready(house, "ok")
            assert (await phone.refresh()).status_code == (await browser.refresh()).status_code == 200
            assert await _code(phone) == "ok"
            assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []


async def test_revocation_without_redis_and_database_is_never_a_yes(clock: MovableClock) -> None:
    """A worker that can ask neither Redis nor the database refuses to say that a session lives: 503."""
    with postgres() as database, redis() as cache:
        await migrate.upgrade(settings.load({}, secret_key=[SECRET], database_url=database.url))
        async with opened(clock, database_url=database.url, redis_url=cache.url) as house:
            await house.register()
            phone = await house.native()
            assert (await phone.get("/v1/sessions/current")).status_code == 200
            database.kill()
            cache.kill()

            async def said_unavailable() -> bool:
                return (await phone.get("/v1/sessions/current")).status_code == 503

            await until(said_unavailable, 3)
            for _ in range(5):
                answer = await phone.get("/v1/sessions/current")
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
