"""The web door: a session in one cookie, which slides with use and counts in no other place."""

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, SpaClient, WebClient

ADA = "ada@example.test"
SESSION, REFRESH = "__Host-coatcheck-session", "__Host-coatcheck-refresh"
HOUR = 3_600


async def state(web: WebClient) -> str:
    answer = await web.get("/v1/web/session")
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


def raw_cookie(house: House, *lines: bytes) -> httpx2.AsyncClient:
    """A client that sends these Cookie header lines, byte for byte."""
    return house.http(headers=httpx2.Headers([(b"cookie", line) for line in lines]))


async def test_web_session_tells_who_is_signed_in(house: House) -> None:
    """The page asks with its cookie and is told account, session and the CSRF token it was given at login."""
    await house.register()
    web = await house.web()
    answer = (await web.get("/v1/web/session")).json()
    assert set(answer) == {"account", "session", "csrf_token"}
    assert answer["csrf_token"] == web.csrf_token
    assert answer["session"]["id"] == web.session_id
    assert (await house.http().get("/v1/web/session")).json()["code"] == "unauthenticated"


async def test_web_session_cookie_opens_the_resources(house: House) -> None:
    """The cookie reads the account and, with the CSRF token, changes it."""
    await house.register()
    web = await house.web()
    assert (await web.get("/v1/me")).json()["email"] == ADA
    assert (await web.call("PATCH", "/v1/me", json={"name": "Ada"})).json()["name"] == "Ada"


async def test_web_session_slides_with_use(house: House) -> None:
    """A session used every 50 minutes lives past its idle hour, and a day after login it is over."""
    await house.register()
    web = await house.web()
    for _ in range(28):
        house.clock.move(50 * 60)
        assert await state(web) == "ok"
    house.clock.move(50 * 60)
    assert await state(web) == "session_expired"
    [phone] = [await house.native()]
    [session] = [
        session
        for device in (await phone.get("/v1/devices?ended=true")).json()["devices"]
        for session in device["sessions"]
        if session["door"] == "web"
    ]
    assert session["end_reason"] == "expired"


async def test_web_session_ends_after_an_idle_hour(house: House) -> None:
    """Just under an hour unused it lives; an hour unused it is over, and asking does not revive it."""
    await house.register()
    web = await house.web()
    house.clock.move(HOUR - 5)
    assert await state(web) == "ok"
    house.clock.move(HOUR + 1)
    assert [await state(web), await state(web)] == ["session_expired"] * 2
    assert (await web.call("PATCH", "/v1/me", json={"name": "x"})).json()["code"] == "session_expired"
    assert [row["name"] for row in await house.rows("SELECT name FROM account")] == [None]


async def test_web_session_lives_as_long_as_set(open_house: OpenHouse) -> None:
    """WEB_IDLE_TTL and WEB_ABSOLUTE_TTL decide."""
    async with open_house(web_idle_ttl=100, web_absolute_ttl=250) as house:
        await house.register()
        web = await house.web()
        for seconds, expected in ((90, "ok"), (90, "ok"), (60, "ok"), (20, "session_expired")):
            house.clock.move(seconds)
            assert await state(web) == expected
        other = await house.web()
        house.clock.move(101)
        assert await state(other) == "session_expired"


async def test_web_session_value_planted_before_login_is_not_kept(house: House) -> None:
    """Login always sets a new session cookie; the value in the browser before it opens nothing of the victim's."""
    await house.register()
    await house.register("mallory@example.test")
    mallory = await house.web("mallory@example.test")
    planted = mallory.cookie
    assert planted
    victim = house.http()
    victim.cookies.set(SESSION, planted, domain="coatcheck.test", path="/")
    web = await WebClient(victim).login(ADA)
    assert web.cookie != planted
    assert (await web.get("/v1/me")).json()["email"] == ADA
    assert (await mallory.get("/v1/me")).json()["email"] == "mallory@example.test"


