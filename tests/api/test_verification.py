"""Whose is an address? A link and the password say so; a link alone gives nothing to anybody."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock, link_in

ADA = "ada@example.test"
MALLORYS = "five evil monkeys scheming"
OURS = "four wise monkeys dancing"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


@pytest_asyncio.fixture
async def strict(open_house: OpenHouse) -> AsyncIterator[House]:
    """Where addresses must be proved first."""
    async with open_house(require_verified_email=True) as house:
        yield house


async def register(house: House, password: str = PASSWORD, email: str = ADA, **more: Any) -> httpx2.Response:
    return await house.http().post("/v1/accounts", json={"email": email, "password": password} | more)


async def confirm(house: House, token: str, password: str = PASSWORD) -> httpx2.Response:
    body = {"token": token, "password": password}
    return await house.http().post("/v1/email-verification/confirm", json=body)


async def reset(house: House, new: str) -> None:
    assert (await house.http().post("/v1/password-reset", json={"email": ADA})).status_code == 202
    token = link_in((await house.mails(ADA))[-1], "/account/reset")
    body = {"token": token, "new_password": new}
    assert (await house.http().post("/v1/password-reset/confirm", json=body)).status_code == 204


async def login(house: House, password: str = PASSWORD, email: str = ADA) -> httpx2.Response:
    return await house.http().post("/v1/native/login", json={"email": email, "password": password})


async def verified(house: House) -> list[bool]:
    return [bool(row["email_verified"]) for row in await house.rows("SELECT email_verified FROM account")]


async def links(house: House) -> list[str]:
    """Tokens of all links to confirm an address, oldest first."""
    return [link_in(one, "/account/verify") for one in await house.mails() if one["Subject"] == "Confirm your address"]


# -- without the setting -----------------------------------------------------------------------------------------------


async def test_verification_is_by_link_and_password(house: House) -> None:
    """A mail follows registration; its link with the password confirms, signs in nobody and signs out nobody."""
    account = await house.register()
    assert account["email_verified"] is False
    phone = await house.native()
    [token] = await links(house)
    answer = await confirm(house, token)
    assert (answer.status_code, answer.content, "set-cookie" in answer.headers) == (204, b"", False)
    assert (await phone.get("/v1/me")).json()["email_verified"] is True
    assert (await phone.refresh()).status_code == 200
    assert len(await house.audit("email.verified")) == 1
    assert (await confirm(house, token)).json()["code"] == "link_invalid"


async def test_verification_wants_the_password(house: House) -> None:
    """A stranger's click confirms nothing; the link stays good for who knows the password; guesses are limited."""
    await house.register()
    [token] = await links(house)
    answer = await confirm(house, token, MALLORYS)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert await verified(house) == [False]
    assert (await confirm(house, token)).status_code == 204
    await house.register("eve@example.test")
    token = (await links(house))[-1]
    statuses = [(await confirm(house, token, MALLORYS)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_verification_is_sent_again(house: House) -> None:
    """The newest link counts; a confirmed address gets none; the mails are limited."""
    await house.register()
    phone = await house.native()
    assert (await phone.call("POST", "/v1/me/email-verification")).status_code == 202
    first, second = await links(house)
    assert (await confirm(house, first)).status_code == 410
    assert (await confirm(house, second)).status_code == 204
    statuses = [(await phone.call("POST", "/v1/me/email-verification")).status_code for _ in range(5)]
    assert statuses == [202] * 4 + [429]
    assert len(await links(house)) == 2


async def test_verification_link_dies_after_a_day(house: House) -> None:
    """And one of another address than the account's is worth nothing."""
    await house.register()
    [token] = await links(house)
    house.clock.move(86_400)
    assert (await confirm(house, token)).status_code == 410
    phone = await house.native()
    assert (await phone.call("POST", "/v1/me/email-verification")).status_code == 202
    token = (await links(house))[-1]
    await house.rows("UPDATE account SET email = 'new@example.test' RETURNING id")
    assert (await confirm(house, token)).status_code == 410


async def test_verification_first_proof_wipes_what_a_stranger_left(house: House) -> None:
    """Mallory registers Ada's address, signs in, adds a factor. Ada proves the mailbox: nothing of his is left."""
    await register(house, MALLORYS)
    mallory = await house.native(password=MALLORYS)
    await house.rows(
        "INSERT INTO factor (id, account_id, method, name, created_at) "
        "SELECT $1, id, 'totp', 'his', 1 FROM account RETURNING id",
        b"f" * 16,
    )
    await house.rows(
        "INSERT INTO recovery_code (account_id, slot, hash, made_at) SELECT id, 'a', 'x', 1 FROM account RETURNING slot"
    )
    assert (await register(house, OURS)).json()["code"] == "email_taken"
    await reset(house, OURS)
    assert (await mallory.refresh()).json()["code"] == "session_revoked"
    assert (await mallory.get("/v1/me")).json()["code"] == "session_revoked"
    assert await house.rows("SELECT id FROM factor") == await house.rows("SELECT slot FROM recovery_code") == []
    assert ((await login(house, MALLORYS)).status_code, (await login(house, OURS)).status_code) == (401, 200)
    assert await verified(house) == [True]


async def test_verification_later_proofs_keep_the_second_factor(house: House) -> None:
    """A proved account's factor survives a reset: the mailbox is never enough for what is behind it."""
    await house.register()
    assert (await confirm(house, (await links(house))[0])).status_code == 204
    await house.rows(
        "INSERT INTO factor (id, account_id, method, name, created_at) "
        "SELECT $1, id, 'totp', 'hers', 1 FROM account RETURNING id",
        b"f" * 16,
    )
    await reset(house, OURS)
    assert len(await house.rows("SELECT id FROM factor")) == 1
    assert (await login(house, OURS)).json()["code"] == "mfa_required"


# -- with it -----------------------------------------------------------------------------------------------------------


async def test_verification_required_registers_by_mail(strict: House) -> None:
    """202 and nothing more; the link with the password makes the account, which then signs in."""
    answer = await register(strict, name="Ada")
    assert (answer.status_code, answer.content) == (202, b"")
    assert await strict.rows("SELECT id FROM account") == []
    assert (await login(strict)).json()["code"] == "invalid_credentials"
    [token] = await links(strict)
    assert (await confirm(strict, token, MALLORYS)).status_code == 401
    assert (await confirm(strict, token)).status_code == 204
    account = (await login(strict)).json()["account"]
    assert (account["name"], account["email_verified"]) == ("Ada", True)
    assert len(await strict.audit("account.registered")) == 1


async def test_verification_required_answers_the_same_for_everybody(strict: House) -> None:
    """New, known, disabled: the same status, body and headers, the same rows; the mail tells the owner."""
    await register(strict)
    await confirm(strict, (await links(strict))[0])
    await strict.rows("UPDATE account SET disabled_at = 1 RETURNING id")
    await register(strict, email="eve@example.test")
    await confirm(strict, (await links(strict))[1])
    before, count = len(await strict.mails()), len(await strict.rows("SELECT id FROM audit_event"))
    answers = [await register(strict, email=email) for email in (ADA, "eve@example.test", "new@example.test")]
    assert len({(one.status_code, one.content, str(sorted(one.headers.items()))) for one in answers}) == 1
    letters = (await strict.mails())[before:]
    assert sorted((one["To"], one["Subject"]) for one in letters) == [
        ("eve@example.test", "You have an account already"),
        ("new@example.test", "Confirm your address"),
    ]
    assert len(await strict.rows("SELECT id FROM audit_event")) == count + 3
    assert len(await strict.rows("SELECT key FROM challenge WHERE purpose = 'register'")) == 3


async def test_verification_required_gives_each_link_its_own_password(strict: House) -> None:
    """Mallory registers Ada's address before, after and between: Ada's link makes Ada's account, and his are dead."""
    for password in (MALLORYS, OURS, MALLORYS):
        assert (await register(strict, password)).status_code == 202
    his, hers, also_his = await links(strict)
    assert (await confirm(strict, his, OURS)).status_code == 401
    assert (await confirm(strict, hers, OURS)).status_code == 204
    assert (await confirm(strict, also_his, MALLORYS)).status_code == 410
    assert ((await login(strict, MALLORYS)).status_code, (await login(strict, OURS)).status_code) == (401, 200)


async def test_verification_required_refuses_an_unproved_account(open_house: OpenHouse) -> None:
    """An account from before the setting: its password is refused like a wrong one; a mail brings the link."""
    async with open_house() as house:
        await house.register()
        assert len(await links(house)) == 1
    async with open_house(require_verified_email=True) as house:
        answers = [await login(house), await login(house, MALLORYS), await login(house, email="nobody@example.test")]
        assert len({(one.status_code, one.text, str(sorted(one.headers.items()))) for one in answers}) == 1
        assert answers[0].json()["code"] == "invalid_credentials"
        assert await house.rows("SELECT id FROM session") == []
        assert len(await links(house)) == 2
        assert (await confirm(house, (await links(house))[-1])).status_code == 204
        assert (await login(house)).status_code == 200


async def test_verification_required_takes_over_an_unproved_account(open_house: OpenHouse) -> None:
    """Mallory's account from before the setting, with a session that lives: Ada registers and proves; he is out."""
    async with open_house() as house:
        await register(house, MALLORYS)
        mallory = await house.native(password=MALLORYS)
    async with open_house(require_verified_email=True) as house:
        mallory.http = house.http()
        assert (await mallory.refresh()).status_code == 200
        await register(house, OURS)
        assert (await confirm(house, (await links(house))[-1], OURS)).status_code == 204
        assert (await mallory.refresh()).json()["code"] == "session_revoked"
        assert ((await login(house, MALLORYS)).status_code, (await login(house, OURS)).status_code) == (401, 200)


async def test_verification_links_take_few_guesses_from_everywhere(house: House) -> None:
    """Guesses at the link count together, wherever they come from, and are in the audit; sign-ins are counted apart."""
    await house.register()
    [token] = await links(house)
    answers = []
    for n in range(7):
        body = {"token": token, "password": "no password of theirs"}
        answers.append(await house.http(ip=f"198.18.{n}.1").post("/v1/email-verification/confirm", json=body))
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
    failed = await house.audit("login.failed")
    assert [json.loads(one["data"])["link"] for one in failed] == ["email.verify"] * 5
    assert (await login(house)).status_code == 200
    house.clock.move(300)
    assert (await confirm(house, token)).status_code == 204


async def test_verification_sign_in_guesses_hold_up_no_link(house: House) -> None:
    """While strangers guess at the sign-in from everywhere, the owner of the mailbox confirms the address."""
    await house.register()
    [token] = await links(house)
    for n in range(60):
        await house.http(ip=f"198.18.{n}.1").post("/v1/native/login", json={"email": ADA, "password": MALLORYS})
    assert (await login(house)).status_code == 429
    assert (await confirm(house, token)).status_code == 204
