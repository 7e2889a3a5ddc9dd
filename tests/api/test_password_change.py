"""What a change of the password asks for, and what it leaves of a credential that somebody copied."""

import httpx2

from tests.conftest import OpenHouse
from tests.factors import enrol_app, signed_in
from tests.house import PASSWORD, House
from tests.pages import Visitor

COOKIE = "__Host-coatcheck-session"
NEW = "four wise monkeys dancing"
CHANGE = {"current_password": PASSWORD, "new_password": NEW}


async def test_password_change_wants_a_fresh_proof_of_who_has_a_second_factor(house: House) -> None:
    """Password and an open session are one factor: they change nothing until both have been proved a moment ago."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    house.clock.move(301)
    refused = await phone.call("POST", "/v1/me/password", json=CHANGE)
    assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_required")
    assert await house.audit("password.changed") == []
    fresh = await signed_in(house, app)
    assert (await fresh.call("POST", "/v1/me/password", json=CHANGE)).status_code == 204


async def test_password_change_refused_is_written_down(house: House) -> None:
    """Who sits at somebody's open session and guesses the password leaves a trace for each guess."""
    await house.register()
    phone = await house.native()
    wrong = CHANGE | {"current_password": NEW}
    assert (await phone.call("POST", "/v1/me/password", json=wrong)).json()["code"] == "invalid_credentials"
    assert len(await house.audit("step_up.failed")) == 1


async def thief_with(house: House, cookie: str | None) -> httpx2.AsyncClient:
    """Somebody elsewhere who has a copy of a session's cookie."""
    http = house.http(ip="198.51.100.9")
    http.cookies.set(COOKIE, str(cookie))
    assert (await http.get("/v1/me")).status_code == 200
    return http


async def test_password_change_leaves_a_copied_cookie_nothing(house: House) -> None:
    """The caller's cookie is another one afterwards: a thief who had a copy of it is out like every other device."""
    await house.register()
    web = await house.web()
    thief = await thief_with(house, web.cookie)
    answer = await web.call("POST", "/v1/me/password", json=CHANGE)
    assert answer.status_code == 204
    assert (await thief.get("/v1/me")).json()["code"] == "token_invalid"
    web.csrf_token = answer.headers["x-csrf-token"]
    assert (await web.call("PATCH", "/v1/me", json={"name": "Ada"})).status_code == 200
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []


async def test_password_change_on_the_page_leaves_a_copied_cookie_nothing(house: House) -> None:
    """The page's form does the same, and its person goes on."""
    await house.register()
    ada = await Visitor(house).sign_in()
    thief = await thief_with(house, ada.http.cookies.get(COOKIE))
    assert (await ada.post("/account/password", look="/account/password", **CHANGE)).status_code == 303
    assert (await thief.get("/v1/me")).json()["code"] == "token_invalid"
    assert (await ada.post("/account/profile", look="/account/profile", name="Ada")).status_code == 303
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []


async def test_password_change_hides_the_devices_from_who_is_half_way_in(open_house: OpenHouse) -> None:
    """Who knew the old password and was asked which device to sign out sees none of them any more."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        phone = await house.native()
        thief = await Visitor(house).sign_in()
        assert (await thief.get("/account/sign-in/limit")).status_code == 200
        assert (await phone.call("POST", "/v1/me/password", json=CHANGE)).status_code == 204
        shown = await thief.get("/account/sign-in/limit")
        assert (shown.status_code, "ses_" in shown.text) == (303, False)
