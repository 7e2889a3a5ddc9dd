"""Passkeys as people use them: registered, named, listed, removed; by themselves and as the second factor."""

import pytest

from tests.authenticator import BE, BS, UP, UV, Authenticator, text
from tests.factors import ADA, enrol_app, enrol_passkey, options, passkey_sign_in, pending, verify
from tests.house import URL, House

DOORS = ["native", "spa", "web"]


async def test_passkey_registration_asks_for_what_we_mean(house: House) -> None:
    """Our domain, a random handle, no attestation, discoverable if it can; passkeys already held are excluded."""
    await house.register(name="Ada")
    phone = await house.native()
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()["public_key"]
    assert begun["rp"] == {"id": "coatcheck.test", "name": "coatcheck.test"}
    assert (begun["user"]["name"], begun["user"]["displayName"]) == (ADA, "Ada")
    [account] = await house.rows("SELECT id FROM account")
    assert begun["user"]["id"] == text(account["id"])
    assert begun["attestation"] == "none"
    assert begun["authenticatorSelection"] == {"residentKey": "preferred", "userVerification": "preferred"}
    assert begun["excludeCredentials"] == []
    passkey, _ = await enrol_passkey(phone)
    again = (await phone.call("POST", "/v1/me/passkeys/options")).json()["public_key"]
    assert [one["id"] for one in again["excludeCredentials"]] == [text(passkey.credential_id)]
    assert again["challenge"] != begun["challenge"]


@pytest.mark.parametrize("door", DOORS)
async def test_passkey_signs_in_by_itself(house: House, door: str) -> None:
    """With user verification it is both factors: no address, no password, no code."""
    await house.register()
    passkey, codes = await enrol_passkey(await house.native())
    assert len(codes) == 10
    answer = await passkey_sign_in(house, passkey, door)
    assert answer.status_code == 200, answer.text
    assert answer.json()["account"]["email"] == ADA
    assert answer.json()["session"]["auth_methods"] == ["hwk", "user", "mfa"]


