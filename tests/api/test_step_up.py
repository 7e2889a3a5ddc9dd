"""Step-up: what can't be undone wants a fresh proof, and the proof renews the credential."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx2
import jwt
import pytest

from coatcheck import ids, step_up
from coatcheck.revocation import Event
from tests.factors import App
from tests.house import PASSWORD, URL, House, NativeClient, SpaClient, WebClient
from tests.waiting import until

Client = NativeClient | SpaClient | WebClient
doors = pytest.mark.parametrize("door", ["native", "spa", "web"])
SESSION = "__Host-coatcheck-session"


async def signed_in(house: House, door: str) -> Client:
    if door == "web":
        return await house.web()
    return await (house.spa() if door == "spa" else house.native())


async def code(answer: Awaitable[httpx2.Response]) -> tuple[int, str]:
    told = await answer
    return told.status_code, told.json()["code"] if told.status_code >= 400 else "ok"


@doors
async def test_step_up_is_wanted_after_five_minutes_and_opens_five_more(house: House, door: str) -> None:
    """Closing wants a proof of the last five minutes; the right password is one, and the session is the same."""
    await house.register()
    client = await signed_in(house, door)
    house.clock.move(301)
    assert await code(client.call("DELETE", "/v1/me")) == (401, "reauthentication_required")
    assert (await client.prove()).status_code == 200
    told = (await client.get("/v1/sessions/current")).json()
    assert (told["session_id"], told["auth_methods"]) == (client.session_id, ["pwd"])
    house.clock.move(290)
    assert (await client.call("DELETE", "/v1/me")).status_code == 204


@doors
async def test_step_up_with_a_second_factor_stays_in_the_session(house: House, door: str) -> None:
    """What was proved is in the credential handed out, in the device list, and in every later credential of the
    session; other sessions have none of it."""
    await house.register()
    client, phone = await signed_in(house, door), await house.native()
    begun = await client.call("POST", "/v1/me/factors/totp")
    app = App(house, begun.json()["secret"])
    body = {"challenge_token": begun.json()["challenge_token"], "code": app.code()}
    assert (await client.call("POST", "/v1/me/factors/totp/confirm", json=body)).status_code == 201
    assert (await client.get("/v1/sessions/current")).json()["auth_methods"] == ["pwd"]
    first = await client.call("POST", "/v1/me/reauthenticate", json={"password": PASSWORD})
    body = {"challenge_token": first.json()["challenge_token"], "method": "totp", "code": app.next_code()}
    answer = await client.call("POST", "/v1/me/reauthenticate", json=body)
    assert answer.status_code == 200
    if isinstance(client, WebClient):
        client.csrf_token = answer.json()["csrf_token"]
    else:
        client.access_token = answer.json()["access_token"]
    proved = ["pwd", "otp", "mfa"]
    assert (await client.get("/v1/sessions/current")).json()["auth_methods"] == proved
    [device] = (await client.get("/v1/devices")).json()["devices"]
    assert [one["auth_methods"] for one in device["sessions"] if one["current"]] == [proved]
    if not isinstance(client, WebClient):
        assert (await client.refresh()).status_code == 200
        assert jwt.decode(client.access_token, options={"verify_signature": False})["amr"] == proved
    house.desk.verified_cookies.clear()
    assert (await client.get("/v1/sessions/current")).json()["auth_methods"] == proved
    rows = await house.rows("SELECT id, auth_methods FROM session")
    assert {ids.text("ses", row["id"]): row["auth_methods"] for row in rows} == {
        client.session_id: "pwd otp mfa",
        phone.session_id: "pwd",
    }


@doors
async def test_step_up_with_a_wrong_password_changes_nothing(house: House, door: str) -> None:
    """It is refused and written down; the act is still closed, the session goes on."""
    await house.register()
    client = await signed_in(house, door)
    house.clock.move(301)
    before = await house.rows("SELECT * FROM session")
    assert await code(client.prove("not the right password")) == (401, "invalid_credentials")
    assert await code(client.call("DELETE", "/v1/me")) == (401, "reauthentication_required")
    [failed] = await house.audit("step_up.failed")
    assert (failed["session_id"], failed["ip"]) == (before[0]["id"], "203.0.113.7")
    assert await house.audit("step_up.proved") == []
    assert [(one["auth_time"], one["generation"]) for one in await house.rows("SELECT * FROM session")] == [
        (one["auth_time"], one["generation"]) for one in before
    ]
    assert (await client.get("/v1/me")).status_code == 200


async def test_step_up_is_throttled_like_a_sign_in(house: House) -> None:
    """After five wrong passwords the sixth is not verified. They count for the session; a sign-in is not held up."""
    await house.register()
    phone = await house.native()
    for _ in range(5):
        assert await code(phone.prove("not the right password")) == (401, "invalid_credentials")
    assert await code(phone.prove()) == (429, "rate_limited")
    login = house.http().post("/v1/native/login", json={"email": "ada@example.test", "password": PASSWORD})
    assert await code(login) == (200, "ok")
    assert len(await house.audit("step_up.failed")) == 5


async def test_step_up_burst_of_guesses_does_not_overtake_its_count(house: House) -> None:
    """Twenty guesses at once: no more than five are looked at."""
    await house.register()
    phone = await house.native()
    said = await asyncio.gather(*(code(phone.prove(f"guess number {n}")) for n in range(20)))
    assert said.count((401, "invalid_credentials")) == 5
    assert said.count((429, "rate_limited")) == 15


async def test_step_up_proof_ages_from_the_proof_not_from_its_use(house: House) -> None:
    """A refresh takes the time of the proof along: it neither loses nor lengthens it."""
    await house.register()
    phone = await house.native()
    house.clock.move(600)
    await phone.refresh()
    await phone.prove()
    house.clock.move(200)
    assert (await phone.refresh()).status_code == 200
    proved = (await phone.get("/v1/sessions/current")).json()["auth_time"]
    house.clock.move(101)
    assert (await phone.refresh()).status_code == 200
    assert (await phone.get("/v1/sessions/current")).json()["auth_time"] == proved
    assert await code(phone.call("DELETE", "/v1/me")) == (401, "reauthentication_required")


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_step_up_is_no_rotation(house: House, door: str) -> None:
    """The refresh token goes on; the access token from before still works, without the proof."""
    await house.register()
    client = await signed_in(house, door)
    assert isinstance(client, NativeClient | SpaClient)
    house.clock.move(301)
    before = client.access_token
    await client.prove()
    renewed, client.access_token = client.access_token, before
    assert renewed != before
    assert await code(client.call("DELETE", "/v1/me")) == (401, "reauthentication_required")
    assert (await client.get("/v1/me")).status_code == 200
    assert (await client.refresh()).status_code == 200
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [1]


async def test_step_up_acknowledges_nothing_that_never_arrived(house: House) -> None:
    """A client whose refresh answer was lost steps up with the old access token, and may still repeat that refresh."""
    await house.register()
    phone = await house.native()
    kept = phone.refresh_token
    assert (await phone.refresh(kept)).status_code == 200  # the answer is lost
    await phone.prove()
    assert (await phone.get("/v1/me")).status_code == 200
    await house.desk.presence.flush()
    house.clock.move(61)
    assert (await phone.refresh(kept)).status_code == 200
    assert await house.audit("token.reused") == []


async def test_step_up_of_an_ended_session_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief whose session is ended while his proof is verified gets nothing for it."""
    await house.register()
    thief, owner = await house.native(), await house.native()
    proved = step_up.proved

    async def ended_meanwhile(*args: Any, **more: Any) -> step_up.Renewed:
        assert (await owner.call("DELETE", f"/v1/sessions/{thief.session_id}")).status_code == 204
        return await proved(*args, **more)

    monkeypatch.setattr(step_up, "proved", ended_meanwhile)
    assert (await thief.prove()).json()["code"] == "session_revoked"
    assert await house.audit("step_up.proved") == []


