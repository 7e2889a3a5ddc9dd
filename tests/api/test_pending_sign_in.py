"""A pending sign-in is not a session: nothing is open before all factors are through, and it dies in time."""

import pytest

from tests.factors import OWN_PAGE, enrol_app, pending, sign_in, verify
from tests.house import PASSWORD, House

DOORS = ["native", "spa", "web"]
every_door = pytest.mark.parametrize("door", DOORS)


@every_door
async def test_pending_sign_in_asks_for_the_second_factor(house: House, door: str) -> None:
    """The right password of an account with a factor: 401 with a challenge, no token, no cookie, no new session."""
    await house.register()
    await enrol_app(house, await house.native())
    sessions = await house.rows("SELECT id FROM session")
    answer = await sign_in(house, door)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (401, "mfa_required")
    assert told["methods"] == ["totp", "recovery_code"]
    assert set(told) == {"type", "title", "status", "code", "detail", "challenge_token", "methods"}
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert await house.rows("SELECT id FROM session") == sessions


@every_door
async def test_pending_sign_in_ends_in_the_doors_own_answer(house: House, door: str) -> None:
    """The honest twin: the right code gives what the door gives, and the session says how it was proved."""
    await house.register()
    app = await enrol_app(house, await house.native())
    http = house.http()
    token = await pending(house, door, http=http)
    answer = await verify(house, token, door=door, http=http, code=app.next_code())
    assert answer.status_code == 200, answer.text
    assert answer.json()["session"]["auth_methods"] == ["pwd", "otp", "mfa"]
    assert answer.json()["session"]["door"] == door
    expected = {"native": [], "spa": ["device", "refresh"], "web": ["device", "session"]}[door]
    assert sorted(cookie.removeprefix("__Host-coatcheck-") for cookie in http.cookies) == expected
    assert ("refresh_token" in answer.json()) is (door == "native")


