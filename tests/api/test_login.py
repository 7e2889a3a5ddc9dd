"""Signing in: what each door hands out, who gets in, and one row for one person or device however often they try."""

import asyncio
import itertools
from http.cookies import SimpleCookie
from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, hashing_held_up
from tests.waiting import until

ADA = "ada@example.test"
WRONG = "certainly not this one"
ACCOUNT = {"id", "email", "email_verified", "name", "roles", "created_at"}
SESSION = {
    *("id", "door", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "auth_methods", "current"),
    *("key_bound", "ended_at", "end_reason"),
}
SPA = {"access_token", "token_type", "expires_in", "account", "session"}
ANSWERS = {
    "native": SPA | {"refresh_token", "device_token"},
    "spa": SPA,
    "web": {"account", "session", "csrf_token"},
}
COOKIES = {
    "native": set(),
    "spa": {"__Host-coatcheck-refresh", "__Host-coatcheck-device"},
    "web": {"__Host-coatcheck-session", "__Host-coatcheck-device"},
}
DOORS = ["native", "spa", "web"]


async def sign_in(http: httpx2.AsyncClient, door: str, **more: Any) -> httpx2.Response:
    headers = {} if door == "native" else {"Origin": URL, "X-Coatcheck-Client": door}
    body = {"email": ADA, "password": PASSWORD} | more
    return await http.post(f"/v1/{door}/login", json=body, headers=headers)


def cookies_of(answer: httpx2.Response) -> SimpleCookie:
    found: SimpleCookie = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        found.load(line)
    return found


@pytest.mark.parametrize("door", DOORS)
async def test_login_answers_as_the_contract_says(house: House, door: str) -> None:
    """Each door answers its own fields, about the account and the session it has just begun."""
    account = await house.register(name="Ada")
    answer = await sign_in(house.http(), door)
    grant = answer.json()
    assert answer.status_code == 200
    assert set(grant) == ANSWERS[door]
    assert set(grant["account"]) == ACCOUNT
    assert set(grant["session"]) >= SESSION
    assert grant["account"] == account
    assert grant["session"]["current"] is True
    assert (grant["session"]["door"], grant["session"]["auth_methods"]) == (door, ["pwd"])
    assert (grant["session"]["ip"], grant["session"]["ended_at"]) == ("203.0.113.7", None)
    [event] = await house.audit("session.started")
    assert event["ip"] == "203.0.113.7"


@pytest.mark.parametrize("door", DOORS)
async def test_login_cookies_stay_on_this_host_and_out_of_scripts(house: House, door: str) -> None:
    """The browser doors set their two `__Host-` cookies, Secure, HttpOnly and Strict; the native door sets none."""
    await house.register()
    answer = await sign_in(house.http(), door)
    found = cookies_of(answer)
    assert set(found) == COOKIES[door]
    for name, cookie in found.items():
        assert cookie["secure"], name
        assert cookie["httponly"], name
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
        assert len(name) + len(cookie.value) <= 200
        assert cookie.value not in answer.text  # what is in a cookie is not in a body that scripts read


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_login_access_token_is_small(house: House, door: str) -> None:
    """An access token has 520 bytes at most, and its life is told beside it."""
    await house.register()
    grant = (await sign_in(house.http(), door)).json()
    assert len(grant["access_token"]) <= 520
    assert (grant["token_type"], grant["expires_in"]) == ("Bearer", 600)


async def test_native_login_neither_reads_nor_sets_cookies(house: House) -> None:
    """The native door knows nothing of a browser's device cookie: a login there is a new device."""
    await house.register()
    browser = house.http()
    await sign_in(browser, "spa")
    answer = await sign_in(browser, "native")
    assert "set-cookie" not in answer.headers
    assert len(await house.rows("SELECT id FROM device")) == 2


# -- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_login_with_a_wrong_password_is_refused(house: House, door: str) -> None:
    """A wrong password and an unknown address get one and the same answer, and leave no session behind."""
    await house.register()
    wrong = await sign_in(house.http(), door, password=WRONG)
    unknown = await sign_in(house.http(), door, email="nobody@example.test")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert (wrong.status_code, wrong.content, wrong.headers) == (unknown.status_code, unknown.content, unknown.headers)
    assert "set-cookie" not in wrong.headers
    assert await house.rows("SELECT id FROM session") == []
    assert len(await house.audit("login.failed")) == 2


async def test_login_of_a_failure_names_only_the_known_account(house: House) -> None:
    """A failed sign-in is written down under its account; an address nobody has is not written down at all."""
    account = await house.register()
    await sign_in(house.http(), "native", password=WRONG)
    await sign_in(house.http(ip="198.51.100.9"), "native", email="typed-my-password@example.test")
    known, unknown = await house.audit("login.failed")
    assert known["account_id"] is not None
    assert (known["ip"], unknown["ip"]) == ("203.0.113.7", "198.51.100.9")
    assert unknown["account_id"] is None
    assert "typed-my-password" not in str([known, unknown])
    assert account["email"] not in str([known, unknown])