async def test_step_up_with_a_password_that_changed_meanwhile_is_refused(house: House) -> None:
    """The old password, verified just before it was changed, proves nothing any more."""
    await house.register()
    phone = await house.native()
    passwords = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
    said = await asyncio.gather(
        *(code(phone.prove()) for _ in range(4)), code(phone.call("POST", "/v1/me/password", json=passwords))
    )
    changed = (await house.audit("password.changed"))[0]["id"]
    assert all(proof["id"] < changed for proof in await house.audit("step_up.proved"))
    assert said[-1] == (200, "ok") or said[-1] == (204, "ok")
    assert set(said[:-1]) <= {(200, "ok"), (409, "conflict"), (401, "invalid_credentials")}


async def test_step_up_is_not_fresh_in_the_future(house: House) -> None:
    """A clock that was set back makes no proof last for ever."""
    await house.register()
    phone = await house.native()
    house.clock.move(-3_600)
    assert await code(phone.call("DELETE", "/v1/me")) == (401, "reauthentication_required")


async def test_step_up_never_holds_up_ending_anything(house: House) -> None:
    """Hours after signing in, devices and sessions are ended without a word about passwords."""
    await house.register()
    phone, other, third = await house.native(), await house.native(), await house.spa()
    house.clock.move(590)
    device = (await other.get("/v1/devices")).json()["devices"][0]["id"]
    assert (await phone.call("DELETE", f"/v1/devices/{device}")).status_code == 204
    assert (await phone.call("DELETE", f"/v1/sessions/{third.session_id}")).status_code == 204
    assert (await phone.call("POST", "/v1/devices/logout-others")).status_code == 200
    assert (await phone.call("POST", "/v1/devices/logout-all")).status_code == 200