async def test_pending_sign_in_opens_no_other_route(house: House) -> None:
    """Its token is nothing where a credential is wanted: bearer, cookie, refresh, revoke, reauthenticate."""
    await house.register()
    app = await enrol_app(house, await house.native())
    token, http = await pending(house), house.http()
    for path in ("/v1/me", "/v1/devices", "/v1/me/factors", "/v1/events", "/v1/sessions/current"):
        answer = await http.get(path, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid"), path
    for path in ("/v1/me/factors/totp", "/v1/me/passkeys/options", "/v1/me/recovery-codes"):
        assert (await http.post(path, headers={"Authorization": f"Bearer {token}"})).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": token}
    assert (await http.post("/oauth/token", data=form)).json()["code"] == "token_invalid"
    for cookie, path in (("session", "/v1/web/session"), ("refresh", "/v1/spa/refresh")):
        headers = OWN_PAGE["spa"] | {"Cookie": f"__Host-coatcheck-{cookie}={token}"}
        assert (await http.request("GET" if cookie == "session" else "POST", path, headers=headers)).status_code == 401
    assert (await verify(house, token, code=app.next_code())).status_code == 200


async def test_pending_sign_in_is_bound_to_its_door(house: House) -> None:
    """What began at one door goes on at no other, and is not spent by the try."""
    await house.register()
    app = await enrol_app(house, await house.native())
    token = await pending(house, "spa")
    for door in ("native", "web"):
        answer = await verify(house, token, door=door, code=app.next_code())
        assert (answer.status_code, answer.json()["code"]) == (401, "challenge_expired")
    assert (await verify(house, token, door="spa", code=app.next_code())).status_code == 200


async def test_pending_sign_in_is_over_once_used(house: House) -> None:
    """Its token gives one session; a second code on it gives nothing."""
    await house.register()
    app = await enrol_app(house, await house.native())
    token = await pending(house)
    assert (await verify(house, token, code=app.next_code())).status_code == 200
    again = await verify(house, token, code=app.next_code())
    assert (again.status_code, again.json()["code"]) == (401, "challenge_expired")


async def test_pending_sign_in_dies_after_ten_minutes(house: House) -> None:
    """Nine minutes are enough to find the phone; eleven are too many."""
    await house.register()
    app = await enrol_app(house, await house.native())
    early, late = await pending(house), await pending(house)
    house.clock.move(9 * 60)
    assert (await verify(house, early, code=app.next_code())).status_code == 200
    house.clock.move(2 * 60)
    answer = await verify(house, late, code=app.next_code())
    assert (answer.status_code, answer.json()["code"]) == (401, "challenge_expired")


async def test_pending_sign_in_dies_after_five_wrong_codes(house: House) -> None:
    """Four wrong codes are forgiven; after the fifth not even the right one counts, whatever time passes."""
    await house.register()
    app = await enrol_app(house, await house.native())
    token = await pending(house)
    for _ in range(5):
        house.clock.move(31)
        answer = await verify(house, token, code="000000")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    house.clock.move(31)
    answer = await verify(house, token, code=app.code())
    assert (answer.status_code, answer.json()["code"]) == (401, "challenge_expired")
    assert len(await house.audit("factor.failed")) == 5
    fresh = await pending(house)
    assert (await verify(house, fresh, code=app.next_code())).status_code == 200


async def test_pending_sign_in_dies_when_the_password_changes(house: House) -> None:
    """Who began with the old password does not get in by it afterwards."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    token = await pending(house)
    body = {"current_password": PASSWORD, "new_password": "seven wise owls reading"}
    assert (await phone.call("POST", "/v1/me/password", json=body)).status_code == 204
    answer = await verify(house, token, code=app.next_code())
    assert (answer.status_code, answer.json()["code"]) == (401, "challenge_expired")


async def test_pending_sign_in_dies_when_the_account_is_disabled(house: House) -> None:
    """Disabled meanwhile: no session, and enabling it again revives nothing that was pending."""
    from coatcheck import administration

    await house.register()
    app = await enrol_app(house, await house.native())
    token, other = await pending(house), await pending(house)
    [account] = await house.rows("SELECT id FROM account")
    await administration.set_disabled(house.desk, account["id"], True, None)
    assert (await verify(house, token, code=app.next_code())).json()["code"] == "challenge_expired"
    await administration.set_disabled(house.desk, account["id"], False, None)
    assert (await verify(house, other, code=app.next_code())).json()["code"] == "challenge_expired"
    assert (await verify(house, await pending(house), code=app.next_code())).status_code == 200


async def test_pending_sign_in_keeps_the_device(house: House) -> None:
    """A known device is known after the second step too: one row, and its older session is replaced."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    token = await pending(house, device={"token": phone.device_token, "name": "Ada's phone"})
    answer = await verify(house, token, code=app.next_code())
    assert answer.json()["device_token"] == phone.device_token
    assert [row["name"] for row in await house.rows("SELECT name FROM device")] == ["Ada's phone"]
    ended = await house.rows("SELECT end_reason FROM session WHERE ended_at IS NOT NULL")
    assert [row["end_reason"] for row in ended] == ["replaced"]


@pytest.mark.parametrize("door", ["spa", "web"])
async def test_pending_sign_in_goes_on_from_our_own_pages_only(house: House, door: str) -> None:
    """The second step needs the same proof of origin as the first (login CSRF)."""
    await house.register()
    app = await enrol_app(house, await house.native())
    body = {"challenge_token": await pending(house, door), "method": "totp", "code": app.next_code()}
    for headers in ({}, OWN_PAGE[door] | {"Origin": "https://evil.test"}, {"Origin": OWN_PAGE[door]["Origin"]}):
        answer = await house.http().post(f"/v1/{door}/login/verify", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert (await verify(house, body["challenge_token"], door=door, code=body["code"])).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"method": "totp"},
        {"method": "totp", "credential": {}},
        {"method": "totp", "code": 123456},
        {"method": "totp", "code": "1" * 65},
        {"method": "totp", "code": "123456", "credential": {}},
        {"method": "passkey", "code": "123456"},
        {"method": "passkey", "credential": "x"},
        {"method": "sms", "code": "123456"},
        {"method": "totp", "code": "123456", "account_id": "acc_x"},
        {"code": "123456"},
    ],
)
async def test_pending_sign_in_refuses_what_is_no_answer(house: House, body: dict[str, object]) -> None:
    """Neither none nor two answers, no other method, no other type, no other field: 422."""
    answer = await house.http().post("/v1/native/login/verify", json={"challenge_token": "cct_c_x"} | body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_pending_sign_in_tells_nothing_of_unknown_tokens(house: House) -> None:
    """Made up, of another kind, or empty: `challenge_expired`, and nothing is written."""
    await house.register()
    phone = await house.native()
    for token in ("x", "cct_c_" + "A" * 43, phone.refresh_token[:128], phone.device_token):
        answer = await verify(house, token, code="123456")
        assert (answer.status_code, answer.json()["code"]) == (401, "challenge_expired")
    assert await house.audit("factor.failed") == []
