"""Making an account: one person, one address, however it is spelt and however many try at once."""

import asyncio
import unicodedata
from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock

ADA = "ada@example.test"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


async def register(house: House, email: object = ADA, **more: Any) -> httpx2.Response:
    body = {"email": email, "password": PASSWORD} | more
    return await house.http().post("/v1/accounts", json=body)


async def test_register_answers_the_account(house: House) -> None:
    """A new account is answered 201 with the contract's fields, and one row and one event are written."""
    answer = await register(house, name="Ada")
    account = answer.json()
    assert answer.status_code == 201
    assert set(account) == {"id", "email", "email_verified", "name", "roles", "created_at"}
    assert account["id"].startswith("acc_")
    assert (account["email"], account["name"], account["roles"]) == (ADA, "Ada", [])
    assert account["email_verified"] is False
    assert "set-cookie" not in answer.headers
    [row] = await house.rows("SELECT * FROM account")
    assert row["password_hash"].startswith("$argon2id$")
    [event] = await house.audit("account.registered")
    assert (event["account_id"], event["ip"]) == (row["id"], "203.0.113.7")


async def test_register_does_not_sign_in(house: House) -> None:
    """Registering leaves no device and no session; the person then signs in."""
    await register(house)
    assert await house.rows("SELECT id FROM session") == []
    assert await house.rows("SELECT id FROM device") == []
    assert (await (await house.native()).get("/v1/me")).status_code == 200


async def test_register_of_a_taken_address_is_refused(house: House) -> None:
    """An address that has an account is refused with `email_taken`, and the account is left as it was."""
    await register(house, name="Ada")
    answer = await register(house, password="another fine long password", name="Mallory")
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    [row] = await house.rows("SELECT name FROM account")
    assert row["name"] == "Ada"
    await house.native()  # the first password still fits


async def test_register_in_parallel_makes_one_account(house: House) -> None:
    """Of ten simultaneous registrations of one address one wins, and the others are told it is taken."""
    answers = await asyncio.gather(*(register(house) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"email_taken"}
    assert len(await house.rows("SELECT id FROM account")) == 1
    assert len(await house.audit("account.registered")) == 1


SPELLINGS = [
    ("Ada.Lovelace@Example.TEST", "ada.lovelace@example.test"),
    (unicodedata.normalize("NFD", "zoé@example.test"), "zoé@example.test"),
    ("CHLOÉ@example.test", "chloé@example.test"),
    ("ada@BÜCHER.test", "ada@xn--bcher-kva.test"),
    ("straße@example.test", "strasse@example.test"),
    ("\u212aelvin@example.test", "kelvin@example.test"),  # the Kelvin sign
]


async def test_register_keeps_one_form_of_an_address(open_house: OpenHouse) -> None:
    """Case, composed or decomposed letters and IDNA spellings of an address are one account; each of them opens it."""
    async with open_house(limit_register="off") as house:
        for typed, stored in SPELLINGS:
            assert (await register(house, typed)).json()["email"] == stored
            assert (await register(house, stored)).json()["code"] == "email_taken"
            await house.native(typed)
            await house.native(stored)
        stored_forms = {row["email"] for row in await house.rows("SELECT email FROM account")}
        assert stored_forms == {stored for _, stored in SPELLINGS}


async def test_register_tells_dotless_i_from_i(house: House) -> None:
    """A letter that only looks alike is another address: it neither opens the account nor is taken for it."""
    await register(house, "ida@example.test")
    assert (await register(house, "\u0131da@example.test")).status_code == 201
    assert len(await house.rows("SELECT id FROM account")) == 2


REFUSED = [
    *("Ada <ada@example.test>", "ada@example.test, mallory@example.test", "ada@example.test\r\nBcc: m@example.test"),
    *("ada\uff20example.test", "ada@example\uff0etest\u3002", "ada", "@example.test", "ada@", "ada@@example.test"),
    *("ada@exa mple.test", "ada@" + "a" * 240 + ".test", "ada\0@example.test"),
    *("\u202eada@example.test", "ada@example..test", "ada@-example.test", ""),
]


async def test_register_refuses_what_is_no_plain_address(house: House) -> None:
    """A display name, a list, a fullwidth `@`, control characters and the like are refused and not echoed."""
    for typed in REFUSED:
        answer = await register(house, typed)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), typed
        assert [error["field"] for error in answer.json()["errors"]] == ["email"]
        assert "mple" not in answer.text
    assert await house.rows("SELECT id FROM account") == []


async def test_register_takes_text_for_an_address(house: House) -> None:
    """An array, an object or a number for an address is refused, not interpreted."""
    wrong: list[object] = [[ADA, "mallory@example.test"], {"$ne": ""}, 12, None, True, 1.5]
    for typed in wrong:
        answer = await register(house, typed)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), typed
    assert await house.rows("SELECT id FROM account") == []


async def test_register_refuses_fields_it_does_not_know(house: House) -> None:
    """Nobody gives himself a role, a verified address or an id."""
    for field in ("roles", "email_verified", "id", "disabled_at", "Email"):
        answer = await register(house, **{field: ["admin"]})
        assert answer.status_code == 422
        assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, "unknown_field")]
    assert await house.rows("SELECT id FROM account") == []


async def test_register_is_limited_per_address(open_house: OpenHouse) -> None:
    """Registrations from one network address are limited; others, and the next window, are not affected."""
    async with open_house(limit_register="3/hour") as house:
        statuses = [(await register(house, f"p{n}@example.test")).status_code for n in range(4)]
        assert statuses == [201, 201, 201, 429]
        elsewhere = house.http(ip="198.51.100.1")
        body = {"email": "e@example.test", "password": PASSWORD}
        assert (await elsewhere.post("/v1/accounts", json=body)).status_code == 201
        refused = await register(house, "q@example.test")
        assert refused.json()["code"] == "rate_limited"
        house.clock.move(int(refused.headers["retry-after"]))
        assert (await register(house, "q@example.test")).status_code == 201
        assert len(await house.rows("SELECT id FROM account")) == 5
