"""Alerts: the owner hears of what matters, of nothing else, and can answer with one click and a button."""

from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, MovableClock, link_in
from tests.pages import Visitor

ADA = "ada@example.test"
NEW = "four wise monkeys dancing"
NEW_DEVICE = "A new device signed in"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


async def alerts(house: House) -> list[Any]:
    """Mails with a "this wasn't me" link, oldest first."""
    return [one for one in await house.mails() if "/account/not-me" in str(one.get_body(("plain",)))]


async def not_me(house: House, token: str) -> httpx2.Response:
    return await house.http().post("/v1/not-me", json={"token": token})


async def test_alert_tells_of_a_new_device_and_not_of_the_first(house: House) -> None:
    """The first device is silent, and so is a known one from a new place; a second one is told of by name and place."""
    await house.register()
    first = await house.native(name="Ada's phone")
    assert await alerts(house) == []
    first.http = house.http("coatcheck-phone/1", ip="198.51.100.9")
    await first.login(ADA)
    assert await alerts(house) == []
    elsewhere = house.http(ip="2001:db8::7")
    body = {"email": ADA, "password": PASSWORD, "device": {"name": "Ada's laptop"}}
    assert (await elsewhere.post("/v1/native/login", json=body)).status_code == 200
    [letter] = await alerts(house)
    assert (letter["To"], letter["Subject"]) == (ADA, NEW_DEVICE)
    assert "Ada's laptop" in str(letter.get_body(("plain",)))
    assert "2001:db8::7" in str(letter.get_body(("plain",)))


async def test_alert_is_answered_by_ending_that_session(house: House) -> None:
    """One button ends the session, and a link for a new password comes by mail; the other devices stay."""
    await house.register()
    owner, thief = await house.native(), await house.web()
    [letter] = await alerts(house)
    token, visitor = link_in(letter, "/account/not-me"), Visitor(house)
    for method in ("GET", "HEAD"):
        await visitor.http.request(method, f"/account/not-me?token={token}")
    assert (await thief.get("/v1/me")).status_code == 200
    answer = await visitor.post("/account/not-me", look="/account/not-me", token=token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/sign-in")
    assert (await thief.get("/v1/me")).json()["code"] == "session_revoked"
    assert (await owner.get("/v1/me")).status_code == (await owner.refresh()).status_code == 200
    reset = link_in((await house.mails())[-1], "/account/reset")
    body = {"token": reset, "new_password": NEW}
    assert (await house.http().post("/v1/password-reset/confirm", json=body)).status_code == 204
    [event] = await house.audit("alert.denied")
    assert event["session_id"] is not None


async def test_alert_link_dies_after_a_week(house: House) -> None:
    """And a link of another purpose answers nothing."""
    await house.register()
    await house.native()
    await house.native()
    token = link_in((await alerts(house))[0], "/account/not-me")
    await house.http().post("/v1/password-reset", json={"email": ADA})
    assert (await not_me(house, link_in((await house.mails())[-1], "/account/reset"))).status_code == 410
    house.clock.move(7 * 86_400)
    assert (await not_me(house, token)).json()["code"] == "link_invalid"


async def test_alert_tells_of_a_stolen_ticket(house: House) -> None:
    """Reuse detected: which device was signed out, and from where its old ticket came."""
    await house.register()
    phone = await house.native(name="Ada's phone")
    stolen = phone.refresh_token
    await phone.refresh()
    await phone.get("/v1/me")
    await phone.refresh()
    house.clock.move(60)
    thief = house.http(ip="198.51.100.66")
    form = {"grant_type": "refresh_token", "refresh_token": stolen}
    assert (await thief.post("/oauth/token", data=form)).json()["code"] == "token_reused"
    [letter] = await alerts(house)
    text = str(letter.get_body(("plain",)))
    assert letter["Subject"] == "A device was signed out for safety"
    assert "Ada's phone" in text
    assert "198.51.100.66" in text
    assert stolen not in letter.as_string()


async def test_alert_tells_of_a_changed_password(house: House) -> None:
    """After a change, and after a reset by mail; each once."""
    await house.register()
    phone = await house.native()
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await phone.call("POST", "/v1/me/password", json=body)).status_code == 204
    [letter] = await alerts(house)
    assert letter["Subject"] == "Your password was changed"
    assert NEW not in letter.as_string()
    assert (await not_me(house, link_in(letter, "/account/not-me"))).status_code == 204
    assert (await phone.refresh()).json()["code"] == "session_revoked"
    reset = {"token": link_in((await house.mails())[-1], "/account/reset"), "new_password": PASSWORD}
    assert (await house.http().post("/v1/password-reset/confirm", json=reset)).status_code == 204
    assert [one["Subject"] for one in await alerts(house)][1:] == ["Your new password is set"]


async def test_alert_tells_of_many_failures_once(open_house: OpenHouse) -> None:
    """Ten wrong passwords within an hour, from anywhere: one mail; nine, or a stranger's address: none."""
    async with open_house(limit_login="off") as house:
        await house.register()
        for number in range(25):
            for email in (ADA, "nobody@example.test"):
                caller = house.http(ip=f"198.51.100.{number}")
                body = {"email": email, "password": NEW}
                assert (await caller.post("/v1/native/login", json=body)).status_code == 401
            assert len(await alerts(house)) == int(number >= 9)
        [letter] = await alerts(house)
        assert letter["Subject"] == "Somebody tries your password"
        await house.native()


async def test_alert_bombing_is_capped(house: House) -> None:
    """Twelve new devices in an hour: five mails; all of them are in the activity."""
    await house.register()
    phone = await house.native()
    for _ in range(12):
        await house.native()
    assert len(await alerts(house)) == 5
    events = (await phone.get("/v1/me/activity")).json()["events"]
    assert [one["kind"] for one in events].count("session.started") == 13
    house.clock.move(3_600)
    await house.native()
    assert len(await alerts(house)) == 6


async def test_alert_links_come_from_the_public_url_alone(house: House) -> None:
    """A poisoned sign-in does not poison the mail about it."""
    await house.register()
    await house.native()
    headers = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "User-Agent": "https://evil.test/"}
    body = {"email": ADA, "password": PASSWORD, "device": {"name": "see http://evil.test now"}}
    assert (await house.http(headers=headers).post("/v1/native/login", json=body)).status_code in (200, 400)
    for letter in await alerts(house):
        assert "evil.test" not in letter.as_string()
        assert URL in letter.as_string()
