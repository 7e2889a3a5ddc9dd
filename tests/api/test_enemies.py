"""What a hostile reader of the code broke once: each of these failed before its defence was there."""

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

from coatcheck import callers, ids
from coatcheck.errors import SessionRevoked
from coatcheck.redis_client import RedisClient
from coatcheck.routes.events import events
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, House, NativeClient, hashing_held_up
from tests.servers import postgres
from tests.waiting import until

LIVING = "SELECT id FROM session WHERE ended_at IS NULL"
PATIENCE = 5.0  # seconds


async def test_logout_all_from_two_devices_at_once_is_no_deadlock(house: House) -> None:
    """Two devices that sign everything out at the same moment both get their answer, and nothing is left."""
    await house.register()
    for _ in range(5):
        phones = [await house.native() for _ in range(4)]
        answers = await asyncio.gather(*(phone.call("POST", "/v1/devices/logout-all") for phone in phones))
        assert {answer.status_code for answer in answers} <= {200, 401}
        assert await house.rows(LIVING) == []


async def _many_sessions(house: House, number: int, new_id: str) -> None:
    """So many more devices of the only account, each with a living session; a few at a time: statements are timed."""
    first = (await house.rows("SELECT * FROM session"))[0]
    kept = [name for name in first if name not in ("id", "device_id")]
    told = ", ".join(f"session.{name}" for name in kept)
    slice_ = 1_500
    for start in range(0, number, slice_):
        await house.rows(
            "INSERT INTO device (id, account_id, secret_hash, name, named_by_person, created_at)"
            f" WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {slice_})"
            f" SELECT {new_id}, account_id, {new_id}, '{start}', named_by_person, created_at"
            " FROM device, n WHERE id = $1",
            first["device_id"],
        )
        await house.rows(
            f"INSERT INTO session (id, device_id, {', '.join(kept)}) SELECT {new_id}, device.id, {told}"
            f" FROM device, session WHERE session.id = $1 AND device.name = '{start}'",
            first["id"],
        )


async def test_logout_all_of_very_many_sessions_ends_them_all(open_house: OpenHouse, stores: Stores) -> None:
    """However many sessions an account has, one call ends them: a thief can't fill the list to stay in."""
    # More than the 32,767 parameters that one PostgreSQL statement takes.
    many, new_id = (
        (33_000, "decode(md5(random()::text), 'hex')") if "database_url" in stores else (3_000, "randomblob(16)")
    )
    async with open_house() as house:
        await house.register()
        phone = await house.native()
        await _many_sessions(house, many, new_id)
        assert len((await phone.get("/v1/devices")).json()["devices"]) <= 500
        assert (await phone.call("POST", "/v1/devices/logout-others")).json() == {"ended": many}
        assert len(await house.rows(LIVING)) == 1


async def test_logout_without_the_database_is_no_yes(clock: Any) -> None:
    """No logout says 204 while the session lives on: without the database it is 503, and the cookie stays."""
    from tests.house import SECRET, opened

    with postgres() as server:
        from coatcheck import migrate, settings

        await migrate.upgrade(settings.load({}, database_url=server.url, secret_key=[SECRET]))
        async with opened(clock, database_url=server.url) as house:
            await house.register()
            web, app, phone = await house.web(), await house.spa(), await house.native()
            house.desk.verified_tokens.clear()
            house.desk.verified_cookies.clear()
            server.stop()
            answers = [
                await web.call("POST", "/v1/web/logout"),
                await app.post("/v1/spa/logout"),
                await phone.http.post("/oauth/revoke", data={"token": phone.refresh_token}),
                await phone.call("DELETE", "/v1/sessions/current"),
            ]
            assert [answer.status_code for answer in answers] == [503] * 4
            assert all("set-cookie" not in answer.headers for answer in answers)
            server.restart()


async def test_web_logout_ends_the_cookies_session_whatever_stands_beside_it(house: House) -> None:
    """A junk or foreign Authorization header beside the cookie does not keep its session alive behind a 204."""
    await house.register()
    for beside in ("Bearer junk", f"Bearer {(await house.native()).access_token}"):
        web = await house.web()
        copy = web.cookie
        answer = await web.call("POST", "/v1/web/logout", headers={"Authorization": beside})
        assert answer.status_code == 204
        stolen = house.http(headers={"Cookie": f"__Host-coatcheck-session={copy}"})
        assert (await stolen.get("/v1/web/session")).json()["code"] == "session_revoked"


async def test_spa_logout_with_a_junk_cookie_still_ends_the_access_tokens_session(house: House) -> None:
    """Both credentials of a logout count: a junk cookie does not shield the access token."""
    await house.register()
    app = await house.spa()
    headers = app.OWN_PAGE | {"Cookie": "__Host-coatcheck-refresh=junk", "Authorization": f"Bearer {app.access_token}"}
    assert (await house.http().post("/v1/spa/logout", headers=headers)).status_code == 204
    assert (await app.get("/v1/me")).json()["code"] == "session_revoked"