# -- the web door's cookie ---------------------------------------------------------------------------------------


def with_cookie(house: House, cookie: str | None, csrf_token: str = "") -> WebClient:
    """A browser that holds this cookie, whatever became of it."""
    http = house.http()
    http.cookies.set(SESSION, cookie or "", domain="coatcheck.test", path="/")
    return WebClient(http, csrf_token)


async def test_step_up_gives_a_web_session_another_cookie(house: House) -> None:
    """The cookie and the CSRF token from before are dead; the new ones go on with the same session."""
    await house.register()
    web = await house.web()
    cookie, token = web.cookie, web.csrf_token
    assert (await web.get("/v1/me")).status_code == 200
    answer = await web.prove()
    assert set(answer.json()) == {"csrf_token"}
    _, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=Strict", "Secure"}
    assert web.cookie != cookie
    assert web.csrf_token != token
    old = with_cookie(house, cookie, token)
    assert await code(old.get("/v1/me")) == (401, "token_invalid")
    assert await code(old.call("POST", "/v1/me/reauthenticate", json={"password": PASSWORD})) == (401, "token_invalid")
    assert (await web.get("/v1/web/session")).json()["session"]["id"] == web.session_id
    stale = with_cookie(house, web.cookie, token)
    assert await code(stale.call("PATCH", "/v1/me", json={"name": "x"})) == (403, "csrf_failed")
    assert (await web.call("PATCH", "/v1/me", json={"name": "Ada"})).status_code == 200


async def test_step_up_told_late_revives_no_older_cookie(house: House) -> None:
    """Of two step-ups the news of the first may be heard last: the cookie between them stays dead."""
    await house.register()
    web = await house.web()
    assert (await web.prove()).status_code == 200
    between = web.cookie
    assert (await web.get("/v1/me")).status_code == 200
    assert (await web.prove()).status_code == 200
    [row] = await house.rows("SELECT id, account_id, auth_time FROM session")
    late = Event("session.turned", row["account_id"], row["id"], {"generation": "1"}, row["auth_time"])
    await house.desk.feed.publish(late)
    assert await code(with_cookie(house, between).get("/v1/sessions/current")) == (401, "token_invalid")
    assert (await web.get("/v1/sessions/current")).status_code == 200


