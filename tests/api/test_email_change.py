"""Another address: asked for with a fresh proof, confirmed there, undone from here; nobody gets a stranger's."""

import asyncio
import json

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock, NativeClient, hashing_held_up, link_in
from tests.waiting import until

OLD, NEW, EVE = "ada@example.test", "ada@new.test", "eve@example.test"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


async def ask(client: NativeClient, email: str = NEW) -> httpx2.Response:
    return await client.call("POST", "/v1/me/email", json={"email": email})


async def confirm(house: House, token: str, password: str = PASSWORD) -> httpx2.Response:
    return await house.http().post("/v1/email-change/confirm", json={"token": token, "password": password})


async def undo(house: House, token: str) -> httpx2.Response:
    return await house.http().post("/v1/email-change/undo", json={"token": token})


async def newest(house: House, to: str, path: str) -> str:
    """The token of the newest link to a page, in one person's mails."""
    found = [one for one in await house.mails(to) if path in one.as_string()]
    return link_in(found[-1], path)


async def changed(house: House, client: NativeClient, old: str = OLD, new: str = NEW) -> str:
    """Change the address; the token of the link that undoes it."""
    assert (await ask(client, new)).status_code == 202
    assert (await confirm(house, await newest(house, new, "/account/email/confirm"))).status_code == 204
    return await newest(house, old, "/account/email/undo")


async def proved(house: House, email: str) -> None:
    """Confirm the address of an account."""
    body = {"token": await newest(house, email, "/account/verify"), "password": PASSWORD}
    assert (await house.http().post("/v1/email-verification/confirm", json=body)).status_code == 204


async def login(house: House, email: str, password: str = PASSWORD) -> int:
    answer = await house.http().post("/v1/native/login", json={"email": email, "password": password})
    return answer.status_code


async def addresses(house: House) -> list[str]:
    return sorted(row["email"] for row in await house.rows("SELECT email FROM account"))


async def test_email_change_is_confirmed_at_the_new_address(house: House) -> None:
    """Nothing changes before the link and the password; then it does, sessions live on, the old address is told."""
    await house.register()
    phone = await house.native()
    assert (await ask(phone)).status_code == 202
    assert await addresses(house) == [OLD]
    token = await newest(house, NEW, "/account/email/confirm")
    assert (await confirm(house, token)).status_code == 204
    me = (await phone.get("/v1/me")).json()
    assert (me["email"], me["email_verified"]) == (NEW, True)
    assert (await phone.refresh()).status_code == 200
    assert (await login(house, OLD), await login(house, NEW)) == (401, 200)
    assert (await house.mails(OLD))[-1]["Subject"] == "Your address was changed"
    assert len(await house.audit("email.changed")) == 1
    assert (await confirm(house, token)).status_code == 410


async def test_email_change_wants_a_fresh_proof(house: House) -> None:
    """Six minutes after the sign-in it is asked for; nothing is mailed before."""
    await house.register()
    phone, before = await house.native(), len(await house.mails())
    house.clock.move(360)
    await phone.refresh()
    answer = await ask(phone)
    assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
    assert len(await house.mails()) == before


async def test_email_change_gives_nobodys_click_away(house: House) -> None:
    """Eve asks for Ada's unused address and Ada follows the link: without Eve's password nothing happens."""
    await house.register(EVE, "five evil monkeys scheming")
    eve = await house.native(EVE, password="five evil monkeys scheming")
    await ask(eve, NEW)
    token = await newest(house, NEW, "/account/email/confirm")
    assert (await confirm(house, token)).json()["code"] == "invalid_credentials"
    assert await addresses(house) == [EVE]


async def test_email_change_link_takes_few_guesses(house: House) -> None:
    """Whoever has the new mailbox guesses the password no faster than at a sign-in."""
    await house.register()
    await ask(await house.native())
    token = await newest(house, NEW, "/account/email/confirm")
    assert [(await confirm(house, token, "no password of hers")).status_code for _ in range(6)] == [401] * 5 + [429]
    assert await addresses(house) == [OLD]


async def test_email_change_to_a_taken_address_tells_nothing(house: House) -> None:
    """The same answer; the owner of the address is told, and no link is made that could be used."""
    await house.register()
    await house.register(EVE)
    phone = await house.native()
    free, taken = await ask(phone, NEW), await ask(phone, EVE)
    assert (free.status_code, free.content, sorted(free.headers)) == (
        taken.status_code,
        taken.content,
        sorted(taken.headers),
    )
    letter = (await house.mails(EVE))[-1]
    assert letter["Subject"] == "Somebody wanted to use your address"
    assert OLD not in letter.as_string()
    assert "cct_c_" not in letter.as_string()
    assert await addresses(house) == [OLD, EVE]


