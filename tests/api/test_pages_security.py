"""Second factors on pages, over HTTP: what is pending is no session, what is shown once is gone."""

import re

import pyotp

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock
from tests.pages import Visitor, token_in

SESSION, PENDING = "__Host-coatcheck-session", "__Host-coatcheck-pending"
APP = "/account/security/app"


def key_in(text: str) -> str:
    """The key that the page shows."""
    found = re.search(r'class="key">([A-Z2-7 ]+)<', text)
    assert found
    return found[1].replace(" ", "")


def code(seed: str, house: House) -> str:
    """What the app shows at the house's time."""
    return pyotp.TOTP(seed).at(house.clock.now() // 1000)


async def add_app(visitor: Visitor) -> tuple[str, list[str]]:
    """The seed, and the recovery codes as the page shows them."""
    text = (await visitor.get(APP)).text
    challenge = re.search(r'name="challenge_token" value="([^"]+)"', text)
    assert challenge
    fields = {"code": code(key_in(text), visitor.house), "challenge_token": challenge[1], "csrf_token": token_in(text)}
    answer = await visitor.send(APP, fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/security/codes")
    codes = re.findall(r"<li>([^<]+)</li>", (await visitor.get("/account/security/codes")).text)
    assert len(codes) == 10
    return key_in(text), codes


async def test_pages_give_no_session_before_the_second_step(house: House, clock: MovableClock) -> None:
    """The password of an account with a factor gives a pending sign-in, which opens no page; the code a session."""
    await house.register()
    ada = await Visitor(house).sign_in()
    seed, _ = await add_app(ada)
    clock.move(60)
    other = Visitor(house)
    await other.sign_in(via="/account/sign-in?next=/account/activity")
    assert other.last.headers["location"] == "/account/sign-in/verify?next=%2Faccount%2Factivity"
    assert SESSION not in other.http.cookies
    assert (await other.get("/account")).status_code == 303
    form = "/account/sign-in/verify?next=/account/activity"
    wrong = await other.post(form, look=form, method="totp", code="000000")
    assert (wrong.status_code, SESSION in other.http.cookies) == (401, False)
    right = await other.post(form, look=form, method="totp", code=code(seed, house))
    assert (right.status_code, right.headers["location"]) == (303, "/account/activity")
    assert SESSION in other.http.cookies
    assert PENDING not in other.http.cookies
    assert (await other.get("/account")).status_code == 200


async def test_pages_begin_again_without_a_pending_sign_in(house: House, clock: MovableClock) -> None:
    """No pending sign-in, an old one, or another browser's: back to the sign-in page, with the way on kept."""
    await house.register()
    await add_app(await Visitor(house).sign_in())
    late, form = await Visitor(house).sign_in(), "/account/sign-in/verify?next=/account/devices"
    clock.move(601)
    for visitor in (late, Visitor(house)):
        answer = await visitor.get(form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account/sign-in?next=%2Faccount%2Fdevices")
        assert "Begin again." in (await visitor.get("/account/sign-in")).text


async def test_pages_show_recovery_codes_until_they_are_kept(house: House) -> None:
    """They are for this account alone, wrapped while they wait, and gone once the person has them."""
    await house.register()
    await house.register("eve@example.test")
    ada, eve = await Visitor(house).sign_in(), await Visitor(house).sign_in("eve@example.test")
    _, codes = await add_app(ada)
    eve.http.cookies.set(PENDING, ada.http.cookies[PENDING], domain="coatcheck.test", path="/")
    assert (await eve.get("/account/security/codes")).status_code == 404
    rows = await house.rows("SELECT * FROM challenge")
    assert not any(one.encode() in bytes(row["data"]) for row in rows for one in codes)
    assert (await ada.get("/account/security/codes")).status_code == 200
    await ada.post("/account/security/codes")
    assert ada.last.headers["location"] == "/account/security"
    assert (await ada.get("/account/security/codes")).status_code == 404
    assert await house.rows("SELECT key FROM challenge WHERE purpose = 'codes.shown'") == []


async def test_pages_change_factors_only_after_a_fresh_proof(house: House, clock: MovableClock) -> None:
    """Adding, removing, new codes: an old sign-in is sent to the step-up page, and nothing has changed."""
    await house.register()
    ada = await Visitor(house).sign_in()
    seed, _ = await add_app(ada)
    held = (await ada.get("/account/security")).text
    factor = re.search(r"/account/security/factors/(fac_[\w-]+)", held)
    assert factor
    clock.move(301)
    remove = f"/account/security/factors/{factor[1]}/remove"
    for path in (APP, "/account/security/passkey", "/account/security/codes/new", remove):
        asked = await ada.get(path)
        assert asked.headers["location"].startswith("/account/step-up?next="), path
        posted = await ada.post(path)
        assert posted.headers["location"].startswith("/account/step-up?next="), path
    assert len(await house.rows("SELECT id FROM factor")) == 1
    form = f"/account/step-up?next={remove}"
    more = await ada.post(form, look=form, password=PASSWORD)
    assert more.headers["location"].startswith("/account/step-up/verify")
    before, form = ada.http.cookies[SESSION], more.headers["location"]
    await ada.post(form, look=form, method="totp", code=code(seed, house))
    assert ada.last.headers["location"] == remove
    assert ada.http.cookies[SESSION] != before
    await ada.post(remove)
    assert await house.rows("SELECT id FROM factor") == []
    assert await house.rows("SELECT account_id FROM recovery_code") == []


async def test_pages_let_the_person_choose_which_device_gives_way(open_house: OpenHouse) -> None:
    """At the limit: a list instead of a session, nobody else's session to be given up, then the way goes on."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        await house.register("eve@example.test")
        phone, eve = await house.native(name="Ada's phone"), await house.native("eve@example.test")
        ada = Visitor(house)
        await ada.sign_in(via="/account/sign-in?next=/account/activity")
        form = ada.last.headers["location"]
        assert form == "/account/sign-in/limit?next=%2Faccount%2Factivity"
        assert SESSION not in ada.http.cookies
        assert "Sign out Ada&#39;s phone" in (await ada.get(form)).text
        foreign = await ada.post(form, look=form, session_id=eve.session_id)
        assert (foreign.status_code, SESSION in ada.http.cookies) == (404, False)
        assert (await phone.get("/v1/me")).status_code == 200
        chosen = await ada.post(form, look=form, session_id=phone.session_id)
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/account/activity")
        assert [(await one.get("/v1/me")).status_code for one in (phone, eve)] == [401, 200]
        assert (await ada.get("/account")).status_code == 200


async def test_pages_say_when_there_is_no_room(open_house: OpenHouse) -> None:
    """Where nothing may give way the page says so, with or without a second step, and signs nobody in."""
    async with open_house(session_limit=1, session_limit_policy="refuse") as house:
        await house.register()
        await house.native()
        ada = Visitor(house)
        form = "/account/sign-in"
        answer = await ada.post(form, look=form, email="ada@example.test", password=PASSWORD)
        assert (answer.status_code, "Signed in on too many devices" in answer.text) == (409, True)
        assert SESSION not in ada.http.cookies
