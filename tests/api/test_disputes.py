"""A first factor that was not the owner's goes with "this wasn't me" and a new password; a real one never does."""

from typing import Any

import httpx2
import pytest

from coatcheck import ids
from coatcheck.factors import holdings
from tests.factors import ADA, enrol_app, enrol_passkey, sign_in, signed_in
from tests.house import PASSWORD, House, NativeClient, link_in

NEW = "four wise monkeys dancing"
WEEK = 7 * 86_400


async def alert(house: House) -> str:
    """The newest link of "this wasn't me"."""
    letters = [one for one in await house.mails(ADA) if "/account/not-me" in str(one.get_body(("plain",)))]
    return link_in(letters[-1], "/account/not-me")


async def announced(house: House) -> list[bool]:
    """Whether the newest mail about a factor says that a new password takes it away; in text and in HTML."""
    letter = [one for one in await house.mails(ADA) if one["Subject"] == "Your second factors were changed"][-1]
    parts = [letter.get_body((form,)) for form in ("plain", "html")]
    return ["the new password takes it away" in " ".join(str(part and part.get_content()).split()) for part in parts]


async def deny(house: House, token: str) -> httpx2.Response:
    return await house.http().post("/v1/not-me", json={"token": token})


async def choose(house: House) -> httpx2.Response:
    """A new password, by the newest link."""
    letters = [one for one in await house.mails(ADA) if "/account/reset" in str(one.get_body(("plain",)))]
    body = {"token": link_in(letters[-1], "/account/reset"), "new_password": NEW}
    return await house.http().post("/v1/password-reset/confirm", json=body)


async def proved(house: House) -> NativeClient:
    """Ada, whose address is proved, on the laptop she has used for a month, as she has her phone."""
    await house.register()
    await house.rows("UPDATE account SET email_verified = $1 RETURNING id", True)
    phone = await house.native(name="Ada's phone")
    house.clock.move(60)
    laptop = await house.native(name="Ada's laptop")
    house.clock.move(30 * 86_400 - 3_600)
    await phone.refresh()
    return laptop


async def factors(house: House) -> list[dict[str, Any]]:
    return await house.rows("SELECT method FROM factor")


async def test_dispute_takes_a_thiefs_first_factor_away(house: House) -> None:
    """Everything the thief added goes with the new password, and not before; the owner signs in, the thief does not."""
    await proved(house)
    thief = await house.native(name="A thief's")
    app = await enrol_app(house, thief)
    token = await alert(house)
    assert await announced(house) == [True, True]
    assert "goes with the old password" in (await house.http().get("/account/not-me")).text
    house.clock.move(60)
    await enrol_passkey(await signed_in(house, app))
    assert await announced(house) == [False, False]  # of the second one alone: the first one's link says it for both
    assert (await deny(house, token)).status_code == 204
    assert len(await factors(house)) == 2
    assert (await choose(house)).status_code == 204
    assert await factors(house) == await house.rows("SELECT slot FROM recovery_code") == []
    assert len(await house.audit("factor.removed")) == 2
    assert (await sign_in(house, password=PASSWORD)).status_code == 401
    assert (await sign_in(house, password=NEW)).status_code == 200


async def test_dispute_outlives_what_a_thief_does_about_it(house: House) -> None:
    """He makes other codes and asks for links, so that the owner's link is dead: her next one takes all away too."""
    await proved(house)
    app = await enrol_app(house, await house.native(name="A thief's"))
    assert (await deny(house, await alert(house))).status_code == 204
    await enrol_passkey(await signed_in(house, app))
    assert (await choose(house)).json()["code"] == "link_invalid"
    await house.http().post("/v1/password-reset", json={"email": ADA})
    assert (await choose(house)).status_code == 204
    assert await factors(house) == []


async def test_dispute_helps_against_a_thief_who_comes_back(house: House) -> None:
    """Within the week he has the new password as well, and adds another factor: it goes like the first."""
    await proved(house)
    await enrol_app(house, await house.native(name="A thief's"))
    await deny(house, await alert(house))
    assert (await choose(house)).status_code == 204
    [gone] = await house.audit("factor.removed")
    assert '"reason": "disputed"' in gone["data"]
    house.clock.move(86_400)
    await enrol_app(house, await NativeClient(house.http()).login(ADA, NEW, name="A thief's"))
    assert await announced(house) == [True, True]
    await deny(house, await alert(house))
    assert (await choose(house)).status_code == 204
    assert await factors(house) == []


