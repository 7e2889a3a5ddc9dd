"""Cross-site request forgery: what an unsafe call that a cookie could authenticate must prove, in all combinations."""

import itertools
from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, SpaClient, WebClient

ADA = "ada@example.test"
ALLOWED = "https://app.test"
MISSING = None
# What each part of a request may be, and whether it is good.
ORIGINS = {
    URL: True,
    ALLOWED: True,
    MISSING: None,  # then Sec-Fetch-Site decides
    "https://evil.test": False,
    "null": False,
    "": False,
    f"{URL}/": False,
    URL.upper(): False,
    f"{URL}.evil.test": False,
    "http://coatcheck.test": False,
    f"{URL}:8443": False,
}
SITES = {"same-origin": True, "same-site": False, "cross-site": False, "none": False, MISSING: False}
BODY = {"email": ADA, "password": PASSWORD}


def own_page(origin: str | None, site: str | None) -> bool:
    known = ORIGINS[origin]
    return SITES[site] if known is None else known


def given(**headers: str | None) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


def refused(answer: httpx2.Response) -> bool:
    if answer.status_code != 403:
        return False
    assert answer.json()["code"] == "csrf_failed"
    assert answer.json()["detail"]
    assert "set-cookie" not in answer.headers
    return True


async def rows(house: House) -> list[Any]:
    tables = ("session", "device", "account", "audit_event")
    return [await house.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]


@pytest.mark.parametrize("door", ["spa", "web"])
async def test_csrf_of_a_login_in_all_combinations(open_house: OpenHouse, door: str) -> None:
    """A browser login succeeds exactly from an own or allowed page with the door's client header; else nothing is
    written."""
    async with open_house(allowed_origins=ALLOWED) as house:
        await house.register()
        clients = ({"spa": "web", "web": "spa"}[door], "", MISSING)
        combinations = [*itertools.product(ORIGINS, SITES, (door,)), *itertools.product((URL,), SITES, clients)]
        for origin, site, client in combinations:
            headers = given(Origin=origin, Sec_Fetch_Site=site, X_Coatcheck_Client=client)
            before = await rows(house)
            answer = await house.http().post(f"/v1/{door}/login", json=BODY, headers=headers)
            good = own_page(origin, site) and client == door
            assert refused(answer) is not good, headers
            assert answer.status_code == (200 if good else 403)
            assert (await rows(house) == before) is not good, headers


async def test_csrf_of_refresh_and_logout_of_the_app(open_house: OpenHouse) -> None:
    """A foreign page can neither rotate nor end the app's session, whatever the browser says of its site."""
    async with open_house(allowed_origins=ALLOWED) as house:
        await house.register()
        app = await house.spa()
        before = await rows(house)
        for origin, site, client in itertools.product(
            (URL, ALLOWED, "https://evil.test", MISSING), SITES, ("spa", "web", MISSING)
        ):
            headers = given(Origin=origin, Sec_Fetch_Site=site, X_Coatcheck_Client=client)
            if own_page(origin, site) and client == "spa":
                continue
            for path in ("/v1/spa/refresh", "/v1/spa/logout"):
                assert refused(await app.http.post(path, headers=headers)), headers
        assert await rows(house) == before
        for headers in (given(Origin=ALLOWED), given(Sec_Fetch_Site="same-origin")):
            assert (await app.http.post("/v1/spa/refresh", headers=headers | {"X-Coatcheck-Client": "spa"})).is_success


async def test_csrf_of_a_cookie_call_in_all_combinations(open_house: OpenHouse) -> None:
    """A call that a web session cookie authenticates needs all three: origin, client header and its own CSRF token."""
    async with open_house(allowed_origins=ALLOWED) as house:
        await house.register()
        web = await house.web()
        earlier = web.csrf_token
        await web.login(ADA)
        stranger = (await house.web()).csrf_token
        assert len({web.csrf_token, earlier, stranger}) == 3
        tokens = [web.csrf_token, earlier, stranger, "", "x", web.csrf_token[:-1], f"{web.csrf_token} x", MISSING]
        expected = None
        for number, (origin, client, token) in enumerate(
            itertools.product((URL, ALLOWED, "null", "https://evil.test", MISSING), ("web", "spa", MISSING), tokens)
        ):
            headers = given(Origin=origin, X_Coatcheck_Client=client, X_CSRF_Token=token)
            answer = await web.http.patch("/v1/me", json={"name": f"n{number}"}, headers=headers)
            good = own_page(origin, MISSING) and client == "web" and token == web.csrf_token
            assert refused(answer) is not good, headers
            expected = f"n{number}" if good else expected
            assert [row["name"] for row in await house.rows("SELECT name FROM account")] == [expected], headers


