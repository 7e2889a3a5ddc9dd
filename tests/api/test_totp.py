"""Authenticator apps: a step counts once, nobody's clock but ours counts, and the seed is nowhere in clear."""

from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from coatcheck.factors import totp
from tests.factors import App, enrol_app, pending, verify
from tests.house import House


async def test_totp_enrolment_shows_the_seed_as_text_link_and_picture(house: House) -> None:
    """The link says who and where, escaped; the picture is inert; nothing is a factor before a code proves it."""
    await house.register("a+b@example.test", name="Ada")
    phone = await house.native("a+b@example.test")
    begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
    link = urlsplit(begun["uri"])
    assert (link.scheme, link.netloc, unquote(link.path)) == ("otpauth", "totp", "/coatcheck.test:a+b@example.test")
    assert "+" not in link.path  # escaped: an app would read it as a space
    assert parse_qs(link.query) == {"secret": [begun["secret"]], "issuer": ["coatcheck.test"]}
    assert len(begun["secret"]) == 32  # 160 bits in base32
    assert begun["qr_svg"].startswith("<svg ")
    for bad in ("<script", "style=", "href", "<?xml"):
        assert bad not in begun["qr_svg"]
    assert (await phone.get("/v1/me/factors")).json()["factors"] == []
    assert (await house.native("a+b@example.test")).access_token


async def test_totp_enrolment_wants_a_right_code(house: House) -> None:
    """A wrong code is 422 and leaves the enrolment open; five of them end it; no factor is made."""
    await house.register()
    phone = await house.native()
    begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
    app = App(house, begun["secret"])
    body = {"challenge_token": begun["challenge_token"], "code": "000000"}
    for _ in range(5):
        answer = await phone.call("POST", "/v1/me/factors/totp/confirm", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "wrong_code")
    answer = await phone.call("POST", "/v1/me/factors/totp/confirm", json=body | {"code": app.code()})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await house.rows("SELECT id FROM factor") == []


async def test_totp_enrolment_belongs_to_its_session(house: House) -> None:
    """Another session of the account, or another account, can't confirm it."""
    await house.register()
    await house.register("eve@example.test")
    phone, laptop, eve = await house.native(), await house.spa(), await house.native("eve@example.test")
    begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
    body = {"challenge_token": begun["challenge_token"], "code": App(house, begun["secret"]).code()}
    for other in (laptop, eve):
        answer = await other.call("POST", "/v1/me/factors/totp/confirm", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await phone.call("POST", "/v1/me/factors/totp/confirm", json=body)).status_code == 201


async def test_totp_code_of_the_enrolment_signs_nobody_in(house: House) -> None:
    """The code that proved the app is spent; the next one is good."""
    await house.register()
    app = await enrol_app(house, await house.native())
    token, used = await pending(house), app.code()
    assert (await verify(house, token, code=used)).json()["code"] == "invalid_credentials"
    assert (await verify(house, token, code=app.next_code())).status_code == 200


@pytest.mark.parametrize("steps, status", [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
async def test_totp_tolerates_one_step(house: House, steps: int, status: int) -> None:
    """A phone half a minute off is forgiven; one a minute off is not."""
    await house.register()
    app = await enrol_app(house, await house.native())
    house.clock.move(120)
    assert (await verify(house, await pending(house), code=app.code(steps))).status_code == status


async def test_totp_step_counts_once(house: House) -> None:
    """A code used once is dead, on another sign-in too, and so is every earlier one; a later one is good."""
    await house.register()
    app = await enrol_app(house, await house.native())
    house.clock.move(90)
    assert (await verify(house, await pending(house), code=app.code())).status_code == 200
    for steps in (0, -1):
        answer = await verify(house, await pending(house), code=app.code(steps))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert (await verify(house, await pending(house), code=app.code(1))).status_code == 200


async def test_totp_forgives_spaces_and_other_digits(house: House) -> None:
    """`123 456` and fullwidth digits are the same code, and are spent with it."""
    await house.register()
    app = await enrol_app(house, await house.native())
    code = app.next_code()
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    assert (await verify(house, await pending(house), code=f" {wide[:3]} {wide[3:]} ")).status_code == 200
    assert (await verify(house, await pending(house), code=code)).status_code == 401


@pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "-12345", "1e5", "12345\u0000", "½¼¾123", " ", "٣٣٣"])
def test_totp_reads_six_digits_and_nothing_else(code: str) -> None:
    """What is not six digits is no code."""
    assert totp.step(pyotp.random_base32(), code, 1_700_000_000_000) is None


async def test_totp_seed_is_wrapped_and_bound_to_its_row(house: House) -> None:
    """The database holds no seed in clear, and a seed moved to another row opens nothing."""
    await house.register()
    await house.register("eve@example.test")
    ada = await enrol_app(house, await house.native())
    eve = await enrol_app(house, await house.native("eve@example.test"))
    rows = await house.rows("SELECT id, seed FROM factor")
    assert all(seed.encode() not in row["seed"] for row in rows for seed in (ada.seed, eve.seed))
    await house.rows(
        "UPDATE factor SET seed = (SELECT seed FROM factor WHERE id = $1) WHERE id = $2", *(row["id"] for row in rows)
    )
    codes = {app.seed: app.next_code() for app in (ada, eve)}
    for email in ("ada@example.test", "eve@example.test"):
        answers = [await verify(house, await pending(house, email=email), code=code) for code in codes.values()]
        assert [answer.status_code for answer in answers].count(200) <= 1
    assert len(await house.rows("SELECT id FROM session WHERE auth_methods LIKE '%otp%'")) == 1


async def test_totp_of_somebody_else_is_no_factor(house: House) -> None:
    """Eve's code does not finish Ada's sign-in."""
    await house.register()
    await house.register("eve@example.test")
    ada = await enrol_app(house, await house.native())
    eve = await enrol_app(house, await house.native("eve@example.test"))
    token = await pending(house)
    house.clock.move(30)
    assert (await verify(house, token, code=eve.code())).status_code == 401
    assert (await verify(house, token, code=ada.code())).status_code == 200
