"""Guessing a code: a few tries, then ever longer waits, whatever the guesser restarts; the owner gets in meanwhile."""

import asyncio

import httpx2
import pytest

from coatcheck.errors import RateLimited
from coatcheck.factors import guesses
from tests.conftest import OpenHouse
from tests.factors import enrol_app, enrol_passkey, passkey_sign_in, pending, signed_in, verify
from tests.house import PASSWORD, House, NativeClient, SpaClient, WebClient

LIMITED = 429


def address(number: int) -> str:
    return f"198.51.{number // 250}.{number % 250 + 1}"


@pytest.mark.parametrize("method", ["totp", "recovery_code"])
async def test_factor_guesses_over_addresses_and_restarted_sign_ins_wait(house: House, method: str) -> None:
    """A new sign-in and another address for every guess: four are looked at, then none until the wait is over."""
    await house.register()
    await enrol_app(house, await house.native())
    code = "000000" if method == "totp" else "0000-0000-0000-0000"
    said = []
    for number in range(12):
        http = house.http(ip=address(number))
        said.append(await verify(house, await pending(house, http=http), method, http=http, code=code))
    assert [answer.status_code for answer in said] == [401] * 5 + [LIMITED] * 7
    assert all(1 <= int(answer.headers["retry-after"]) <= 30 for answer in said[5:])
    assert len(await house.audit("factor.failed")) == 5
    house.clock.move(30)
    assert (await verify(house, await pending(house), method, code=code)).status_code == 401
    assert int((await verify(house, await pending(house), method, code=code)).headers["retry-after"]) > 30


async def test_factor_guesses_a_thousand_never_get_through(open_house: OpenHouse) -> None:
    """Each guess as soon as it is allowed: the waits grow to an hour, from the hundredth to a day, and never end in
    a lock. A thousand guesses take more than two years."""
    async with open_house() as house:
        await house.register()
        [account] = await house.rows("SELECT id FROM account")
        began, tried, waits = house.clock.moved, 0, set()
        while tried < 1_000:
            try:
                await guesses.count(house.desk, account["id"], "totp", None)
                tried += 1
            except RateLimited as limited:
                waits.add(limited.retry_after)
                house.clock.move(limited.retry_after or 0)
        assert max(wait or 0 for wait in waits) == 86_400
        assert {30, 60, 120, 240, 480, 960, 1_920, 3_600, 86_400} <= waits
        assert (house.clock.moved - began) / 86_400_000 > 2 * 365


async def test_factor_guesses_in_a_burst_do_not_overtake_their_count(house: House) -> None:
    """Sixty at once on sixty sign-ins: five are looked at."""
    await house.register()
    await enrol_app(house, await house.native())
    tokens = [await pending(house) for _ in range(60)]
    answers = await asyncio.gather(*(verify(house, token, code="000000") for token in tokens))
    said = [answer.status_code for answer in answers]
    assert said.count(401) == 5
    assert set(said) == {401, LIMITED}
    assert len(await house.audit("factor.failed")) == 5


async def test_factor_guesses_that_are_free_wait_for_no_clock(house: House) -> None:
    """Of two at the same moment the one whose moment is a little earlier may be counted later: it is no guesser's."""
    await house.register()
    [account] = await house.rows("SELECT id FROM account")
    for _ in range(5):
        await guesses.count(house.desk, account["id"], "totp", None)
        house.clock.move(-1)
    with pytest.raises(RateLimited):
        await guesses.count(house.desk, account["id"], "totp", None)


async def test_factor_guesses_keep_no_owner_out(house: House) -> None:
    """While strangers wait, the owner comes in from a device she uses, by passkey, or with a recovery code."""
    await house.register()
    first = await house.native()
    app = await enrol_app(house, first)
    passkey, _ = await enrol_passkey(first)
    phone = await signed_in(house, app)
    for _ in range(8):
        await verify(house, await pending(house), code="000000")
    house.clock.move(30)
    await verify(house, await pending(house), code="000000")
    refused = await verify(house, await pending(house), code=app.next_code())
    assert refused.status_code == LIMITED
    known = await pending(house, device={"token": phone.device_token})
    assert (await verify(house, known, code=app.code())).status_code == 200
    assert (await passkey_sign_in(house, passkey)).status_code == 200
    assert (await passkey_sign_in(house, passkey, token=await pending(house))).status_code == 200
    assert (await verify(house, await pending(house), "recovery_code", code=app.codes[0])).status_code == 200
    assert (await phone.call("POST", "/v1/me/reauthenticate", json={"password": "x"})).status_code == 401