async def test_csrf_guards_every_unsafe_cookie_route(house: House) -> None:
    """Without its CSRF token no route changes anything for a session cookie; for a foreign page not even with it."""
    await house.register()
    web = await house.web()
    [device] = [row["id"] for row in (await web.get("/v1/devices")).json()["devices"]]
    password = {"current_password": PASSWORD, "new_password": "an entirely new long password"}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/web/logout", {}),
        ("PATCH", "/v1/me", {"json": {"name": "x"}}),
        ("DELETE", "/v1/me", {}),
        ("POST", "/v1/me/password", {"json": password}),
        ("PATCH", f"/v1/devices/{device}", {"json": {"name": "x"}}),
        ("DELETE", f"/v1/devices/{device}", {}),
        ("DELETE", "/v1/sessions/current", {}),
        ("DELETE", f"/v1/sessions/{web.session_id}", {}),
        ("POST", "/v1/devices/logout-others", {}),
        ("POST", "/v1/devices/logout-all", {}),
    ]
    before = await rows(house)
    evil = {"Origin": "https://evil.test", "Sec-Fetch-Site": "same-origin"}
    for method, path, options in calls:
        bare = await web.http.request(method, path, headers=WebClient.OWN_PAGE, **options)
        assert refused(bare), path
        foreign = await web.call(method, path, headers=evil, **options)
        assert refused(foreign), path
    assert await rows(house) == before
    assert (await web.call("POST", "/v1/devices/logout-others")).json() == {"ended": 0}
    assert (await web.call("DELETE", "/v1/sessions/current")).status_code == 204


async def test_csrf_token_counts_in_its_header_only(house: House) -> None:
    """A token in the address, in a cookie or in the body proves nothing: an attacker can bring all three."""
    await house.register()
    web = await house.web()
    token = web.csrf_token
    web.http.cookies.set("X-CSRF-Token", token, domain="coatcheck.test")
    web.http.cookies.set("csrf_token", token, domain="coatcheck.test")
    answer = await web.http.patch(f"/v1/me?csrf_token={token}", json={"name": "x"}, headers=WebClient.OWN_PAGE)
    assert refused(answer)
    answer = await web.http.patch("/v1/me", json={"name": "x", "csrf_token": token}, headers=WebClient.OWN_PAGE)
    assert answer.status_code in (403, 422)
    assert [row["name"] for row in await house.rows("SELECT name FROM account")] == [None]


async def test_csrf_refusal_names_what_is_missing(house: House) -> None:
    """The refusal tells a developer which header to send."""
    await house.register()
    web = await house.web()
    named = {
        "Origin": given(X_Coatcheck_Client="web", X_CSRF_Token=web.csrf_token),
        "X-Coatcheck-Client": given(Origin=URL, X_CSRF_Token=web.csrf_token),
        "X-CSRF-Token": given(Origin=URL, X_Coatcheck_Client="web"),
    }
    for missing, headers in named.items():
        answer = await web.http.patch("/v1/me", json={"name": "x"}, headers=headers)
        assert missing in answer.json()["detail"]


async def test_csrf_asks_nothing_of_bearer_calls(house: House) -> None:
    """An access token needs neither origin nor headers, not even beside a web session cookie or from a foreign page."""
    await house.register()
    app = await house.spa()
    await WebClient(app.http).login(ADA)
    for headers in ({}, {"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await app.call("PATCH", "/v1/me", json={"name": "Ada"}, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (200, "Ada")


async def test_csrf_leaves_reading_alone(house: House) -> None:
    """Reading with the cookie needs no proof, and reading never ends a session."""
    await house.register()
    web, app = await house.web(), await house.spa()
    for path in ("/v1/me", "/v1/web/session", "/v1/devices", "/v1/sessions/current", "/v1/me/activity"):
        assert (await web.http.get(path, headers={"Origin": "https://evil.test"})).status_code == 200
    for client, path in ((web.http, "/v1/web/logout"), (app.http, "/v1/spa/logout"), (app.http, "/v1/spa/refresh")):
        assert (await client.get(path)).status_code in (404, 405)
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 2


async def test_csrf_refuses_what_a_form_can_send(house: House) -> None:
    """A form or plain text, which any page can post without asking, is never read as JSON."""
    await house.register()
    web = await house.web()
    text = '{"email":"ada@example.test","password":"three wise monkeys dancing"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        own = SpaClient.OWN_PAGE | {"Content-Type": kind}
        answer = await house.http().post("/v1/spa/login", content=text, headers=own)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        answer = await web.call("PATCH", "/v1/me", content='{"name":"x"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert len(await house.rows("SELECT id FROM session")) == 1