async def test_step_up_by_cookie_needs_the_csrf_token(house: House) -> None:
    """Another site can't step a session up, even if it knew the password."""
    await house.register()
    web = await house.web()
    body = {"password": PASSWORD}
    for headers in ({}, {"Origin": URL, "X-Coatcheck-Client": "web"}, {"Origin": "https://evil.test"}):
        answer = web.http.post("/v1/me/reauthenticate", json=body, headers=headers)
        assert await code(answer) == (403, "csrf_failed")
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [0]


async def test_step_up_twice_at_once_gives_one_cookie(house: House) -> None:
    """Of parallel proofs with one cookie one wins; the others are told, and the session lives."""
    await house.register()
    web = await house.web()
    cookie, token = web.cookie, web.csrf_token
    tabs = [with_cookie(house, cookie, token) for _ in range(5)]
    said = [answer.status_code for answer in await asyncio.gather(*(tab.prove() for tab in tabs))]
    assert said.count(200) == 1
    assert set(said) <= {200, 409, 401}
    winner = tabs[said.index(200)]
    assert (await winner.get("/v1/me")).status_code == 200
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [1]


async def test_step_up_survives_a_restored_backup(house: House) -> None:
    """A cookie newer than its row is genuine: nobody is signed out, and the older cookie is dead again."""
    await house.register()
    web = await house.web()
    cookie = web.cookie
    await web.prove()
    await house.rows("UPDATE session SET generation = 0, auth_time = created_at RETURNING id")
    house.desk.verified_cookies.clear()
    assert (await web.get("/v1/me")).status_code == 200
    assert await code(with_cookie(house, cookie).get("/v1/me")) == (401, "token_invalid")
    assert (await web.prove()).status_code == 200


async def _fresh(workers: tuple[House, House]) -> None:
    async def so() -> bool:
        return all(worker.desk.feed.is_fresh() for worker in workers)

    await until(so, 10)


async def test_step_up_kills_the_old_cookie_on_every_worker(two_workers: tuple[House, House]) -> None:
    """Workers that had the old cookie in their cache refuse it once they hear, time after time; the new one works."""
    first, second = two_workers
    await first.register()
    web = await first.web()
    await _fresh(two_workers)
    for _ in range(3):
        cookie = web.cookie
        for worker in two_workers:
            assert (await with_cookie(worker, cookie).get("/v1/me")).status_code == 200
        assert (await web.prove()).status_code == 200
        assert await code(with_cookie(first, cookie).get("/v1/me")) == (401, "token_invalid")

        async def refused(cookie: str | None = cookie) -> bool:
            return await code(with_cookie(second, cookie).get("/v1/me")) == (401, "token_invalid")

        await until(refused, 5)
        assert (await with_cookie(second, web.cookie).get("/v1/me")).status_code == 200


async def test_step_up_never_published_is_swept(two_workers: tuple[House, House]) -> None:
    """A worker that died between commit and publish leaves no second cookie alive."""
    first, _ = two_workers
    await first.register()
    web = await first.web()
    await _fresh(two_workers)
    for worker in two_workers:
        assert (await with_cookie(worker, web.cookie).get("/v1/me")).status_code == 200
    now = first.clock.now() + 1
    await first.rows("UPDATE session SET generation = 1, auth_time = $1 RETURNING id", now)

    async def refused() -> bool:
        said = [await code(with_cookie(worker, web.cookie).get("/v1/me")) for worker in two_workers]
        return set(said) == {(401, "token_invalid")}

    await until(refused, 10)


async def test_step_up_bites_where_the_feed_is_not_fresh(two_workers: tuple[House, House]) -> None:
    """A worker that can't hear of it reads the row."""
    first, second = two_workers
    await first.register()
    web = await first.web()
    await _fresh(two_workers)
    assert (await with_cookie(second, web.cookie).get("/v1/me")).status_code == 200
    await second.desk.feed.stop()
    second.desk.feed._heard = float("-inf")
    cookie = web.cookie
    await web.prove()
    assert await code(with_cookie(second, cookie).get("/v1/me")) == (401, "token_invalid")