@pytest.mark.parametrize("door", ["native", "spa", "web"])
async def test_factor_guesses_hold_up_no_step_up_of_the_owner(house: House, door: str) -> None:
    """While strangers wait, a session goes on to prove itself with a code: its device counts for itself, whether or not
    its secret is sent along. Wrong codes there are that device's own, and nobody else waits for them."""
    await house.register()
    phone = await house.native()
    app = await enrol_app(house, phone)
    clients: dict[str, NativeClient | SpaClient | WebClient] = {"native": phone}
    for browser in (SpaClient(house.http()), WebClient(house.http())):
        place = "spa" if isinstance(browser, SpaClient) else "web"
        token = await pending(house, place, http=browser.http)
        told = (await verify(house, token, door=place, http=browser.http, code=app.next_code())).json()
        browser.grant, clients[place] = told, browser
        if isinstance(browser, SpaClient):
            browser.access_token = told["access_token"]
        else:
            browser.csrf_token = told["csrf_token"]
    for wait in (0, 0, 0, 0, 30, 60, 120):
        house.clock.move(wait)
        assert (await verify(house, await pending(house), code="000000")).status_code == 401
    assert (await verify(house, await pending(house), code=app.next_code())).status_code == LIMITED
    answer = await step_up(clients[door], app.next_code())
    assert answer.status_code == 200, answer.text
    said = [(await step_up(clients["native"], "000000")).status_code for _ in range(6)]
    assert said == [401] * 5 + [LIMITED]
    assert (await step_up(clients["spa"], app.next_code())).status_code == 200


async def step_up(client: NativeClient | SpaClient | WebClient, code: str) -> httpx2.Response:
    """Password, then code, from a session."""
    first = await client.call("POST", "/v1/me/reauthenticate", json={"password": PASSWORD})
    assert first.json()["code"] == "mfa_required", first.text
    body = {"challenge_token": first.json()["challenge_token"], "method": "totp", "code": code}
    answer = await client.call("POST", "/v1/me/reauthenticate", json=body)
    if isinstance(client, WebClient):
        client.csrf_token = answer.json().get("csrf_token", client.csrf_token)
    return answer


async def test_factor_guesses_are_cleared_by_a_right_code_only(house: House) -> None:
    """Neither the password nor a passkey clears the count; the right code does, for its own kind of device alone."""
    await house.register()
    first = await house.native()
    app = await enrol_app(house, first)
    passkey, _ = await enrol_passkey(first)
    phone = await signed_in(house, app)
    for _ in range(4):
        await verify(house, await pending(house), code="000000")
    known = await pending(house, device={"token": phone.device_token})
    assert (await verify(house, known, code=app.next_code())).status_code == 200
    assert (await passkey_sign_in(house, passkey)).status_code == 200
    assert [row["failures"] for row in await house.rows("SELECT failures FROM guess")] == [4]
    assert (await verify(house, await pending(house), code=app.next_code())).status_code == 200
    assert await house.rows("SELECT failures FROM guess") == []


async def test_factor_guesses_of_one_account_hold_up_no_other(house: House) -> None:
    """The count is the account's own."""
    await house.register()
    await house.register("eve@example.test")
    await enrol_app(house, await house.native())
    eve = await enrol_app(house, await house.native("eve@example.test"))
    for _ in range(6):
        await verify(house, await pending(house), code="000000")
    house.clock.move(30)
    await verify(house, await pending(house), code="000000")  # now to wait for a minute
    answer = await verify(house, await pending(house, email="eve@example.test"), code=eve.next_code())
    assert answer.status_code == 200


async def test_factor_guesses_are_forgotten_after_a_month(house: House) -> None:
    """Thirty quiet days, and a typing error counts as the first."""
    await house.register()
    app = await enrol_app(house, await house.native())
    for _ in range(5):
        await verify(house, await pending(house), code="000000")
    house.clock.move(31 * 86_400)
    assert (await verify(house, await pending(house), code="000000")).status_code == 401
    assert (await verify(house, await pending(house), code=app.next_code())).status_code == 200