async def test_clock_set_back_never_revives_an_ended_session(house: House) -> None:
    """A worker whose clock steps back an hour refuses an ended session for as long as its access token seems valid."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    house.clock.move(-3_600)
    assert (await phone.get("/v1/me")).status_code == 200
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    for _ in range(6):
        assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
        house.clock.move(500)
        await house.desk.feed._sweep()


async def test_feed_survives_an_unreadable_entry(two_workers: tuple[House, House], servers: Stores) -> None:
    """An entry of another release in the stream is passed over, and endings go on arriving."""
    first, second = two_workers
    await first.register()
    phone, laptop = await first.native(), await first.native()
    async with Redis.from_url(servers["redis_url"]) as client:
        await client.xadd("coatcheck:feed", {"event": json.dumps({"kind": "from the future"})})
        await client.xadd("coatcheck:feed", {"other": "1"})
    there = NativeClient(second.http(), phone.access_token)
    assert (await there.get("/v1/me")).status_code == 200
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")

    async def refused() -> bool:
        return (await there.get("/v1/me")).status_code == 401

    async def follows_again() -> bool:  # a busy machine may have cut it off for a moment
        return second.desk.feed.is_fresh()

    await until(refused)
    await until(follows_again)


async def test_feed_sends_later_what_could_not_be_sent(
    two_workers: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ending that could not be appended goes out as soon as Redis is heard of again."""
    first, second = two_workers
    await first.register()
    phone, laptop = await first.native(), await first.native()
    append, calls = RedisClient.append, 0

    async def failing_once(self: RedisClient, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            from coatcheck.redis_down import RedisDown

            raise RedisDown
        await append(self, *args)

    monkeypatch.setattr(RedisClient, "append", failing_once)
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    session_id = ids.raw("ses", phone.session_id)
    assert session_id

    async def heard() -> bool:
        return second.desk.feed.ended(session_id) is not None

    await until(heard)
    assert calls == 2


async def test_password_change_of_an_ended_session_changes_nothing(house: House) -> None:
    """A thief whose session is ended while his password change waits does not take the account over."""
    await house.register()
    thief, owner = await house.native(), await house.native()
    body = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
    with hashing_held_up(house):
        waiting = asyncio.create_task(thief.call("POST", "/v1/me/password", json=body))
        await asyncio.sleep(0)
        await owner.call("DELETE", f"/v1/sessions/{thief.session_id}")
    assert (await waiting).json()["code"] == "session_revoked"
    assert (await owner.get("/v1/me")).status_code == 200
    assert await house.audit("password.changed") == []


async def test_closed_account_keeps_no_name(house: House) -> None:
    """A rename that races the closing of the account leaves no personal data behind."""
    for number in range(8):
        email = f"p{number}@example.test"
        await house.register(email, name="Ada")
        phone = await house.native(email)
        rename = phone.call("PATCH", "/v1/me", json={"name": "Ada Lovelace"})
        await asyncio.gather(rename, phone.call("DELETE", "/v1/me"))
    assert await house.rows("SELECT id FROM account WHERE name IS NOT NULL OR disabled_at IS NULL") == []


async def test_closed_account_leaves_no_trace_of_its_devices(house: House) -> None:
    """Closing an account removes names and secrets of its devices, and where its sessions came from."""
    await house.register(name="Ada")
    phone, browser = await house.native(name="Ada's phone"), await house.spa()
    assert (await browser.call("DELETE", "/v1/me")).status_code == 204
    devices = await house.rows("SELECT name, platform FROM device")
    assert [(one["name"], one["platform"]) for one in devices] == [("", None)] * 2
    sessions = await house.rows("SELECT ip, user_agent, end_reason FROM session")
    assert [tuple(one.values()) for one in sessions] == [("", "", "account_closed")] * 2
    assert (await phone.refresh()).json()["code"] == "session_revoked"


async def test_login_limit_of_one_address_leaves_hashing_to_others(open_house: OpenHouse) -> None:
    """Ninety guesses at once from one blocked address do not make an honest sign-in elsewhere wait or fail."""
    async with open_house(hash_queue=8) as house:
        await house.register()
        guess = {"email": "ada@example.test", "password": "wrong wrong wrong wrong"}
        enemy = house.http(ip="198.51.100.9")
        guesses = [asyncio.create_task(enemy.post("/v1/native/login", json=guess)) for _ in range(90)]
        await asyncio.sleep(0)
        await house.native()
        assert {(await one).status_code for one in guesses} <= {401, 429}


async def test_login_limit_is_not_loosened_by_a_sign_in_across_windows(house: House) -> None:
    """An honest sign-in that ends in the next window gives nobody a further guess there."""
    await house.register()
    async with house.desk.throttle.login("203.0.113.7", "ada@example.test"):
        house.clock.move(300 - house.clock.now() // 1000 % 300)  # to the beginning of the next window
    guess = {"email": "ada@example.test", "password": "wrong wrong wrong wrong"}
    answers = [(await house.http().post("/v1/native/login", json=guess)).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]


async def test_events_of_a_session_ended_meanwhile_are_never_begun(house: House) -> None:
    """A stream asked for just before its session ended is refused, instead of telling a stranger what follows."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    caller = await callers.by_access_token(house.desk, phone.access_token, "203.0.113.7")
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    with pytest.raises(SessionRevoked):
        await events(caller, house.desk)
    assert house.desk.feed.events.open == 0
