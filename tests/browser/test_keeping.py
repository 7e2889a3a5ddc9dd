"""Nobody is signed out by accident: lost answers, trouble on the way, clocks, sleep and reloads change nothing."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewPhone, NewProfile
from tests.browser.profile import IMPATIENT, Profile, age, go, refresh_directly
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFRESH = "/v1/spa/refresh"
UNREACHABLE = "Can't reach the server. You're still signed in."


async def test_reload_stays_signed_in(profile: Profile) -> None:
    """The access token is gone with the page; the cookie brings a new one."""
    page = await profile.signed_in("devices")
    await page.reload()
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()


async def test_back_button_moves_between_views(profile: Profile) -> None:
    """Views are pages to the history; none of them is a sign-in form afterwards."""
    page = await profile.signed_in()
    await go(page, "Devices")
    await go(page, "Activity")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()


async def test_lost_refresh_answer_costs_nothing(profile: Profile, wire: Wire) -> None:
    """The server rotated, the answer never came: the same cookie gets the same successor."""
    page = await profile.signed_in()
    before = await profile.refresh_token()
    wire.lose(REFRESH, times=2)
    await age(page, 11)
    await go(page, "Devices")
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    assert await profile.refresh_token() == before
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()
    await expect(page.get_by_text(UNREACHABLE)).to_be_hidden()
    assert wire.count(REFRESH) >= 4  # one at the start, two lost, one that arrived
    await page.reload()
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()


@pytest.mark.parametrize("kind", ["404", "429", "500", "502", "503", "timeout", "cut", "captive portal"])
async def test_trouble_at_refresh_is_not_logout(kind: str, open_profile: NewProfile, wire: Wire) -> None:
    """Whatever stands between, the session stays, the person is told, and it goes on by itself."""
    profile = await open_profile(IMPATIENT)
    page = await profile.signed_in()
    break_refresh(wire, kind)
    await page.evaluate("testImpatient = true")
    await age(page, 11)
    await go(page, "Devices")
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    await expect(page.get_by_role("heading", name="Waiting for the server")).to_be_visible()
    assert await profile.cookie()
    await page.evaluate("testImpatient = false")
    wire.mend()
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()
    await expect(page.get_by_text(UNREACHABLE)).to_be_hidden()


def break_refresh(wire: Wire, kind: str) -> None:
    """Make refreshing fail in one of many ways."""
    match kind:
        case "429":
            wire.refuse(REFRESH, 429, "rate_limited", Retry_After="2")
        case "503":
            wire.refuse(REFRESH, 503, "unavailable", Retry_After="1")
        case "timeout":
            wire.swallow(REFRESH)
        case "cut":
            wire.cut(REFRESH)
        case "captive portal":
            wire.answer(REFRESH, 200, "<h1>Please accept our terms</h1>")
        case status:
            wire.answer(REFRESH, int(status))


@pytest.mark.parametrize(
    "code, words",
    [
        ("session_expired", "You've been away for a while."),
        ("session_revoked", "This browser was signed out."),
        ("token_reused", "somebody used a copy of its ticket"),
    ],
)
async def test_three_codes_end_the_session(code: str, words: str, profile: Profile, wire: Wire) -> None:
    """The server's word for it leads to the form, with the reason and the address."""
    page = await profile.signed_in()
    wire.refuse(REFRESH, 401, code)
    await age(page, 11)
    await go(page, "Devices")
    await expect(page.get_by_text(words)).to_be_visible()
    await expect(page.get_by_label("Email address")).to_have_value(profile.email)


@pytest.mark.parametrize("status, code", [(403, "csrf_failed"), (401, "invented_tomorrow"), (409, "conflict")])
async def test_no_other_code_ends_the_session(status: int, code: str, profile: Profile, wire: Wire) -> None:
    """A refusal that this client doesn't know is trouble, not an end."""
    page = await profile.signed_in()
    wire.refuse(REFRESH, status, code)
    await age(page, 11)
    await go(page, "Devices")
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    wire.mend()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Active now")).to_be_visible()


async def test_stranger_gets_the_form_without_a_word(profile: Profile) -> None:
    """Who was never here is asked to sign in, and told nothing of ended sessions."""
    page = await profile.open()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="signed out")).to_have_count(0)
    await expect(page.get_by_label("Email address")).to_be_focused()


async def test_retry_after_is_kept_even_when_asked_to_hurry(profile: Profile, wire: Wire) -> None:
    """After 429 nothing is sent before its time, whatever button is pressed."""
    page = await profile.signed_in()
    wire.refuse(REFRESH, 429, "rate_limited", Retry_After="30")
    await age(page, 11)
    await go(page, "Devices")
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    sent = wire.count(REFRESH)
    for view in ("Activity", "Home"):
        await page.get_by_role("button", name="Try again").click()
        await go(page, view)
        await expect(page.get_by_role("heading", name="Waiting for the server")).to_be_visible()
    assert wire.count(REFRESH) == sent
    wire.mend()
    await age(page, 1)
    await go(page, "Devices")
    await expect(page.get_by_text("Active now")).to_be_visible()


async def test_start_without_the_server_waits_instead_of_asking_to_sign_in(profile: Profile, wire: Wire) -> None:
    """Opening the app while the server is away says so and shows no form."""
    page = await profile.signed_in()
    wire.answer("/v1/spa/refresh", 502)
    await page.reload()
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    await expect(page.get_by_label("Password", exact=True)).to_be_hidden()
    wire.mend()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


