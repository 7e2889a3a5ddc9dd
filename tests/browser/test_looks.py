"""Accessible in both colour schemes, light to load, still for those who want it still."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPhone, NewProfile
from tests.browser.profile import Profile, sign_in
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

LARGEST_FIRST_LOAD = 60_000  # bytes on the wire, headers included
# What counts as movement: changes of layout that no key or click asked for.
SHIFTS = """new PerformanceObserver((list) => {
  for (const e of list.getEntries())
    if (!e.hadRecentInput) globalThis.testShift = (globalThis.testShift ?? 0) + e.value;
}).observe({ type: "layout-shift", buffered: true });"""


async def violations(page: Page) -> list[str]:
    """What axe finds, one line each."""
    found = (await Axe().run(page)).response["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_passes_axe(scheme: str, open_profile: NewProfile, open_phone: NewPhone, wire: Wire) -> None:
    """No violation on any view, in its resting, failing, empty and ended states."""
    profile = await open_profile(color_scheme=scheme, reduced_motion="reduce")
    open_phone().call("DELETE", "/v1/sessions/current")
    open_phone("Ada's tablet")
    page = await profile.open("sign-up")
    await page.get_by_role("button", name="Make my account").click()
    await expect(page.get_by_text("Enter your email address.")).to_be_visible()
    assert await violations(page) == []
    await page.goto(f"{wire.origin}/#/")
    await sign_in(page, profile.email, "not the right password")
    await expect(page.get_by_text("don't go together")).to_be_visible()
    assert await violations(page) == []
    await sign_in(page, profile.email)
    for view, sign in (("", "Latest activity"), ("activity", "You made this account"), ("account", "Save name")):
        await page.goto(f"{wire.origin}/#/{view}")
        await expect(page.get_by_text(sign)).to_be_visible()
        assert await violations(page) == [], view
    await page.get_by_role("button", name="Close my account").click()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.goto(f"{wire.origin}/#/devices")
    await page.get_by_text("Ended in the last 30 days").click()
    await expect(page.get_by_text("Signed out by you, just now")).to_be_visible()
    await page.get_by_role("button", name="Rename Ada's tablet").click()
    assert await violations(page) == []
    wire.answer("/v1/devices", 502)
    await page.reload()
    await expect(page.get_by_text("Can't reach the server.")).to_be_visible()
    assert await violations(page) == []


async def test_second_step_passes_axe(profile: Profile, wire: Wire) -> None:
    """The step that only some accounts see, too."""
    wire.answer(
        "/v1/spa/login", 401, '{"code":"mfa_required","challenge_token":"x","methods":["totp","recovery_code"]}'
    )
    page = await profile.open()
    await sign_in(page, profile.email)
    await expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    assert await violations(page) == []


async def test_first_load_is_small(profile: Profile, wire: Wire) -> None:
    """Everything up to the sign-in form, headers included, comes in less than 60 KB."""
    page = await profile.context.new_page()
    network = await profile.context.new_cdp_session(page)
    await network.send("Network.enable")
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    await page.goto(wire.origin, wait_until="networkidle")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert sum(sizes) < LARGEST_FIRST_LOAD


@pytest.mark.parametrize("view", ["", "devices", "activity", "account"])
async def test_nothing_jumps_while_a_view_loads(view: str, open_profile: NewProfile, open_phone: NewPhone) -> None:
    """Layout shift stays under a tenth of what counts as good."""
    open_phone()
    profile = await open_profile(SHIFTS)
    page = await profile.signed_in()
    await page.goto(f"{profile.wire.origin}/#/{view}")
    await page.reload()
    await expect(page.locator("main > div:not(.loading) h1")).to_be_visible()
    assert (await page.evaluate("globalThis.testShift ?? 0")) < 0.01


async def overhang(page: Page) -> dict[int, int]:
    """By how much the page is too wide, at the widths of phones, of tablets, and beside each break of the styles."""
    found: dict[int, int] = {}
    for width in (320, 360, 390, 430, 461, 640, 641, 768):
        await page.set_viewport_size({"width": width, "height": 640})
        # Playwright's own script runs where the page's may not.
        over = int(await page.evaluate("document.documentElement.scrollWidth")) - width
        found |= {width: over} if over > 0 else {}
    return found


async def test_no_width_needs_sideways_scrolling(open_profile: NewProfile, open_phone: NewPhone) -> None:
    """320 pixels are enough for every view, long names included, and so are all widths above."""
    profile = await open_profile()
    open_phone("A-very-long-name-without-any-space-that-would-help-to-break-it")
    page = await profile.signed_in()
    for view in ("", "devices", "activity", "security", "account"):
        await page.goto(f"{profile.wire.origin}/#/{view}")
        await expect(page.locator("main > div:not(.loading) h1")).to_be_visible()
        assert await overhang(page) == {}, view


async def test_reduced_motion_is_respected(open_profile: NewProfile, open_phone: NewPhone) -> None:
    """Nothing is animated for those who asked for it; without the wish a ticket is torn."""
    for wish, moving in (("reduce", False), ("no-preference", True)):
        open_phone()
        profile = await open_profile(reduced_motion=wish)
        page = await profile.signed_in("devices")
        await page.evaluate(
            "globalThis.testMoved = []; addEventListener('animationstart', (e) => testMoved.push(e.animationName))"
        )
        await page.get_by_role("button", name="Sign out Ada's phone").click()
        await expect(page.get_by_role("button", name="Sign out Ada's phone")).to_have_count(0)
        assert ("tear" in await page.evaluate("globalThis.testMoved")) == moving


async def test_focus_is_visible(profile: Profile) -> None:
    """Every stop of the Tab key has an outline."""
    page = await profile.signed_in("account")
    await expect(page.get_by_role("button", name="Save name")).to_be_visible()
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement !== document.body"):
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", await page.evaluate("document.activeElement.outerHTML")
