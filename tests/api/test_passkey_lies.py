"""An authenticator, or the page before it, that lies: each lie refused, the honest answer beside it taken."""

import json
from typing import Any

import pytest

from tests.authenticator import BE, BS, UP, UV, Authenticator, raw, text
from tests.conftest import OpenHouse
from tests.factors import enrol_passkey, options, passkey_sign_in, pending, verify
from tests.house import URL, House

ORIGINS = [
    "https://evil.test",
    "https://coatcheck.test.evil.test",
    "https://evilcoatcheck.test",
    "https://sub.coatcheck.test",
    "http://coatcheck.test",
    "https://coatcheck.test:444",
    "https://COATCHECK.test",
    "https://coatcheck.test.",
    "https://coatcheck.test/",
    "android:apk-key-hash:abc",
    "null",
    "",
]
LIES: dict[str, dict[str, Any]] = {
    **{f"origin {origin}": {"origin": origin} for origin in ORIGINS},
    "another site's rp id": {"rp_id": "evil.test"},
    "a parent's rp id": {"rp_id": "test"},
    "another challenge": {"challenge": text(bytes(32))},
    "no challenge": {"challenge": ""},
    "framed by another site": {"crossOrigin": True},
    "framed, with the top's origin": {"topOrigin": "https://evil.test"},
    "the other ceremony": {"type": "webauthn.create"},
    "a payment": {"type": "payment.get"},
    "nobody there": {"flags": UV},
    "flags of nothing": {"flags": 0},
    "backed up but not eligible": {"flags": UP | UV | BS},
    "became eligible for backup": {"flags": UP | UV | BE},
    "a signature of nothing": {"signature": b""},
    "a signature of zeroes": {"signature": bytes.fromhex("3006020100020100")},
    "another client data than was signed": {"shown": b'{"type":"webauthn.get"}'},
    "no client data": {"shown": b""},
    "client data that is a list": {"shown": b"[]"},
    "short authenticator data": {"auth_data": b"x"},
    "another account's handle": {"user_handle": bytes(16)},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_passkey_lie_signs_nobody_in(house: House, lie: dict[str, Any]) -> None:
    """Refused by itself and as second factor, written down, no session; the truth afterwards is taken."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    sessions = await house.rows("SELECT id FROM session")
    for token in (None, await pending(house)):
        answer = await passkey_sign_in(house, passkey, token=token, **lie)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert await house.rows("SELECT id FROM session") == sessions
    assert len(await house.audit("factor.failed")) == 2
    assert (await passkey_sign_in(house, passkey)).status_code == 200


async def test_passkey_without_user_verification_is_one_factor(house: House) -> None:
    """UV=0: by itself it signs nobody in; after the password it does."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    alone = await passkey_sign_in(house, passkey, flags=UP)
    assert (alone.status_code, alone.json()["code"]) == (401, "invalid_credentials")
    assert (await passkey_sign_in(house, passkey, token=await pending(house), flags=UP)).status_code == 200


async def test_passkey_without_a_handle_does_not_begin_a_sign_in(house: House) -> None:
    """Who begins with a passkey must say whose it is; as a second factor it need not."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    assert (await passkey_sign_in(house, passkey, user_handle=None)).status_code == 401
    assert (await passkey_sign_in(house, passkey, token=await pending(house), user_handle=None)).status_code == 200


@pytest.mark.parametrize("eligible, status", [(0, 401), (BE, 200)])
async def test_passkey_counter_that_stands_still_is_a_copy(house: House, eligible: int, status: int) -> None:
    """A device's own counter must rise; a synced passkey's means nothing and bricks nobody. It may always go on."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native(), Authenticator(flags=UP | UV | eligible, counter=5))
    assert (await passkey_sign_in(house, passkey, counter=9)).status_code == 200
    for copied in (9, 8, 0):
        assert (await passkey_sign_in(house, passkey, counter=copied)).status_code == status
    assert (await passkey_sign_in(house, passkey, counter=10)).status_code == 200
    [factor] = await house.rows("SELECT sign_count FROM factor")
    assert factor["sign_count"] == 10


async def test_passkey_of_somebody_else_is_no_second_factor(house: House) -> None:
    """Eve's passkey, also under Ada's handle or credential id, does not finish Ada's sign-in."""
    await house.register()
    await house.register("eve@example.test")
    ada, _ = await enrol_passkey(await house.native())
    eve, _ = await enrol_passkey(await house.native("eve@example.test"))
    assert (await passkey_sign_in(house, eve, token=await pending(house))).status_code == 401
    assert (
        await passkey_sign_in(house, eve, token=await pending(house), user_handle=ada.user_handle)
    ).status_code == 401
    eve.credential_id = ada.credential_id
    assert (await passkey_sign_in(house, eve, user_handle=ada.user_handle)).status_code == 401
    assert (await passkey_sign_in(house, ada, token=await pending(house))).status_code == 200


async def test_passkey_challenge_is_gone_when_it_was_read(house: House) -> None:
    """A refused answer spends it as well: what was signed is never looked at twice, nor by another tab."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    challenge, public_key = await options(house)
    assert (await verify(house, challenge, "passkey", credential=passkey.get(public_key, flags=0))).status_code == 401
    again = await verify(house, challenge, "passkey", credential=passkey.get(public_key))
    assert (again.status_code, again.json()["code"]) == (401, "challenge_expired")


async def test_passkey_answer_to_another_challenge_is_refused(house: House) -> None:
    """Signed for one challenge, sent with another's token: refused, whoever was meant."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    (_, first), (second, _) = await options(house), await options(house)
    assert (await verify(house, second, "passkey", credential=passkey.get(first))).status_code == 401


async def test_passkey_challenge_expires(house: House) -> None:
    """Four minutes are enough, six are not."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    for minutes, status in ((4, 200), (6, 401)):
        challenge, public_key = await options(house)
        house.clock.move(60 * minutes)
        assert (await verify(house, challenge, "passkey", credential=passkey.get(public_key))).status_code == status


async def test_passkey_challenge_of_one_ceremony_is_none_of_the_other(house: House) -> None:
    """A registration's challenge signs nobody in, a sign-in's registers nothing, and a pending token is neither."""
    await house.register()
    phone = await house.native()
    passkey, _ = await enrol_passkey(phone)
    new = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    got = passkey.get({"rpId": "coatcheck.test", "challenge": new["public_key"]["challenge"]})
    assert (await verify(house, new["challenge_token"], "passkey", credential=got)).json()[
        "code"
    ] == "challenge_expired"
    challenge, public_key = await options(house)
    asked = new["public_key"] | {"challenge": public_key["challenge"]}
    body = {"challenge_token": challenge, "credential": Authenticator().create(asked)}
    assert (await phone.call("POST", "/v1/me/passkeys", json=body)).json()["code"] == "conflict"
    token = await pending(house)
    assert (await verify(house, token, "passkey", credential=got)).json()["code"] == "challenge_expired"


REGISTRATION_LIES: dict[str, dict[str, Any]] = {
    **{f"origin {origin}": {"origin": origin} for origin in ORIGINS[:6]},
    "another rp id": {"rp_id": "evil.test"},
    "another challenge": {"challenge": text(bytes(32))},
    "the other ceremony": {"type": "webauthn.get"},
    "framed": {"crossOrigin": True},
    "nobody there": {"flags": 0},
    "backed up but not eligible": {"flags": UP | BS},
    "junk attestation": {"fmt": "packed", "statement": {"alg": -7, "sig": b"x", "x5c": [b"junk"]}},
    "unknown attestation": {"fmt": "mine"},
    "none, with a statement": {"statement": {"alg": -7}},
}


@pytest.mark.parametrize("lie", REGISTRATION_LIES.values(), ids=REGISTRATION_LIES)
async def test_passkey_lie_registers_nothing(house: House, lie: dict[str, Any]) -> None:
    """422, no factor, no ended session; the truth afterwards is taken."""
    await house.register()
    phone, laptop = await house.native(), await house.spa()
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    credential = Authenticator().create(begun["public_key"], **lie)
    body = {"challenge_token": begun["challenge_token"], "credential": credential}
    answer = await phone.call("POST", "/v1/me/passkeys", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "not_accepted")
    assert await house.rows("SELECT id FROM factor") == []
    assert (await laptop.get("/v1/me")).status_code == 200
    assert (await phone.call("POST", "/v1/me/passkeys", json=body)).json()["code"] == "conflict"  # spent
    await enrol_passkey(phone)


@pytest.mark.parametrize(
    "passkey",
    [
        Authenticator(algorithm=-65535),
        Authenticator(credential_id=b"short"),
        Authenticator(credential_id=bytes(1024)),
    ],
    ids=["an algorithm that was not offered", "a short id", "a huge id"],
)
async def test_passkey_of_a_strange_kind_is_not_registered(house: House, passkey: Authenticator) -> None:
    """An algorithm nobody asked for, and ids that no authenticator makes."""
    await house.register()
    phone = await house.native()
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    body = {"challenge_token": begun["challenge_token"], "credential": passkey.create(begun["public_key"])}
    assert (await phone.call("POST", "/v1/me/passkeys", json=body)).status_code == 422


async def test_passkey_belongs_to_one_account(house: House) -> None:
    """Somebody else's credential id can't be registered again, by anybody; its owner is not disturbed."""
    await house.register()
    await house.register("eve@example.test")
    phone, eve = await house.native(), await house.native("eve@example.test")
    passkey, _ = await enrol_passkey(phone)
    for client in (eve, phone):
        begun = (await client.call("POST", "/v1/me/passkeys/options")).json()
        copy = Authenticator(credential_id=passkey.credential_id)
        body = {"challenge_token": begun["challenge_token"], "credential": copy.create(begun["public_key"])}
        answer = await client.call("POST", "/v1/me/passkeys", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(await house.rows("SELECT id FROM factor")) == 1
    assert (await passkey_sign_in(house, passkey)).status_code == 200


async def test_passkey_registration_belongs_to_its_session(house: House) -> None:
    """Begun in one session, it is finished in no other, nor by another account."""
    await house.register()
    await house.register("eve@example.test")
    phone, laptop, eve = await house.native(), await house.spa(), await house.native("eve@example.test")
    for other in (laptop, eve):
        begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
        body = {"challenge_token": begun["challenge_token"], "credential": Authenticator().create(begun["public_key"])}
        assert (await other.call("POST", "/v1/me/passkeys", json=body)).json()["code"] == "conflict"
    assert await house.rows("SELECT id FROM factor") == []


JUNK: list[Any] = [
    {},
    {"id": 1},
    {"id": "x"},
    {"id": "\ud800"},
    {"id": "é", "response": []},
    {"id": "AAAA", "response": {}},
    {"id": "A" * 43, "rawId": "A" * 43, "type": "public-key", "response": {"clientDataJSON": "!!!"}},
    {"id": "A" * 43, "rawId": ["x"], "type": "public-key", "response": None},
    {"__proto__": {"id": "x"}},
]


@pytest.mark.parametrize("credential", JUNK, ids=range(len(JUNK)))
async def test_passkey_junk_is_refused_not_an_error(house: House, credential: Any) -> None:
    """Whatever is sent as a credential: 401 at sign-in, 422 at registration, never 500."""
    await house.register()
    phone = await house.native()
    token = (await options(house))[0]
    body = json.dumps({"challenge_token": token, "method": "passkey", "credential": credential})
    answer = await house.http().post(
        "/v1/native/login/verify", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 401, answer.text
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    body = json.dumps({"challenge_token": begun["challenge_token"], "credential": credential})
    answer = await phone.call("POST", "/v1/me/passkeys", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text


async def test_passkey_padded_ids_are_not_the_same(house: House) -> None:
    """One credential has one spelling: padding and spare bits are refused."""
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    known = text(passkey.credential_id)
    for spelt in (known + "=", known[:-1] + chr(ord(known[-1]) + 1)):
        challenge, public_key = await options(house)
        credential = passkey.get(public_key) | {"id": spelt}
        assert (await verify(house, challenge, "passkey", credential=credential)).status_code == 401
    assert raw(text(passkey.credential_id)) == passkey.credential_id


async def test_passkey_origins_are_those_of_the_same_site(open_house: OpenHouse) -> None:
    """An allowed origin under the passkeys' domain may ask; an allowed one elsewhere may not."""
    sister, stranger = "https://app.example.test", "https://elsewhere.test"
    settings: dict[str, Any] = {"public_url": "https://api.example.test", "passkey_domain": "example.test"}
    async with open_house(allowed_origins=[sister, stranger], **settings) as house:
        await house.register()
        passkey, _ = await enrol_passkey(await house.native(), Authenticator(origin=sister))
        assert (await passkey_sign_in(house, passkey)).status_code == 200
        for origin in (stranger, URL, "https://example.test"):
            assert (await passkey_sign_in(house, passkey, origin=origin)).status_code == 401