async def test_offline_and_back(profile: Profile) -> None:
    """Without network the session is kept; with it the view fills by itself."""
    page = await profile.signed_in()
    await profile.context.set_offline(True)
    await go(page, "Devices")
    await expect(page.get_by_text(UNREACHABLE)).to_be_visible()
    await profile.context.set_offline(False)
    await expect(page.get_by_role("heading", name="Where you're signed in")).to_be_visible()
    await expect(page.get_by_text(UNREACHABLE)).to_be_hidden()


@pytest.mark.parametrize("days", [-1, 1])
async def test_wrong_device_clock_changes_nothing(days: int, open_profile: NewProfile, wire: Wire) -> None:
    """A day off, and jumping on the way: one refresh a lifetime, and "today" is the server's."""
    profile = await open_profile(
        f"""const RealDate = Date; let off = {days} * 86400000; globalThis.testJump = (ms) => (off += ms);
        globalThis.Date = class extends RealDate {{
          constructor(...a) {{ super(...(a.length ? a : [RealDate.now() + off])); }}
          static now() {{ return RealDate.now() + off; }}
        }};"""
    )
    page = await profile.signed_in()
    await expect(page.get_by_text("since today")).to_be_visible()
    for lifetime in range(2):
        before = wire.count(REFRESH)
        for _ in range(8):
            await go(page, "Devices")
            await expect(page.get_by_text("Active now")).to_be_visible()
            await go(page, "Activity")
            await expect(page.get_by_text("You made this account")).to_be_visible()
            await page.evaluate("testJump(3 * 3600 * 1000)")
        assert wire.count(REFRESH) - before == lifetime
        await age(page, 10)


async def test_refused_access_token_is_cured_by_one_refresh_and_one_retry(profile: Profile, wire: Wire) -> None:
    """The monotonic clock stood still while the device slept: the 401 tells, and nobody notices."""
    page = await profile.signed_in()
    before = wire.count(REFRESH)
    wire.refuse("/v1/devices", 401, "token_expired", times=1)
    await go(page, "Devices")
    await expect(page.get_by_text("Active now")).to_be_visible()
    assert wire.count(REFRESH) - before == 1


async def test_refused_access_token_never_becomes_a_loop(profile: Profile, wire: Wire) -> None:
    """A server that refuses every access token gets one refresh and one retry, and the session stays."""
    page = await profile.signed_in()
    before, asked = wire.count(REFRESH), wire.count("/v1/devices")
    wire.refuse("/v1/devices", 401, "token_invalid")
    await go(page, "Devices")
    await expect(page.get_by_role("heading", name="That didn't work")).to_be_visible()
    assert (wire.count("/v1/devices") - asked, wire.count(REFRESH) - before) == (2, 1)
    wire.mend()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Active now")).to_be_visible()


async def test_calls_that_wait_share_one_refresh(profile: Profile, wire: Wire) -> None:
    """The home view asks several things at once; one refresh serves them all."""
    page = await profile.signed_in("devices")
    gate = wire.hold(REFRESH)
    before = wire.count(REFRESH)
    await age(page, 11)
    await go(page, "Home")
    await gate.wait()
    gate.release(0)
    await expect(page.get_by_text("Latest activity")).to_be_visible()
    assert wire.count(REFRESH) - before == 1


async def test_logout_beats_a_refresh_in_flight(profile: Profile, wire: Wire) -> None:
    """The late answer brings nothing back, and both refresh tokens are dead."""
    page = await profile.signed_in("account")
    old = await profile.refresh_token()
    gate = wire.hold(REFRESH)
    await age(page, 11)
    await page.get_by_role("button", name="Save name").click()
    (exchange,) = await gate.wait()
    async with page.expect_response("**/v1/spa/logout") as said:
        await page.get_by_role("button", name="Sign out", exact=True).click()
    assert (await said.value).status == 204
    gate.release(0)
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await profile.cookie() is None
    new = exchange.head.decode().split("coatcheck-refresh=")[1].split(";")[0]
    for token in (old, new):
        assert refresh_directly(wire, token).status_code == 401
    wire.mend()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


async def test_logout_without_the_server_is_kept_until_it_can_be_said(profile: Profile, wire: Wire) -> None:
    """Signed out here at once, not revived by a reload, and the server hears of it later."""
    page = await profile.signed_in("account")
    token = await profile.refresh_token()
    wire.answer("/v1/spa/logout", 502)
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("You're signed out here")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    wire.mend()
    async with page.expect_response("**/v1/spa/logout") as said:
        await page.get_by_role("button", name="Try again").click()
    assert (await said.value).status == 204
    await expect(page.get_by_text("You're signed out here")).to_be_hidden()
    assert refresh_directly(wire, token).status_code == 401


async def test_page_from_the_back_forward_cache_learns_what_it_missed(profile: Profile, open_phone: NewPhone) -> None:
    """A page that was put away when its session ended does not go on showing it."""
    page = await profile.signed_in("devices")
    await expect(page.get_by_text("Active now")).to_be_visible()
    await page.evaluate("addEventListener('pageshow', (e) => (globalThis.testKept = e.persisted))")
    await page.goto(f"{profile.wire.origin}/logo.svg")
    open_phone().sign_out_others()
    await page.go_back(wait_until="commit")  # a page out of this cache does not load again
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await page.evaluate("globalThis.testKept") is True
