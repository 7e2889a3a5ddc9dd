"""`coatcheck why`: whoever runs the server can tell a person why she was signed out."""

from pathlib import Path
from re import findall

import pytest

from coatcheck import accounts, administration, why
from coatcheck.clock import rfc3339
from coatcheck.errors import NotFound
from tests.house import PASSWORD, House

DAY = 86_400


async def told(house: House, last: int = 5) -> str:
    return "\n".join(await why.explain(house.desk.db, "Ada@Example.test", last))


def moment(milliseconds: int) -> str:
    return rfc3339(milliseconds)[:19].replace("T", " ")


async def test_why_tells_who_signed_whom_out(house: House) -> None:
    """A remote sign-out names both devices, the address and the moment; and what the app was told."""
    await house.register()
    phone, browser = await house.native(name="Ada's phone"), await house.spa()
    await browser.call("DELETE", f"/v1/sessions/{phone.session_id}")
    await phone.refresh()
    text = await told(house)
    [ended] = await house.audit("session.ended")
    [line] = [line for line in text.splitlines() if line.startswith(moment(ended["at"]))]
    assert "Ada's phone (native, signed in " in line
    assert "it was signed out from another device, by “Firefox on Linux”, from 203.0.113.7." in line
    assert "from 203.0.113.7 and was told session_revoked." in text


async def test_why_explains_a_reuse(house: House) -> None:
    """A reused token comes with where and by whom it was presented, what that means and what to do."""
    await house.register()
    phone = await house.native(name="Ada's phone")
    stolen = phone.refresh_token
    await phone.refresh()
    await phone.get("/v1/me")
    house.clock.move(61)
    thief = house.http("thief/1", ip="198.51.100.66")
    await thief.post("/oauth/token", data={"grant_type": "refresh_token", "refresh_token": stolen})
    text = await told(house)
    assert "Ada's phone" in text
    assert "It was presented from 198.51.100.66 by “thief/1”." in text
    assert "let her change the password" in text
    assert stolen not in text


async def test_why_tells_a_history_in_order(house: House) -> None:
    """Signing out, signing in anew, a changed password, an end by age: newest first, each in words."""
    await house.register()
    phone, page = await house.native(), await house.web()
    await phone.login("ada@example.test")
    house.clock.move(5)
    change = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
    await phone.call("POST", "/v1/me/password", json=change)
    house.clock.move(31 * DAY)
    await phone.refresh()
    await page.get("/v1/web/session")
    text = await told(house)
    words = ["nobody used it for too long", "the password was changed", "a new sign-in on the same device"]
    places = [text.index(word) for word in words]
    assert places == sorted(places), text
    assert len((await told(house, last=1)).splitlines()) < len(text.splitlines())
    assert "newest first (the last 1);" in await told(house, last=1)


async def test_why_tells_of_a_disabled_account_and_failed_sign_ins(house: House) -> None:
    """That the account is disabled, and who has tried to sign in since, is said as well."""
    await house.register()
    await house.native()
    async with house.desk.db.reading() as db:
        account = await accounts.by_email(db, "ada@example.test")
    assert account is not None
    await administration.set_disabled(house.desk, account.id, True, None)
    await house.http(ip="198.51.100.66").post(
        "/v1/native/login", json={"email": "ada@example.test", "password": PASSWORD}
    )
    text = await told(house)
    assert "The account is disabled since" in text
    assert "an administrator ended it, or disabled the account." in text
    assert "Since then 1 sign-ins failed" in text
    assert "from 198.51.100.66" in text


async def test_why_says_never(house: House) -> None:
    """Somebody who was never signed out is told so; an unknown address is refused."""
    await house.register()
    await house.native()
    assert "no session of this account has ever ended" in await told(house)
    for stranger in ("nobody@example.test", "no address"):
        with pytest.raises(NotFound):
            await why.explain(house.desk.db, stranger)


def test_why_knows_every_reason() -> None:
    """Each reason that docs/audit.md lists has its words."""
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text().partition("Reasons of `session.ended`:")[2]
    assert set(findall(r"`(\w+)`", text)) <= set(why._REASONS)
