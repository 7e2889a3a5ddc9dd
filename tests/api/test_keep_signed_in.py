"""Keep me signed in: a wish of the person at the web door, and nothing that happens by itself."""

import httpx2

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock, WebClient
from tests.pages import Visitor

DAY = 86_400


def session_cookie(answer: httpx2.Response) -> str:
    """The line that sets the session's cookie."""
    lines = answer.headers.get_list("set-cookie")
    return next(line for line in lines if line.startswith("__Host-coatcheck-session="))


async def kept(house: House, keep: bool) -> tuple[WebClient, str]:
    web = WebClient(house.http())
    body = {"email": "ada@example.test", "password": PASSWORD, "keep": keep}
    answer = await web.call("POST", "/v1/web/login", json=body)
    assert answer.status_code == 200
    web.csrf_token = answer.json()["csrf_token"]
    return web, session_cookie(answer)


async def test_keep_signed_in_lasts_for_thirty_days_unused(house: House, clock: MovableClock) -> None:
    """A kept session lives on unused and used alike, and is over 30 days after the sign-in; its cookie says so."""
    await house.register()
    web, cookie = await kept(house, keep=True)
    assert "Max-Age=2592000" in cookie or "Max-Age=2591999" in cookie
    for days in (10, 10, 9):
        clock.move(days * DAY)
        assert (await web.get("/v1/me")).status_code == 200
        await house.desk.presence.flush()
    clock.move(DAY + 1)
    assert (await web.get("/v1/me")).json()["code"] == "session_expired"


async def test_keep_signed_in_is_asked_for(house: House, clock: MovableClock) -> None:
    """Without the wish the cookie goes with the browser and the session with the idle hour."""
    await house.register()
    web, cookie = await kept(house, keep=False)
    assert "Max-Age" not in cookie
    clock.move(3_601)
    assert (await web.get("/v1/me")).json()["code"] == "session_expired"


async def test_keep_signed_in_outlives_a_step_up(house: House, clock: MovableClock) -> None:
    """The new cookie of a fresh proof is kept as long as the old one would have been; one not kept stays so."""
    await house.register()
    for keep in (True, False):
        web, _ = await kept(house, keep)
        clock.move(600)
        proof = await web.call("POST", "/v1/me/reauthenticate", json={"password": PASSWORD})
        assert proof.status_code == 200
        assert ("Max-Age=25" in session_cookie(proof)) is keep


async def test_keep_signed_in_can_be_withheld(open_house: OpenHouse, clock: MovableClock) -> None:
    """WEB_KEPT_TTL=0: the page has no box for it, and asking all the same changes nothing."""
    async with open_house(web_kept_ttl=0) as house:
        await house.register()
        assert "Keep me signed in" not in (await Visitor(house).get("/account/sign-in")).text
        web, cookie = await kept(house, keep=True)
        assert "Max-Age" not in cookie
        clock.move(3_601)
        assert (await web.get("/v1/me")).status_code == 401


async def test_keep_signed_in_has_a_box_on_the_page(house: House, clock: MovableClock) -> None:
    """The box on the sign-in page does the same."""
    await house.register()
    ada = Visitor(house)
    form = "/account/sign-in"
    answer = await ada.post(form, look=form, email="ada@example.test", password=PASSWORD, keep="on")
    assert "Max-Age=25" in session_cookie(answer)
    clock.move(20 * DAY)
    assert (await ada.get("/account")).status_code == 200