async def test_login_takes_text_only(house: House) -> None:
    """An array, an object, a number or null for address or password is refused, not interpreted."""
    await house.register()
    wrong: list[object] = [["a@b.test", "c@d.test"], {"$ne": ""}, 12, None, True]
    for door, field, value in itertools.product(DOORS, ("email", "password"), wrong):
        answer = await sign_in(house.http(), door, **{field: value})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["errors"][0]["field"] == field
    assert await house.rows("SELECT id FROM session") == []


async def test_login_refuses_a_field_it_does_not_know(house: House) -> None:
    """Nobody signs in as an administrator by saying so."""
    await house.register()
    answer = await sign_in(house.http(), "native", roles=["admin"])
    assert answer.status_code == 422
    assert [error["code"] for error in answer.json()["errors"]] == ["unknown_field"]


# -- one living session a device and door ------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["spa", "web"])
async def test_login_again_at_the_same_door_replaces_the_session(house: House, door: str) -> None:
    """A second login in one browser through one door ends the first session there, as `replaced`."""
    await house.register()
    browser = house.http()
    first = (await sign_in(browser, door)).json()["session"]["id"]
    second = (await sign_in(browser, door)).json()["session"]["id"]
    phone = await house.native()
    listed = (await phone.get("/v1/devices?ended=true")).json()["devices"]
    sessions = {session["id"]: session for device in listed for session in device["sessions"]}
    assert sessions[first]["end_reason"] == "replaced"
    assert sessions[second]["ended_at"] is None
    assert len(await house.rows("SELECT id FROM device")) == 2  # the browser and the phone


async def test_login_replacing_a_session_refuses_its_tokens(house: House) -> None:
    """The replaced session's access and refresh token are refused at once; the new ones work."""
    await house.register()
    phone = await house.native()
    old_access, old_refresh = phone.access_token, phone.refresh_token
    await phone.login(ADA)
    refused = await phone.http.get("/v1/me", headers={"Authorization": f"Bearer {old_access}"})
    assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
    assert (await phone.refresh(old_refresh)).json()["code"] == "session_revoked"
    assert (await phone.get("/v1/me")).status_code == 200


async def test_login_at_another_door_lives_beside_the_first(house: House) -> None:
    """One browser signed in to the app and to the account pages is one device with two living sessions."""
    await house.register()
    browser = house.http()
    await sign_in(browser, "spa")
    await sign_in(browser, "web")
    living = await house.rows("SELECT door FROM session WHERE ended_at IS NULL ORDER BY door")
    assert [row["door"] for row in living] == ["spa", "web"]
    assert len(await house.rows("SELECT id FROM device")) == 1


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_logins_in_parallel_on_one_device_leave_one_session(house: House, door: str) -> None:
    """Simultaneous logins on one device all succeed, and leave one device row and one living session."""
    await house.register()
    client = house.http()
    first = await sign_in(client, door)
    device = {"device": {"token": first.json()["device_token"]}} if door == "native" else {}
    answers = await asyncio.gather(*(sign_in(client, door, **device) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(await house.rows("SELECT id FROM device")) == 1
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1
    assert len(await house.rows("SELECT id FROM session")) == 9
    assert {row["end_reason"] for row in await house.rows("SELECT * FROM session WHERE ended_at > 0")} == {"replaced"}


async def test_honest_logins_at_once_are_not_failures(open_house: OpenHouse) -> None:
    """However many passwords are hashed at once: right ones are never counted against the limit of wrong ones."""
    async with open_house(hash_workers=16) as house:
        await house.register()
        answers = await asyncio.gather(*(sign_in(house.http(), "native") for _ in range(16)))
        assert [answer.status_code for answer in answers] == [200] * 16


@pytest.mark.parametrize("change", ["auth_generation = auth_generation + 1", "disabled_at = 1"])
async def test_login_whose_account_changed_while_it_was_verified_is_refused(house: House, change: str) -> None:
    """The password was right when it was read, and is not, or the account is disabled, when the session would begin."""
    await house.register()
    with hashing_held_up(house):
        entering = asyncio.create_task(sign_in(house.http(), "native"))
        await until(lambda: house.desk.hasher.waiting == 1)
        await asyncio.sleep(0.1)  # it has read the account, and waits for a thread
        await house.rows(f"UPDATE account SET {change} RETURNING id")
    answer = await entering
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert await house.rows("SELECT id FROM session") == []


async def test_login_of_a_disabled_account_counts_as_a_failure(house: House) -> None:
    """Its right password is limited like a wrong one: the limit tells nobody that it fits."""
    await house.register()
    await house.rows("UPDATE account SET disabled_at = 1 RETURNING id")
    assert [(await sign_in(house.http(), "native")).status_code for _ in range(6)] == [401] * 5 + [429]
