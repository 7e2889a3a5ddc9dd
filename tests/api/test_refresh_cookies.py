"""The spa door's cookie: set again at every success, deleted by logout alone, never by a refusal that may be late."""

import asyncio

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import House, SpaClient

NAME = "__Host-coatcheck-refresh"


async def _late(house: House, cookie: str | None) -> httpx2.Response:
    """A refresh whose request left with `cookie`, whatever the jar holds by now."""
    headers = SpaClient.OWN_PAGE | {"Cookie": f"{NAME}={cookie}"}
    return await house.http().post("/v1/spa/refresh", headers=headers)


def _set(answer: httpx2.Response) -> str | None:
    """The refresh cookie's value that an answer sets; "" for one that deletes it, None for one that leaves it."""
    lines = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{NAME}=")]
    if not lines:
        return None
    assert len(lines) == 1
    value = lines[0].partition("=")[2].partition(";")[0].strip('"')
    attributes = {part.strip().lower() for part in lines[0].split(";")[1:]}
    assert {"path=/", "secure", "httponly", "samesite=strict"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)
    assert ("max-age=0" in attributes) == (value == "")
    return value


async def _signed_in(house: House) -> SpaClient:
    await house.register()
    return await house.spa()


async def test_refresh_cookie_is_set_at_every_success(house: House) -> None:
    """A rotation sets the new cookie, and a repeat sets the very same one again."""
    browser = await _signed_in(house)
    old = browser.cookie
    rotated = _set(await browser.refresh())
    assert rotated not in (None, "", old)
    assert _set(await _late(house, old)) == rotated
    assert browser.cookie == rotated
    assert (await browser.get("/v1/me")).status_code == 200


async def test_refresh_cookie_of_a_lost_race_is_never_deleted(house: House) -> None:
    """Twenty tabs refresh at once: each answer sets the same cookie, so the order they arrive in does not matter."""
    browser = await _signed_in(house)
    answers = await asyncio.gather(*(_late(house, browser.cookie) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    (cookie,) = {_set(answer) for answer in answers}
    assert (await _late(house, cookie)).status_code == 200


async def test_refresh_cookie_of_a_dead_session_is_harmless(house: House) -> None:
    """A refresh refused because the session is dead leaves the cookie, and is refused the same way ever after."""
    browser = await _signed_in(house)
    laptop = await house.native()
    await laptop.call("DELETE", f"/v1/sessions/{browser.session_id}")
    answer = await browser.refresh()
    assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert "WWW-Authenticate" in answer.headers
    assert _set(answer) is None
    assert (await browser.refresh()).json()["code"] == "session_revoked"
    assert len(await house.audit("refresh.refused")) == 1


async def test_refresh_cookie_of_an_expired_session_is_harmless(house: House) -> None:
    """A refresh refused because the session has run out leaves the cookie."""
    browser = await _signed_in(house)
    house.clock.move(31 * 86_400)
    answer = await _late(house, browser.cookie)
    assert (answer.json()["code"], _set(answer)) == ("session_expired", None)


async def test_refresh_cookie_reused_ends_the_session(house: House) -> None:
    """A stolen cookie presented too late is `token_reused`, and the owner's newest is revoked."""
    browser = await _signed_in(house)
    stolen = browser.cookie
    await browser.refresh()
    await browser.get("/v1/me")
    house.clock.move(61)
    answer = await _late(house, stolen)
    assert (answer.status_code, answer.json()["code"], _set(answer)) == (401, "token_reused", None)
    assert (await browser.refresh()).json()["code"] == "session_revoked"
    assert len(await house.audit("token.reused")) == 1


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({"Cookie": f"{NAME}=nonsense"}, 401, "token_invalid"),
        ({"Cookie": f"{NAME}="}, 401, "unauthenticated"),
        ({"Cookie": f"{NAME}=one; {NAME}=two"}, 400, "malformed_request"),
        ({"Origin": "https://attacker.test"}, 403, "csrf_failed"),
        ({"X-Coatcheck-Client": "web"}, 403, "csrf_failed"),
    ],
)
async def test_refresh_cookie_survives_other_refusals(
    house: House, headers: dict[str, str], status: int, code: str
) -> None:
    """A refusal that says nothing of the session's end leaves the cookie alone."""
    browser = await _signed_in(house)
    sent = browser.OWN_PAGE | {"Cookie": f"{NAME}={browser.cookie}"} | headers
    answer = await house.http().post("/v1/spa/refresh", headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert _set(answer) is None
    assert (await browser.refresh()).status_code == 200


async def test_refresh_cookie_survives_a_limit(open_house: OpenHouse) -> None:
    """Too many refreshes leave the cookie alone, and it works again after the wait."""
    async with open_house(limit_refresh="2/minute") as house:
        browser = await _signed_in(house)
        answer = [await browser.refresh() for _ in range(5)][-1]
        assert (answer.status_code, _set(answer)) == (429, None)
        house.clock.move(int(answer.headers["Retry-After"]))
        assert (await browser.refresh()).status_code == 200


async def test_refresh_cookie_of_a_newer_session_is_left_alone(house: House) -> None:
    """A late answer to an old tab does not take away the cookie of the session this browser has begun since."""
    browser = await _signed_in(house)
    old = browser.cookie
    await browser.login("ada@example.test")
    answer = await _late(house, old)
    assert (answer.status_code, answer.json()["code"], _set(answer)) == (401, "session_revoked", None)
    assert (await browser.refresh()).status_code == 200


async def test_refresh_cookie_of_another_accounts_session_is_left_alone(house: House) -> None:
    """A late answer to an old tab does not sign out the other person who has signed in on this browser since."""
    browser = await _signed_in(house)
    await house.register("bob@example.test")
    old = browser.cookie
    laptop = await house.native()
    await laptop.call("DELETE", f"/v1/sessions/{browser.session_id}")
    await browser.login("bob@example.test")
    answer = await _late(house, old)
    assert (answer.status_code, answer.json()["code"], _set(answer)) == (401, "session_revoked", None)
    assert (await browser.refresh()).status_code == 200


async def test_refresh_cookie_after_logout_is_dead(house: House) -> None:
    """Logout deletes the cookie in every case, and a refresh that left before it gets nothing afterwards."""
    browser = await _signed_in(house)
    first = browser.cookie
    await browser.refresh()
    newest = browser.cookie
    for _ in range(2):
        answer = await browser.post("/v1/spa/logout")
        assert (answer.status_code, _set(answer)) == (204, "")
    for cookie in (first, newest):
        answer = await _late(house, cookie)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
        assert _set(answer) in ("", None)


async def test_refresh_cookie_is_short_and_never_in_the_body(house: House) -> None:
    """The cookie has 200 bytes at most, name included, and its value stands in no body."""
    browser = await _signed_in(house)
    answer = await browser.refresh()
    assert browser.cookie is not None
    assert len(NAME) + 1 + len(browser.cookie) <= 200
    assert browser.cookie not in answer.text
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "account", "session"}
    assert answer.headers["Cache-Control"] == "no-store"