async def test_passkey_sign_in_begins_without_a_body(house: House) -> None:
    """Nothing has to be said to begin with a passkey: no body and an empty one ask alike."""
    bodies: tuple[dict[str, str] | None, ...] = (None, {})
    for body in bodies:
        answer = await house.http().post("/v1/passkeys/options", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["public_key"]["allowCredentials"] == []


async def test_passkey_sign_in_is_begun_by_no_page_of_another_site(house: House) -> None:
    """A simple request from elsewhere is refused and not counted: no site uses up its visitors' challenges."""
    for _ in range(70):
        answer = await house.http().post("/v1/passkeys/options", headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert await house.rows("SELECT key FROM challenge") == []
    assert (await house.http().post("/v1/passkeys/options", headers={"Origin": URL})).status_code == 200


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("flags", [UP, UP | UV])
async def test_passkey_is_a_second_factor(house: House, door: str, flags: int) -> None:
    """After the password a passkey is enough, with user verification and without."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native(), Authenticator(flags=flags))
    token = await pending(house, door)
    challenge, public_key = await options(house, token)
    assert [one["id"] for one in public_key["allowCredentials"]] == [text(passkey.credential_id)]
    answer = await verify(house, challenge, "passkey", door, credential=passkey.get(public_key))
    assert answer.status_code == 200, answer.text
    assert answer.json()["session"]["auth_methods"] == ["pwd", "hwk", "user", "mfa"]


async def test_passkey_that_can_travel_says_so(house: House) -> None:
    """A synced passkey is `swk`, listed as synced, and its counter of nought stays good for ever."""
    await house.register()
    phone = await house.native()
    passkey, _ = await enrol_passkey(phone, Authenticator(flags=UP | UV | BE))
    for flags in (UP | UV | BE, UP | UV | BE | BS, UP | UV | BE):
        answer = await passkey_sign_in(house, passkey, flags=flags)
        assert answer.json()["session"]["auth_methods"] == ["swk", "user", "mfa"]
    [factor] = await house.rows("SELECT synced, backed_up, sign_count FROM factor")
    assert (bool(factor["synced"]), bool(factor["backed_up"]), factor["sign_count"]) == (True, False, 0)


async def test_passkey_is_named_listed_and_removed(house: House) -> None:
    """It carries the person's name for it; removed, it opens nothing, and with the last factor the codes go."""
    await house.register()
    phone = await house.native()
    passkey, codes = await enrol_passkey(phone)
    [listed] = (await phone.get("/v1/me/factors")).json()["factors"]
    assert (listed["method"], listed["name"], listed["synced"]) == ("passkey", "Passkey", False)
    renamed = await phone.call("PATCH", f"/v1/me/factors/{listed['id']}", json={"name": "Blue key"})
    assert renamed.json()["name"] == "Blue key"
    token = await pending(house)
    assert (await phone.call("DELETE", f"/v1/me/factors/{listed['id']}")).status_code == 204
    assert (await passkey_sign_in(house, passkey)).json()["code"] == "invalid_credentials"
    assert (await verify(house, token, "recovery_code", code=codes[0])).json()["code"] == "challenge_expired"
    held = (await phone.get("/v1/me/factors")).json()
    assert held == {"factors": [], "recovery_codes_left": 0, "recovery_codes_made_at": None}
    assert (await house.native()).access_token  # the password alone again
    assert len(await house.audit("factor.added")) == len(await house.audit("factor.removed")) == 1


async def test_passkey_beside_an_app_either_is_enough(house: House) -> None:
    """Who has both is offered both."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    passkey, _ = await enrol_passkey(phone)
    answer = await house.http().post("/v1/native/login", json={"email": ADA, "password": "three wise monkeys dancing"})
    assert answer.json()["methods"] == ["passkey", "totp", "recovery_code"]
    assert (await passkey_sign_in(house, passkey, token=answer.json()["challenge_token"])).status_code == 200
    assert (await verify(house, await pending(house), code=app.next_code())).status_code == 200


async def test_passkey_options_tell_nothing_of_any_account(house: House) -> None:
    """Before a password nobody is named: the same answer whoever exists, but for the challenge."""
    before = (await options(house))[1]
    await house.register()
    await enrol_passkey(await house.native())
    after = (await options(house))[1]
    assert before.pop("challenge") != after.pop("challenge")
    assert before == after
    assert after["allowCredentials"] == []
    assert after["userVerification"] == "required"
    answer = await house.http().post("/v1/passkeys/options", json={"email": ADA})
    assert answer.status_code == 422


async def test_passkey_challenges_are_long_and_unique(house: House) -> None:
    """32 random bytes each; the row has none of them in clear."""
    found = [await options(house) for _ in range(20)]
    assert len({public_key["challenge"] for _, public_key in found}) == 20
    assert {len(public_key["challenge"]) for _, public_key in found} == {43}
    data = b"".join(row["data"] for row in await house.rows("SELECT data FROM challenge"))
    assert not any(public_key["challenge"].encode() in data for _, public_key in found)


async def test_passkey_of_a_disabled_account_opens_nothing(house: House) -> None:
    """Disabled before or during the ceremony: no session."""
    from coatcheck import administration

    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    begun = await options(house)
    [account] = await house.rows("SELECT id FROM account")
    await administration.set_disabled(house.desk, account["id"], True, None)
    for challenge, public_key in (begun, await options(house)):
        answer = await verify(house, challenge, "passkey", credential=passkey.get(public_key))
        assert answer.status_code == 401
    await administration.set_disabled(house.desk, account["id"], False, None)
    assert (await passkey_sign_in(house, passkey)).status_code == 200


async def test_passkey_challenges_are_limited(house: House) -> None:
    """Anybody may ask for a challenge, but not for a flood of them; another address is not held up."""
    statuses = [(await house.http().post("/v1/passkeys/options", json={})).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    assert (await house.http(ip="198.51.100.9").post("/v1/passkeys/options", json={})).status_code == 200