async def test_dispute_ends_with_its_week(house: House) -> None:
    """A password chosen after the alert's week takes no factor away, though the link for it is still good, and whether
    or not what has expired was cleaned up."""
    await proved(house)
    house.clock.move(3_601 - house.clock.now() // 1000 % 3_600)  # an hour of the limit has just begun, as in a week
    await enrol_app(house, await house.native(name="A thief's"))
    token = await alert(house)
    house.clock.move(WEEK - 300)
    assert (await deny(house, token)).status_code == 204
    house.clock.move(600)
    [disputed] = await house.rows("SELECT account_id, expires_at FROM challenge WHERE purpose = 'factors.disputed'")
    assert disputed["expires_at"] < house.clock.now()
    for _ in range(5):  # no alert is mailed any more; its link would clean up on the way
        await house.desk.throttle.room_for_alert(disputed["account_id"], "password_was_reset")
    assert (await choose(house)).status_code == 204
    assert await factors(house) == [{"method": "totp"}]
    assert await house.audit("factor.removed") == []


async def test_dispute_comes_with_the_old_address(house: House) -> None:
    """A thief adds a factor, and with it changes the address; who undoes that with her old one gets all of it back."""
    await proved(house)
    thief = await house.native(name="A thief's")
    thief = await signed_in(house, await enrol_app(house, thief))
    house.clock.move(60)
    assert (await thief.call("POST", "/v1/me/email", json={"email": "thief@evil.test"})).status_code == 202
    mails = await house.mails("thief@evil.test")
    body = {"token": link_in(mails[-1], "/account/email/confirm"), "password": PASSWORD}
    assert (await house.http().post("/v1/email-change/confirm", json=body)).status_code == 204
    undo = [one for one in await house.mails(ADA) if "/account/email/undo" in one.as_string()][-1]
    body = {"token": link_in(undo, "/account/email/undo")}
    assert (await house.http().post("/v1/email-change/undo", json=body)).status_code == 204
    assert len(await factors(house)) == 1
    assert (await choose(house)).status_code == 204
    assert await factors(house) == []
    assert (await sign_in(house, password=NEW)).status_code == 200


async def test_dispute_strips_no_factor_added_on_a_known_device(house: House) -> None:
    """The opposite attack: who has the mailbox denies it in the owner's name, and the factor stands."""
    laptop = await proved(house)
    await laptop.refresh()
    await laptop.prove()
    await enrol_app(house, laptop)
    assert await announced(house) == [False, False]
    assert (await deny(house, await alert(house))).status_code == 204
    assert (await choose(house)).status_code == 204
    assert [one["method"] for one in await factors(house)] == ["totp"]
    assert (await sign_in(house, password=NEW)).json()["code"] == "mfa_required"


@pytest.mark.parametrize("replaced", [False, True])
async def test_dispute_strips_no_factor_beside_another(house: House, replaced: bool) -> None:
    """A second factor on a new phone, or one in the place of another: neither is disputable."""
    laptop = await proved(house)
    await laptop.refresh()
    await laptop.prove()
    new_phone = await signed_in(house, await enrol_app(house, laptop))
    if replaced:
        for one in (await new_phone.get("/v1/me/factors")).json()["factors"]:
            assert (await new_phone.call("DELETE", f"/v1/me/factors/{one['id']}")).status_code == 204
    await enrol_passkey(new_phone)
    assert (await deny(house, await alert(house))).status_code == 204
    assert (await choose(house)).status_code == 204
    assert len(await factors(house)) == (1 if replaced else 2)


@pytest.mark.parametrize("denied", [False, True])
async def test_dispute_ends_with_the_alerts_week(house: House, denied: bool) -> None:
    """Denied or not: a week after the factor was added, a new password takes nothing away."""
    await proved(house)
    await enrol_app(house, await house.native(name="A thief's"))
    token = await alert(house)
    house.clock.move(WEEK - 60)
    if denied:
        assert (await deny(house, token)).status_code == 204
    house.clock.move(60)
    assert (await deny(house, token)).status_code == 410
    await house.http().post("/v1/password-reset", json={"email": ADA})
    assert (await choose(house)).status_code == 204
    assert len(await factors(house)) == 1


async def test_dispute_sees_through_adding_and_removing(house: House) -> None:
    """A thief adds a factor, removes it and adds another: the first alert says since when, whichever is answered."""
    await proved(house)
    thief = await house.native(name="A thief's")
    thief = await signed_in(house, await enrol_app(house, thief))
    for one in (await thief.get("/v1/me/factors")).json()["factors"]:
        assert (await thief.call("DELETE", f"/v1/me/factors/{one['id']}")).status_code == 204
    house.clock.move(60)
    await enrol_passkey(thief)
    assert (await deny(house, await alert(house))).status_code == 204
    assert (await choose(house)).status_code == 204
    assert await factors(house) == []


async def test_dispute_of_old_ends_when_the_operator_clears_the_factors(house: House) -> None:
    """What the owner adds after that is not taken by a link from before."""
    await proved(house)
    account = ids.raw("acc", (await house.native()).grant["account"]["id"])
    assert account
    await enrol_app(house, await house.native(name="A thief's"))
    token = await alert(house)
    await holdings.clear(house.desk, account)
    await enrol_app(house, await house.native(name="Ada's laptop"))
    assert (await deny(house, token)).json()["code"] == "link_invalid"
    assert [one["method"] for one in await factors(house)] == ["totp"]