async def test_web_session_changes_at_each_login(house: House) -> None:
    """A second login in the browser gives another cookie, and the first one is dead."""
    await house.register()
    web = await house.web()
    first = f"{SESSION}={web.cookie}".encode()
    await web.login(ADA)
    answer = await raw_cookie(house, first).get("/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert await state(web) == "ok"


async def test_web_logout_ends_the_session_and_takes_its_cookie(house: House) -> None:
    """After logout the old cookie is refused at the very next request, and the browser no longer has it."""
    await house.register()
    web = await house.web()
    kept = f"{SESSION}={web.cookie}".encode()
    assert (await web.call("POST", "/v1/web/logout")).status_code == 204
    assert web.cookie is None
    assert (await raw_cookie(house, kept).get("/v1/me")).json()["code"] == "session_revoked"
    assert [row["end_reason"] for row in await house.rows("SELECT end_reason FROM session")] == ["signed_out"]


async def test_web_logout_with_an_outdated_cookie_ends_the_session(house: House) -> None:
    """Who lost the answer that held her newer cookie signs out all the same, with that cookie's own CSRF token."""
    await house.register()
    web = await house.web()
    outdated = f"{SESSION}={web.cookie}".encode()
    assert (await WebClient(web.http, web.csrf_token).prove()).status_code == 200
    browser = WebClient(raw_cookie(house, outdated))
    assert await state(browser) == "token_invalid"
    assert (await browser.call("POST", "/v1/web/logout")).json()["code"] == "csrf_failed"
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    browser.csrf_token = web.csrf_token
    assert (await browser.call("POST", "/v1/web/logout")).status_code == 204
    assert [row["end_reason"] for row in await house.rows("SELECT end_reason FROM session")] == ["signed_out"]


@pytest.mark.parametrize("door", ["web", "spa"])
async def test_browser_logout_answers_204_in_every_case(house: House, door: str) -> None:
    """With no cookie, a junk one, a dead session's or another door's, logout is 204: there is nothing to end."""
    await house.register()
    name = {"web": SESSION, "spa": REFRESH}[door]
    client = await (house.web() if door == "web" else house.spa())
    dead = client.cookie
    path, own = f"/v1/{door}/logout", {"Origin": URL, "X-Coatcheck-Client": door}
    assert (await client.http.post(path, headers=own | token_of(client))).status_code == 204
    other = (await house.spa()).cookie if door == "web" else (await house.web()).cookie
    for value in (None, "junk", "", dead, other, "cct_r_" + "A" * 76, "cct_w_" + "A" * 76):
        lines = [] if value is None else [f"{name}={value}".encode()]
        answer = await raw_cookie(house, *lines).post(path, headers=own)
        assert (answer.status_code, answer.content) == (204, b""), value
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1


def token_of(client: WebClient | SpaClient) -> dict[str, str]:
    return {"X-CSRF-Token": client.csrf_token} if isinstance(client, WebClient) else {}


async def test_spa_logout_with_an_expired_access_token_is_204(house: House) -> None:
    """A page whose cookie is gone and whose access token has run out can still log out."""
    await house.register()
    app = await house.spa()
    app.http.cookies.clear()
    house.clock.move(700)
    answer = await app.post("/v1/spa/logout", headers={"Authorization": f"Bearer {app.access_token}"})
    assert answer.status_code == 204


async def test_spa_logout_beside_a_web_session_is_204(house: House) -> None:
    """The app's logout in a browser that is signed in to the account pages only is 204 and leaves those signed in."""
    await house.register()
    web = await house.web()
    answer = await web.http.post("/v1/spa/logout", headers=SpaClient.OWN_PAGE)
    assert answer.status_code == 204
    assert await state(web) == "ok"


# -- each credential in its own place ---------------------------------------------------------------------------------


async def test_web_cookie_counts_at_no_other_door(house: House) -> None:
    """A web session cookie is no refresh token, no bearer token and no OAuth token; trying leaves it alive."""
    await house.register()
    web = await house.web()
    value = web.cookie or ""
    line = f"{REFRESH}={value}".encode()
    spa = await raw_cookie(house, line).post("/v1/spa/refresh", headers=SpaClient.OWN_PAGE)
    bearer = await house.http().get("/v1/me", headers={"Authorization": f"Bearer {value}"})
    assert [(one.status_code, one.json()["code"]) for one in (spa, bearer)] == [(401, "token_invalid")] * 2
    form = {"grant_type": "refresh_token", "refresh_token": value}
    oauth = await house.http().post("/oauth/token", data=form)
    assert (oauth.status_code, oauth.json()["error"], oauth.json()["code"]) == (400, "invalid_grant", "token_invalid")
    assert (await house.http().post("/oauth/revoke", data={"token": value})).status_code == 200
    assert await state(web) == "ok"


async def test_refresh_tokens_are_no_web_session(house: House) -> None:
    """Refresh and access tokens shown as the session cookie are refused, and their sessions live on."""
    await house.register()
    app, phone = await house.spa(), await house.native()
    for value in (app.cookie, phone.refresh_token, phone.access_token, phone.device_token):
        answer = await raw_cookie(house, f"{SESSION}={value}".encode()).get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert (await app.refresh()).status_code == 200
    assert (await phone.refresh()).status_code == 200


async def test_bearer_beside_a_cookie_alone_counts(house: House) -> None:
    """A junk Authorization with a good cookie is 401, never a fall-back; a good one acts for its own account."""
    await house.register()
    await house.register("bob@example.test")
    web, bob = await house.web(), await house.native("bob@example.test")
    junk = ["", "Bearer", "Bearer ", "Bearer junk", f"Basic {web.cookie}", "bearer", f"Bearer {web.cookie}", "null"]
    for value in junk:
        for path in ("/v1/me", "/v1/web/session", "/v1/devices", "/v1/sessions/current"):
            answer = await web.http.get(path, headers={"Authorization": value})
            assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid"), (value, path)
        changed = await web.call("PATCH", "/v1/me", json={"name": "x"}, headers={"Authorization": value})
        assert changed.status_code == 401
    good = await web.http.get("/v1/me", headers={"Authorization": f"Bearer {bob.access_token}"})
    assert good.json()["email"] == "bob@example.test"
    assert {row["name"] for row in await house.rows("SELECT name FROM account")} == {None}
    assert await state(web) == "ok"


@pytest.mark.parametrize("cache", ["cold", "warm"])
async def test_bearer_is_the_only_scheme(house: House, cache: str) -> None:
    """A good access token behind any other scheme, or stuck to one, is refused, at logout too; case does not count."""
    await house.register()
    app = await house.spa()
    wrong = [
        "Bearerx",
        "Bearer",
        "Digests",
        "Digest ",
        "Token  ",
        "Basic  ",
        "DPoP   ",
        "Bearer\t",
        " Bearer",
        "xBearer ",
    ]
    for scheme in wrong:
        if cache == "warm":
            assert (await app.get("/v1/me")).status_code == 200
        for text in (f"{scheme}{app.access_token}", f"{scheme} {app.access_token}"):
            if text.lower().strip().startswith("bearer ey"):
                continue  # blanks around a header's value are no part of it (RFC 9110 section 5.5)
            sent = {"Authorization": text}
            for path in ("/v1/me", "/v1/sessions/current"):
                answer = await house.http().get(path, headers=sent)
                assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid"), text
            refused = await house.http().post("/v1/spa/logout", headers=SpaClient.OWN_PAGE | sent)
            assert refused.status_code == 204
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    for scheme in ("Bearer", "bearer", "BEARER", "bEARER"):
        sent = {"Authorization": f"{scheme} {app.access_token}"}
        assert (await house.http().get("/v1/me", headers=sent)).status_code == 200


async def test_two_authorization_headers_are_refused(house: House) -> None:
    """Nobody guesses which of two Authorization headers counts."""
    await house.register()
    phone = await house.native()
    line = ("Authorization", f"Bearer {phone.access_token}")
    answer = await house.http().get("/v1/me", headers=httpx2.Headers([line, line]))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


# -- cookie tossing ---------------------------------------------------------------------------------------------------


async def test_two_values_of_a_cookie_are_malformed(house: House) -> None:
    """A request that brings two values of one of our cookies is 400 at every door, in whatever order or lines."""
    await house.register()
    web, app = await house.web(), await house.spa()
    own = {"spa": SpaClient.OWN_PAGE, "web": WebClient.OWN_PAGE}
    good, bad = f"{SESSION}={web.cookie}".encode(), f"{SESSION}=planted".encode()
    for lines in ([good + b"; " + bad], [bad + b";" + good], [good, bad], [bad + b"; a=b; " + good]):
        answer = await raw_cookie(house, *lines).get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    two = f"{REFRESH}={app.cookie}; {REFRESH}=planted".encode()
    assert (await raw_cookie(house, two).post("/v1/spa/refresh", headers=own["spa"])).status_code == 400
    device = b"__Host-coatcheck-device=a; __Host-coatcheck-device=b"
    body = {"email": ADA, "password": PASSWORD}
    for door in ("spa", "web"):
        login = await raw_cookie(house, device).post(f"/v1/{door}/login", json=body, headers=own[door])
        assert (login.status_code, login.json()["code"]) == (400, "malformed_request")
    assert len(await house.rows("SELECT id FROM session")) == 2
    assert (await raw_cookie(house, good + b"; " + good).get("/v1/me")).status_code == 200  # one value, twice


async def test_cookies_of_almost_our_name_do_not_count(house: House) -> None:
    """A name padded with blanks of other alphabets, in other case, without prefix or in quotes is not our cookie."""
    await house.register()
    web = await house.web()
    value = (web.cookie or "").encode()
    name = SESSION.encode()
    for line in (
        *(b"\xa0" + name + b"=" + value, b"\x85" + name + b"=" + value, name + b"\xa0=" + value),
        *(name.lower() + b"=" + value, b"coatcheck-session=" + value, b"=" + name + b"=" + value),
        *(name + b'="' + value + b'"', b'x="' + name + b"=" + value + b'"', name + b" =" + value),
        *(name + b"=" + value + b"%20", name + b"=" + value + b".x", name),
    ):
        answer = await raw_cookie(house, line).get("/v1/me")
        assert answer.status_code == 401, line
    own = name + b"=" + value
    for padded in (b"\xa0" + name + b"=planted", b"\x85" + name + b"=planted"):
        for line in (own + b"; " + padded, padded + b"; " + own):
            assert (await raw_cookie(house, line).get("/v1/me")).json()["email"] == ADA