async def test_email_change_to_an_address_taken_meanwhile_is_refused(house: House) -> None:
    """Two accounts want one address: whoever confirms first has it."""
    await house.register()
    await house.register(EVE)
    phone, eve = await house.native(), await house.native(EVE)
    await ask(phone)
    first = await newest(house, NEW, "/account/email/confirm")
    await ask(eve)
    second = await newest(house, NEW, "/account/email/confirm")
    answers = await asyncio.gather(confirm(house, first), confirm(house, second))
    assert sorted(answer.status_code for answer in answers) == [204, 410]
    assert NEW in await addresses(house)
    assert len(await house.audit("email.changed")) == 1


async def test_email_change_links_die_with_what_they_were_made_for(house: House) -> None:
    """After a newer request, an hour, a new password, the older link is worth nothing."""
    await house.register()
    phone = await house.native()
    await ask(phone, "first@new.test")
    first = await newest(house, "first@new.test", "/account/email/confirm")
    await ask(phone)
    assert (await confirm(house, first)).status_code == 410
    second = await newest(house, NEW, "/account/email/confirm")
    body = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
    assert (await phone.call("POST", "/v1/me/password", json=body)).status_code == 204
    assert (await confirm(house, second, "four wise monkeys dancing")).status_code == 410
    await ask(phone)
    house.clock.move(3_600)
    assert (await confirm(house, await newest(house, NEW, "/account/email/confirm"))).status_code == 410
    assert await addresses(house) == [OLD]


async def test_email_change_kills_links_mailed_to_the_old_address(house: House) -> None:
    """A link for a new password that lies in the old mailbox is over."""
    await house.register()
    await house.http().post("/v1/password-reset", json={"email": OLD})
    old = await newest(house, OLD, "/account/reset")
    await changed(house, await house.native())
    body = {"token": old, "new_password": "four wise monkeys dancing"}
    assert (await house.http().post("/v1/password-reset/confirm", json=body)).status_code == 410


async def test_email_change_is_undone_from_the_old_address(house: House) -> None:
    """A thief with the password changed the address, the password, and added a factor: all of it is taken back."""
    await house.register()
    phone, thief = await house.native(), await house.native()
    token = await changed(house, thief)
    body = {"current_password": PASSWORD, "new_password": "five evil monkeys scheming"}
    assert (await thief.call("POST", "/v1/me/password", json=body)).status_code == 204
    await house.rows(
        "INSERT INTO factor (id, account_id, method, name, created_at) "
        "SELECT $1, id, 'totp', 'his', $2 FROM account RETURNING id",
        b"f" * 16,
        house.clock.now(),
    )
    house.clock.move(6 * 86_400)
    assert (await undo(house, token)).status_code == 204
    assert await addresses(house) == [OLD]
    assert await house.rows("SELECT id FROM factor") == []
    assert [(await one.refresh()).json()["code"] for one in (thief, phone)] == ["session_revoked"] * 2
    for password in (PASSWORD, "five evil monkeys scheming"):
        assert await login(house, OLD, password) == 401
    reset = await newest(house, OLD, "/account/reset")
    body = {"token": reset, "new_password": "four wise monkeys dancing"}
    assert (await house.http().post("/v1/password-reset/confirm", json=body)).status_code == 204
    assert await login(house, OLD, "four wise monkeys dancing") == 200
    assert (await undo(house, token)).status_code == 410


async def test_email_change_undone_keeps_the_factors_from_before(house: House) -> None:
    """What the owner of a proved address had added before the change stays."""
    await house.register()
    await proved(house, OLD)
    phone = await house.native()
    await house.rows(
        "INSERT INTO factor (id, account_id, method, name, created_at) "
        "SELECT $1, id, 'totp', 'hers', 1 FROM account RETURNING id",
        b"f" * 16,
    )
    assert (await undo(house, await changed(house, phone))).status_code == 204
    assert len(await house.rows("SELECT id FROM factor")) == 1


async def test_email_change_undone_can_not_be_undone_by_the_thief(house: House) -> None:
    """The thief moves on to a second address of his; Ada's undo is the last word, his older link is dead."""
    await house.register()
    thief = await house.native()
    hers = await changed(house, thief, OLD, "m1@evil.test")
    his = await changed(house, thief, "m1@evil.test", "m2@evil.test")
    assert (await undo(house, hers)).status_code == 204
    assert (await undo(house, his)).status_code == 410
    assert await addresses(house) == [OLD]


