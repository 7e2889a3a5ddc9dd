"""Adding and removing factors: after a fresh proof with a factor one has, and whoever was in by less is out."""

import asyncio
from typing import Any

import httpx2
import pytest

from coatcheck.factors import holdings
from tests.authenticator import UP, UV, Authenticator
from tests.factors import App, enrol_app, enrol_passkey, options, passkey_sign_in, pending, signed_in, verify
from tests.house import PASSWORD, House, NativeClient, hashing_held_up
from tests.waiting import until

STALE = 301


async def reauthenticate(client: NativeClient, **body: Any) -> httpx2.Response:
    """A step of the step-up; a fresh access token is kept."""
    answer = await client.call("POST", "/v1/me/reauthenticate", json=body)
    if answer.status_code == 200:
        client.access_token = answer.json()["access_token"]
    return answer


async def step_up(client: NativeClient) -> str:
    """The challenge after the right password."""
    answer = await reauthenticate(client, password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (401, "mfa_required"), answer.text
    return str(answer.json()["challenge_token"])


async def account_with_app(house: House) -> tuple[NativeClient, App]:
    """Ada with an app, whose sign-in has grown stale."""
    await house.register()
    app = await enrol_app(house, await house.native())
    phone = await signed_in(house, app)
    house.clock.move(STALE)
    return phone, app


CHANGES = [
    ("POST", "/v1/me/factors/totp"),
    ("POST", "/v1/me/passkeys/options"),
    ("POST", "/v1/me/recovery-codes"),
    ("DELETE", "/v1/me/factors/{id}"),
]


@pytest.mark.parametrize("method, path", CHANGES)
async def test_factor_change_wants_a_fresh_proof_with_the_factor(house: House, method: str, path: str) -> None:
    """Stale: refused. The password alone gives a challenge, not a proof. With the code it is done."""
    phone, app = await account_with_app(house)
    path = path.format(id=app.id)
    refused = await phone.call(method, path)
    assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_required")
    token = await step_up(phone)
    assert (await phone.call(method, path)).json()["code"] == "reauthentication_required"
    proved = await reauthenticate(phone, challenge_token=token, method="totp", code=app.next_code())
    assert proved.status_code == 200, proved.text
    assert (await phone.call(method, path)).status_code in (200, 201, 204)
    [event] = await house.audit("step_up.proved")
    assert event["data"] == '{"methods": "pwd otp mfa"}'


async def test_factor_step_up_by_a_passkey_that_verifies_its_user_needs_no_password(house: House) -> None:
    """Both factors in one; without user verification it is not enough by itself, after the password it is."""
    await house.register()
    phone = await house.native()
    passkey, _ = await enrol_passkey(phone)
    for flags, after_password, status in ((UP | UV, False, 200), (UP, False, 401), (UP, True, 200)):
        house.clock.move(STALE)
        await phone.refresh()
        challenge, public_key = await options(house, await step_up(phone) if after_password else None)
        credential = passkey.get(public_key, flags=flags)
        answer = await reauthenticate(phone, challenge_token=challenge, method="passkey", credential=credential)
        assert answer.status_code == status
    told = (await phone.get("/v1/sessions/current")).json()
    assert told["auth_methods"] == ["pwd", "hwk", "user", "mfa"]


async def test_factor_step_up_is_bound_to_its_session(house: House) -> None:
    """Begun in one session, it makes no other fresh; a sign-in's challenge is no step-up, and the other way round."""
    phone, app = await account_with_app(house)
    laptop = await signed_in(house, app)
    token = await step_up(phone)
    answer = await reauthenticate(laptop, challenge_token=token, method="totp", code=app.next_code())
    assert answer.json()["code"] == "challenge_expired"
    assert (await verify(house, token, code=app.code())).json()["code"] == "challenge_expired"
    begun = await pending(house)
    answer = await reauthenticate(phone, challenge_token=begun, method="totp", code=app.code())
    assert answer.json()["code"] == "challenge_expired"
    assert (await reauthenticate(phone, challenge_token=token, method="totp", code=app.code())).status_code == 200


async def test_factor_step_up_with_somebody_elses_passkey_is_refused(house: House) -> None:
    """Eve's good passkey does not make Ada's session fresh."""
    phone, _ = await account_with_app(house)
    await house.register("eve@example.test")
    eve, _ = await enrol_passkey(await house.native("eve@example.test"))
    challenge, public_key = await options(house)
    body = {"challenge_token": challenge, "method": "passkey", "credential": eve.get(public_key)}
    assert (await reauthenticate(phone, **body)).json()["code"] == "invalid_credentials"
    assert (await phone.call("POST", "/v1/me/recovery-codes")).json()["code"] == "reauthentication_required"


async def test_factor_step_up_code_is_spent(house: House) -> None:
    """The code of a step-up signs nobody in afterwards."""
    phone, app = await account_with_app(house)
    code = app.next_code()
    proved = await reauthenticate(phone, challenge_token=await step_up(phone), method="totp", code=code)
    assert proved.status_code == 200
    assert (await verify(house, await pending(house), code=code)).status_code == 401


@pytest.mark.parametrize("change", ["add an app", "add a passkey", "remove", "new codes"])
async def test_factor_change_ends_the_others_and_what_is_pending(house: House, change: str) -> None:
    """The caller stays; every other session has ended, and a sign-in that was half-way is over."""
    await house.register()
    app = await enrol_app(house, await house.native())
    phone, laptop = await signed_in(house, app), await signed_in(house, app)
    token = await pending(house)
    if change == "add an app":
        await enrol_app(house, phone)
    elif change == "add a passkey":
        await enrol_passkey(phone)
    elif change == "remove":
        assert (await phone.call("DELETE", f"/v1/me/factors/{app.id}")).status_code == 204
    else:
        app.codes = (await phone.call("POST", "/v1/me/recovery-codes")).json()["recovery_codes"]
    assert (await phone.get("/v1/me")).status_code == 200
    refused = await laptop.refresh()
    assert refused.json()["code"] == "session_revoked"
    assert (await laptop.get("/v1/me")).json()["reason"] == "factor_changed"
    if change != "remove":
        assert (await verify(house, token, "recovery_code", code=app.codes[0])).json()["code"] == "challenge_expired"


async def test_factor_rename_needs_no_proof_and_ends_nothing(house: House) -> None:
    """A name is only a name."""
    phone, app = await account_with_app(house)
    laptop = await signed_in(house, app)
    answer = await phone.call("PATCH", f"/v1/me/factors/{app.id}", json={"name": "Old phone"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Old phone")
    assert (await laptop.get("/v1/me")).status_code == 200


async def test_factor_of_somebody_else_does_not_exist(house: House) -> None:
    """Rename and removal of another's, of a missing one and of no id at all: 404, unchanged."""
    _, app = await account_with_app(house)
    await house.register("eve@example.test")
    eve = await house.native("eve@example.test")
    for factor_id in (app.id, "fac_AAAAAAAAAAAAAAAAAAAAAA", "x", eve.session_id):
        for method, body in (("PATCH", {"name": "Mine"}), ("DELETE", None)):
            answer = await eve.call(method, f"/v1/me/factors/{factor_id}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    [row] = await house.rows("SELECT name FROM factor")
    assert row["name"] == "Authenticator app"


async def test_factors_removed_at_once_leave_no_codes_behind(house: House) -> None:
    """Both last factors removed in parallel: nothing is left, recovery codes neither."""
    await house.register()
    phone = await house.native()
    await enrol_app(house, phone)
    await enrol_passkey(phone)
    held = (await phone.get("/v1/me/factors")).json()["factors"]
    answers = await asyncio.gather(*(phone.call("DELETE", f"/v1/me/factors/{one['id']}") for one in held * 3))
    assert sorted(answer.status_code for answer in answers) == [204, 204, 404, 404, 404, 404]
    assert await house.rows("SELECT * FROM factor") == await house.rows("SELECT * FROM recovery_code") == []
    assert (await house.native()).access_token


async def test_factors_first_two_added_at_once_bring_one_set_of_codes(house: House) -> None:
    """Two first factors confirmed in parallel: one is added with its codes, the other has to begin again."""
    await house.register()
    phone = await house.native()
    begun = [(await phone.call("POST", "/v1/me/passkeys/options")).json() for _ in range(2)]
    bodies = [
        {"challenge_token": one["challenge_token"], "credential": Authenticator().create(one["public_key"])}
        for one in begun
    ]
    answers = await asyncio.gather(*(phone.call("POST", "/v1/me/passkeys", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(await house.rows("SELECT id FROM factor")) == 1
    assert len(await house.rows("SELECT slot FROM recovery_code")) == 10


async def test_factor_change_by_a_session_that_ended_meanwhile_is_refused(house: House) -> None:
    """Signed out while it was adding: nothing is added."""
    await house.register()
    phone, laptop = await house.native(), await house.spa()
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    body = {"challenge_token": begun["challenge_token"], "credential": Authenticator().create(begun["public_key"])}
    ended, added = await asyncio.gather(
        laptop.call("DELETE", f"/v1/sessions/{phone.session_id}"), phone.call("POST", "/v1/me/passkeys", json=body)
    )
    assert ended.status_code == 204 or (await laptop.get("/v1/me")).json()["reason"] == "factor_changed"
    assert (added.status_code == 201) is (len(await house.rows("SELECT id FROM factor")) == 1)
    assert {added.status_code} <= {201, 401}


@pytest.mark.parametrize("change", ["add an app", "add a passkey", "new codes"])
async def test_factor_change_of_a_session_signed_out_while_it_waits_is_undone(house: House, change: str) -> None:
    """Authenticated, and then signed out while its recovery codes are being hashed: nothing has changed."""
    await house.register()
    phone, laptop = await house.native(), await house.spa()
    if change == "new codes":
        app = await enrol_app(house, phone)
        laptop.access_token = (await signed_in(house, app)).access_token
    before = await house.rows("SELECT hash FROM recovery_code ORDER BY slot")
    body: dict[str, Any]
    if change == "add an app":
        begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
        path, body = "/v1/me/factors/totp/confirm", {"code": App(house, begun["secret"]).code()}
    elif change == "add a passkey":
        begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
        path, body = "/v1/me/passkeys", {"credential": Authenticator().create(begun["public_key"])}
    else:
        begun, path, body = {}, "/v1/me/recovery-codes", {}
    if begun:
        body["challenge_token"] = begun["challenge_token"]
    factors = await house.rows("SELECT id FROM factor")
    with hashing_held_up(house):
        waiting = asyncio.create_task(phone.call("POST", path, **({"json": body} if body else {})))
        await until(lambda: house.desk.hasher.waiting == 1)
        assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert await house.rows("SELECT id FROM factor") == factors
    assert await house.rows("SELECT hash FROM recovery_code ORDER BY slot") == before
    assert (await laptop.get("/v1/me")).status_code == 200


@pytest.mark.parametrize("method", ["totp", "passkey"])
async def test_factor_enrolment_dies_when_the_password_changes(house: House, method: str) -> None:
    """Begun under the old password, in the very session that changes it, it adds nothing afterwards: whoever has a copy
    of the session's token and the old password keeps no factor."""
    await house.register()
    phone = await house.native()
    body: dict[str, Any]
    if method == "totp":
        begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
        path, body = "/v1/me/factors/totp/confirm", {"code": App(house, begun["secret"]).code()}
    else:
        begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
        path, body = "/v1/me/passkeys", {"credential": Authenticator().create(begun["public_key"])}
    change = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
    assert (await phone.call("POST", "/v1/me/password", json=change)).status_code == 204
    answer = await phone.call("POST", path, json=body | {"challenge_token": begun["challenge_token"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await house.rows("SELECT id FROM factor") == await house.rows("SELECT slot FROM recovery_code") == []
    assert (await phone.get("/v1/me")).status_code == 200


async def test_factors_go_with_the_account(house: House) -> None:
    """A closed account leaves no seed, passkey or code behind, and its passkey opens nothing."""
    await house.register()
    phone = await house.native()
    await enrol_app(house, phone)
    passkey, _ = await enrol_passkey(phone)
    assert (await phone.call("DELETE", "/v1/me")).status_code == 204
    for table in ("factor", "recovery_code", "guess"):
        assert await house.rows(f"SELECT * FROM {table}") == []
    assert (await passkey_sign_in(house, passkey)).status_code == 401


async def test_factors_taken_away_by_the_operator_let_the_password_in_again(house: House) -> None:
    """For somebody who lost everything: no factor, code or session is left, and what was pending is over."""
    phone, app = await account_with_app(house)
    token = await pending(house)
    [account] = await house.rows("SELECT id FROM account")
    assert await holdings.clear(house.desk, account["id"]) == 2
    assert (await phone.get("/v1/me")).status_code == 401
    assert (await verify(house, token, "recovery_code", code=app.codes[0])).status_code == 401
    assert await house.rows("SELECT * FROM factor") == await house.rows("SELECT * FROM recovery_code") == []
    assert len(await house.audit("factor.removed")) == 1
    assert (await house.native()).access_token


async def test_factors_of_an_account_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the most that an account may have, one more is a conflict, and nothing is added."""
    monkeypatch.setattr(holdings, "MOST", 1)
    await house.register()
    phone = await signed_in(house, await enrol_app(house, await house.native()))
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    body = {"challenge_token": begun["challenge_token"], "credential": Authenticator().create(begun["public_key"])}
    answer = await phone.call("POST", "/v1/me/passkeys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(await house.rows("SELECT id FROM factor")) == 1
