"""Recovery codes: ten, shown once, each good once, hashed so that a dump is useless and a check costs one hash."""

import pytest

from coatcheck.factors import recovery_codes
from coatcheck.passwords import Turn
from tests.factors import enrol_app, enrol_passkey, pending, signed_in, verify
from tests.house import House


async def test_recovery_codes_come_with_the_first_factor_only(house: House) -> None:
    """Ten with the first, none with the second: the ones that a person printed stay good."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    assert len(set(app.codes)) == 10
    assert all(len(code) == 19 and code.count("-") == 3 for code in app.codes)
    _, more = await enrol_passkey(phone)
    assert more == []
    held = (await phone.get("/v1/me/factors")).json()
    assert (held["recovery_codes_left"], len(held["factors"])) == (10, 2)
    assert app.codes[0] not in str(held)


async def test_recovery_code_signs_in_once(house: House) -> None:
    """A code stands in for the app, once, however it is typed; the others stay good."""
    await house.register()
    app = await enrol_app(house, await house.native())
    typed = app.codes[3].upper().replace("-", " ").replace("1", "l").replace("0", "O")
    answer = await verify(house, await pending(house), "recovery_code", code=typed)
    assert answer.status_code == 200, answer.text
    assert answer.json()["session"]["auth_methods"] == ["pwd", "otp", "mfa"]
    assert (await verify(house, await pending(house), "recovery_code", code=app.codes[3])).status_code == 401
    assert (await verify(house, await pending(house), "recovery_code", code=app.codes[4])).status_code == 200
    assert [event["data"] for event in await house.audit("recovery_code.used")] == ['{"left": "9"}', '{"left": "8"}']


async def test_recovery_codes_made_anew_end_the_old_ones(house: House) -> None:
    """Ten new ones; of the old ones none is good, and the other sessions have ended."""
    await house.register()
    app = await enrol_app(house, await house.native())
    laptop = await signed_in(house, app)
    phone = await signed_in(house, app)
    fresh = (await phone.call("POST", "/v1/me/recovery-codes")).json()["recovery_codes"]
    assert len(set(fresh) | set(app.codes)) == 20
    assert (await laptop.get("/v1/me")).json()["reason"] == "factor_changed"
    assert (await verify(house, await pending(house), "recovery_code", code=app.codes[0])).status_code == 401
    assert (await verify(house, await pending(house), "recovery_code", code=fresh[0])).status_code == 200
    assert len(await house.audit("recovery_codes.made")) == 1


async def test_recovery_codes_want_a_factor(house: House) -> None:
    """Codes alone are no second factor: without one there are none to make."""
    await house.register()
    answer = await (await house.native()).call("POST", "/v1/me/recovery-codes")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_recovery_codes_are_hashed_like_passwords(house: House) -> None:
    """The rows hold Argon2 hashes with a salt each, and nothing of a code but which row it is."""
    await house.register()
    app = await enrol_app(house, await house.native())
    rows = await house.rows("SELECT slot, hash FROM recovery_code")
    assert all(row["hash"].startswith("$argon2id$") for row in rows)
    assert len({row["hash"] for row in rows}) == 10
    assert {row["slot"] for row in rows} == {code[0] for code in app.codes}


async def test_recovery_code_costs_one_hash_whether_it_exists_or_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking runs Argon2 once: for a good code, for a wrong one, and for one whose row is gone."""
    await house.register()
    app = await enrol_app(house, await house.native())
    runs: list[bool] = []
    verify_once = Turn.verify

    async def counted(self: Turn, password: str, hashed: str | None) -> tuple[bool, str | None]:
        runs.append(hashed is None)
        return await verify_once(self, password, hashed)

    [account] = await house.rows("SELECT id FROM account")
    monkeypatch.setattr(Turn, "verify", counted)
    wrong = app.codes[1][:-1] + ("0" if app.codes[1][-1] != "0" else "2")
    for code in (app.codes[0], wrong):
        await recovery_codes.matching(house.desk, account["id"], code)
    await house.rows("DELETE FROM recovery_code WHERE slot = $1", app.codes[2][0])
    assert await recovery_codes.matching(house.desk, account["id"], app.codes[2]) is None
    assert runs == [False, False, True]


def test_recovery_codes_have_75_bits_and_no_letter_that_looks_like_another() -> None:
    """A thousand sets: no code twice, every one of the 32 letters used, no i, l, o, u."""
    codes = {code for _ in range(1_000) for code in recovery_codes.new()}
    assert len(codes) == 10_000
    letters = {letter for code in codes for letter in code.replace("-", "")[1:]}
    assert letters == set("0123456789abcdefghjkmnpqrstvwxyz")
