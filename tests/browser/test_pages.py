"""The server-rendered pages in a real browser: with and without a script, by keyboard, on a phone, for every eye."""

import pytest
from fastapi.routing import APIRoute
from playwright.async_api import Page, expect

from coatcheck import settings
from coatcheck.app import create_app
from coatcheck.routes import paths
from tests.browser import page_acts, page_acts_admin, page_acts_mail, page_acts_security
from tests.browser.conftest import NewPhone, NewProfile
from tests.browser.page_acts import Stage
from tests.browser.page_walk import walk
from tests.browser.profile import sign_in
from tests.browser.test_looks import overhang, violations
from tests.browser.wire import Wire
from tests.house import PASSWORD, SECRET

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACTS = page_acts.ACTS | page_acts_security.ACTS | page_acts_mail.ACTS | page_acts_admin.ACTS
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])


def page_paths(method: str) -> set[str]:
    """Every page's address, from the application itself."""
    routes = create_app(settings.load({}, secret_key=[SECRET])).routes
    found = [route for route in routes if isinstance(route, APIRoute) and paths.is_page(route.path)]
    return {route.path for route in found if method in (route.methods or ())}


async def test_pages_all_have_an_act() -> None:
    """A page that nobody tries in a browser fails here; so does an act of a page that is gone."""
    assert set(ACTS) == page_paths("GET") | page_paths("POST")


@SCRIPT
@pytest.mark.parametrize("path", sorted(ACTS))
async def test_pages_work_with_and_without_a_script(
    path: str, script: bool, open_profile: NewProfile, open_phone: NewPhone, wire: Wire
) -> None:
    """Each page does its work in both kinds of browser, and complains of nothing to the console."""
    profile = await open_profile(java_script_enabled=script)
    await ACTS[path](Stage(await profile.context.new_page(), wire, profile.email, open_phone, script))
    assert [line for line in profile.console if "Failed to load resource" not in line] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_pass_axe(scheme: str, open_profile: NewProfile, open_phone: NewPhone, wire: Wire) -> None:
    """No violation on any page, with and without errors and ended tickets, in both colour schemes."""
    profile = await open_profile(color_scheme=scheme)
    open_phone().call("DELETE", "/v1/sessions/current")
    open_phone("Ada's tablet")
    page = await profile.context.new_page()

    async def check(path: str) -> None:
        if path == "/account/devices":
            await page.get_by_text("Ended in the last 30 days", exact=True).click()
        assert await violations(page) == [], path

    await page.goto(f"{wire.origin}/account/sign-up")
    await page.get_by_label("Email address").fill("ada@example")
    await page.get_by_label("Password", exact=True).fill("short")
    await page.get_by_role("button", name="Make my account", exact=True).click()
    await expect(page.get_by_text("Use 15 characters or more", exact=False)).to_be_visible()
    await check("refused")
    await walk(Stage(page, wire, profile.email, open_phone), page_paths("GET"), check)


async def test_pages_fit_a_phone(open_profile: NewProfile, open_phone: NewPhone, wire: Wire) -> None:
    """320 pixels are enough for every page, long names included, and so are all widths above."""
    profile = await open_profile(java_script_enabled=False)
    open_phone("A-very-long-name-without-any-space-that-would-help-to-break-it")
    page = await profile.context.new_page()

    async def check(path: str) -> None:
        assert await overhang(page) == {}, path

    await walk(Stage(page, wire, profile.email, open_phone, script=False), page_paths("GET"), check)


async def test_pages_show_nothing_private_after_sign_out(open_profile: NewProfile, wire: Wire) -> None:
    """The back button after signing out leads to the sign-in page, not to what was on the screen."""
    for script in (True, False):
        profile = await open_profile(java_script_enabled=script)
        page = await profile.context.new_page()
        await page.goto(f"{wire.origin}/account/profile")
        await sign_in(page, profile.email)
        await page.get_by_role("link", name="Activity", exact=True).click()
        await page.get_by_role("link", name="Home", exact=True).click()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await expect(page.get_by_text("You're signed out.", exact=True)).to_be_visible()
        for _ in range(3):
            await page.go_back()
            await expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
            assert profile.email not in await page.content()


async def test_pages_work_by_keyboard_alone(open_profile: NewProfile, open_phone: NewPhone, wire: Wire) -> None:
    """Sign in, rename the phone, sign it out: Tab, Enter and letters, and the focus is always to be seen."""
    phone = open_phone()
    profile = await open_profile(java_script_enabled=False)
    page = await profile.context.new_page()
    await page.goto(f"{wire.origin}/account/devices")
    await _tab_to(page, "Email address")
    await page.keyboard.type(profile.email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    await _tab_to(page, "Rename Ada's phone")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Rename a device", exact=True)).to_be_visible()
    await _tab_to(page, "Name of this device")
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("Pocket")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("The device has its new name.", exact=True)).to_be_visible()
    await _tab_to(page, "Sign out Pocket")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("The device is signed out.", exact=True)).to_be_visible()
    assert phone.call("GET", "/v1/me").status_code == 401


async def _tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, which is drawn each time."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused, outline = await page.evaluate(
            "(() => { const e = document.activeElement; return [e.ariaLabel ?? e.labels?.[0]?.textContent ??"
            " e.textContent, getComputedStyle(e).outlineStyle]; })()"
        )
        if focused.strip() == name:
            assert outline == "solid"
            return
    raise AssertionError(f"Tab never reached {name!r}")


async def test_pages_find_a_visitor_from_another_site_signed_in(open_profile: NewProfile, wire: Wire) -> None:
    """A link on another site: the Strict cookie stays behind at first, and the page brings it all the same."""
    for script in (True, False):
        profile = await open_profile(java_script_enabled=script)
        page = await profile.context.new_page()
        await page.goto(f"{wire.origin}/account")
        await sign_in(page, profile.email)
        await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        await page.goto("data:text/html,<a href='" + f"{wire.origin}/account/activity" + "'>look</a>")
        await page.get_by_role("link", name="look").click()
        await expect(page.get_by_role("heading", name="Activity", exact=True)).to_be_visible()


async def test_pages_tell_times_of_the_persons_own_place(open_profile: NewProfile, wire: Wire) -> None:
    """With a script the hours are her own; without one they are said to be UTC."""
    for script, expected in ((True, False), (False, True)):
        profile = await open_profile(java_script_enabled=script, timezone_id="Asia/Kathmandu")
        page = await profile.context.new_page()
        await page.goto(f"{wire.origin}/account")
        await sign_in(page, profile.email)
        shown = page.locator("time").first
        await expect(shown).to_contain_text("Stays signed in until")
        if script:
            await expect(shown).not_to_contain_text("UTC")
        assert ("UTC" in await shown.inner_text()) is expected