async def test_email_change_undo_ends_after_a_week(house: House) -> None:
    """And if somebody else has proved the address by then, it is said so, and nothing changes."""
    await house.register()
    phone = await house.native()
    token = await changed(house, phone)
    await house.register(OLD)
    await proved(house, OLD)
    answer = await undo(house, token)
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert await addresses(house) == [OLD, NEW]
    house.clock.move(7 * 86_400)
    assert (await undo(house, token)).status_code == 410


async def test_email_change_mails_are_limited(open_house: OpenHouse) -> None:
    """An account can't have mails sent to many addresses, from wherever it asks."""
    async with open_house(limit_mail="100/hour; 2/hour; 100/hour") as house:
        await house.register()
        phone = await house.native()
        statuses = []
        for number in range(3):
            phone.http = house.http(ip=f"198.51.100.{number}")
            statuses.append((await ask(phone, f"p{number}@example.test")).status_code)
        assert statuses == [202, 202, 429]


@pytest.mark.parametrize("email", [OLD, OLD.upper(), "ada", "a@b.test, c@d.test", "Ada <a@b.test>"])
async def test_email_change_refuses_what_is_no_other_address(house: House, email: str) -> None:
    """The own address in any spelling, and what is not exactly one address."""
    await house.register()
    answer = await ask(await house.native(), email)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "email")


async def guess(house: House, token: str, network: int) -> bool:
    """Whether a wrong password that comes from this network with the link was verified."""
    body = {"token": token, "password": "no password of theirs"}
    answer = await house.http(ip=f"198.18.{network}.1").post("/v1/email-change/confirm", json=body)
    return answer.status_code == 401


async def guesses(house: House, token: str, hours: int) -> int:
    """Verified guesses at a link, from many networks, as fast as they are let."""
    verified = 0
    for _ in range(hours * 12):
        verified += sum([await guess(house, token, n) for n in range(7)])
        house.clock.move(300)
    return verified


async def test_email_change_links_take_few_guesses_from_everywhere(house: House) -> None:
    """An attack that worked: a holder of the link had five guesses from each address, unseen. Now all links count
    together, the audit has each guess, the owner is told, and signs in meanwhile."""
    await house.register()
    phone = await house.native()
    await ask(phone)
    verified = [await guess(house, await newest(house, NEW, "/account/email/confirm"), n) for n in range(4)]
    await ask(phone)
    token = await newest(house, NEW, "/account/email/confirm")
    verified += [await guess(house, token, n) for n in range(4, 7)]
    assert verified == [True] * 5 + [False] * 2
    assert await login(house, OLD) == 200
    failed = await house.audit("login.failed")
    assert [json.loads(one["data"])["link"] for one in failed] == ["email.change"] * 5
    assert await guesses(house, token, 1) <= 60 - 5
    assert (await house.mails(OLD))[-1]["Subject"] == "Somebody tries your password"


@pytest.mark.parametrize("ending", ["others", "itself", "device", "all"])
async def test_email_change_link_ends_with_the_session_that_asked(house: House, ending: str) -> None:
    """Whoever ends the session that asked for another address ends its link too, and it tells no password any more."""
    await house.register()
    thief, owner = await house.native(), await house.native()
    await ask(thief)
    token = await newest(house, NEW, "/account/email/confirm")
    match ending:
        case "others":
            answer = await owner.call("POST", "/v1/devices/logout-others")
        case "itself":
            answer = await thief.call("DELETE", "/v1/sessions/current")
        case "device":
            [device] = [one for one in (await owner.get("/v1/devices")).json()["devices"] if not one["current"]]
            answer = await owner.call("DELETE", f"/v1/devices/{device['id']}")
        case _:
            answer = await owner.call("POST", "/v1/devices/logout-all")
    assert answer.is_success, answer.text
    for password in ("no password of theirs", PASSWORD):
        assert (await confirm(house, token, password)).json()["code"] == "link_invalid"
    assert await addresses(house) == [OLD]
    assert await house.audit("login.failed") == []


async def test_email_change_whose_session_ends_meanwhile_does_not_happen(house: House) -> None:
    """The session that asked is ended while its link's password is verified: the address stays."""
    await house.register()
    thief, owner = await house.native(), await house.native()
    await ask(thief)
    token = await newest(house, NEW, "/account/email/confirm")
    with hashing_held_up(house):
        confirming = asyncio.create_task(confirm(house, token))
        await until(lambda: house.desk.hasher.waiting == 1)
        assert (await owner.call("POST", "/v1/devices/logout-others")).is_success
    assert (await confirming).json()["code"] == "link_invalid"
    assert await addresses(house) == [OLD]
