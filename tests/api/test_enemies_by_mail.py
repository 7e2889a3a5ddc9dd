"""What a thief tries with addresses and links: to keep what an undo takes back, and to fill a stranger's mailbox."""

import pytest

from tests.factors import enrol_passkey, passkey_sign_in
from tests.house import PASSWORD, House, MovableClock, NativeClient, link_in

ADA, EVE = "ada@example.test", "eve@evil.test"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


async def newest(house: House, to: str, path: str) -> str:
    """The token of the newest link to a page, in one person's mails."""
    return link_in([one for one in await house.mails(to) if path in one.as_string()][-1], path)


async def moved_away(house: House, thief: NativeClient) -> str:
    """The account's address becomes the thief's; the token of the link that undoes it."""
    assert (await thief.call("POST", "/v1/me/email", json={"email": EVE})).status_code == 202
    body = {"token": await newest(house, EVE, "/account/email/confirm"), "password": PASSWORD}
    assert (await house.http().post("/v1/email-change/confirm", json=body)).status_code == 204
    return await newest(house, ADA, "/account/email/undo")


async def undo(house: House, token: str) -> int:
    return (await house.http().post("/v1/email-change/undo", json={"token": token})).status_code


async def test_undo_is_not_kept_off_by_an_account_on_the_old_address(house: House) -> None:
    """A thief registers the address he changed away, unproven: that account is closed, and Ada has hers back."""
    hers = (await house.register())["id"]
    token = await moved_away(house, await house.native())
    await house.register(ADA)
    squatter = await house.native(ADA)
    assert await undo(house, token) == 204
    assert (await squatter.get("/v1/me")).json()["code"] == "session_revoked"
    rows = await house.rows("SELECT id, email FROM account WHERE disabled_at IS NULL")
    assert [row["email"] for row in rows] == [ADA]
    assert len(await house.audit("account.closed")) == 1
    body = {"token": await newest(house, ADA, "/account/reset"), "new_password": "four wise monkeys dancing"}
    assert (await house.http().post("/v1/password-reset/confirm", json=body)).status_code == 204
    again = await house.native(ADA, password="four wise monkeys dancing")
    assert (await again.get("/v1/me")).json()["id"] == hers


async def test_undo_leaves_staff_alone_who_sit_on_the_old_address(house: House) -> None:
    """Nobody's link closes the account of an administrator."""
    await house.register()
    token = await moved_away(house, await house.native())
    await house.staff(email=ADA)
    assert await undo(house, token) == 409
    assert len(await house.rows("SELECT id FROM account WHERE email = $1", ADA)) == 1


async def test_undo_to_an_address_never_proved_leaves_no_factor(house: House) -> None:
    """Eve registers Ada's address, adds a passkey, moves away: Ada's click on the undo gives Eve no way into it."""
    await house.register()
    eve = await house.native()
    passkey, _ = await enrol_passkey(eve)
    assert await undo(house, await moved_away(house, eve)) == 204
    assert await house.rows("SELECT id FROM factor") == []
    assert await house.rows("SELECT slot FROM recovery_code") == []
    assert (await passkey_sign_in(house, passkey)).status_code == 401


async def test_registering_again_and_again_fills_no_mailbox(house: House) -> None:
    """Who registers and closes an account with a stranger's address, from anywhere, has five mails an hour sent."""
    for number in range(7):
        body = {"email": ADA, "password": PASSWORD}
        registered = await house.http(ip=f"198.51.100.{number}").post("/v1/accounts", json=body)
        assert registered.status_code == 201
        assert (await (await house.native()).call("DELETE", "/v1/me")).status_code == 204
    assert len(await house.mails(ADA)) == 5
