"""Remote logout is seen at once, says who did it, and leaves the others alone."""

import time

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewPhone, NewProfile
from tests.browser.profile import Profile, go, refresh_directly
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Notes when the form appeared, in the page itself: a test that looks now and then would add its own pauses.
WATCH = """globalThis.testOut = new Promise((out) => new MutationObserver(() => {
  if (document.getElementById("si-email")) out(Date.now());
}).observe(document.body, { childList: true, subtree: true })); undefined"""


async def test_remote_logout_is_seen_within_a_second(profile: Profile, open_phone: NewPhone) -> None:
    """The signed-out browser says which device did it and has the address filled in."""
    page = await profile.signed_in("devices")
    await expect(page.get_by_text("Active now")).to_be_visible()
    token = await profile.refresh_token()
    phone = open_phone()
    await expect(page.get_by_role("heading", name="Ada's phone")).to_be_visible()
    await page.evaluate(WATCH)
    phone.sign_out_others()
    began = time.time()
    assert await page.evaluate("testOut") / 1000 - began < 1
    await expect(page.get_by_text("This browser was signed out from Ada's phone.")).to_be_visible()
    await expect(page.get_by_label("Email address")).to_have_value(profile.email)
    await expect(page.get_by_label("Password", exact=True)).to_be_focused()
    assert refresh_directly(profile.wire, token).json()["code"] == "session_revoked"
    await page.reload()  # the dead cookie may still be in the jar: told once is enough
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("This browser was signed out")).to_be_hidden()


async def test_remote_logout_between_two_profiles(open_profile: NewProfile) -> None:
    """One browser signs the other out by its ticket; the ticket is torn off, the other shows the form."""
    ours, theirs = await open_profile(), await open_profile()
    victim = await theirs.signed_in()
    page = await ours.signed_in("devices")
    tickets = page.get_by_role("listitem").filter(has=page.get_by_role("heading"))
    await expect(tickets).to_have_count(2)
    await victim.evaluate(WATCH)
    async with page.expect_response("**/v1/devices/*"):
        await tickets.get_by_role("button", name="Sign out").click()
    began = time.time()
    assert await victim.evaluate("testOut") / 1000 - began < 1
    await expect(tickets).to_have_count(1)
    await expect(page.get_by_text("Only this device holds a ticket of yours.")).to_be_visible()


async def test_remote_logout_without_the_stream_is_told_by_the_next_call(
    profile: Profile, open_phone: NewPhone, wire: Wire
) -> None:
    """A server or proxy without event streams costs the "at once", nothing else."""
    wire.refuse("/v1/events", 404, "not_found")
    page = await profile.signed_in()
    open_phone().sign_out_others()
    await go(page, "Devices")
    await expect(page.get_by_text("This browser was signed out")).to_be_visible()
    await expect(page.get_by_label("Email address")).to_have_value(profile.email)


async def test_event_stream_reconnects(profile: Profile, open_phone: NewPhone, wire: Wire) -> None:
    """A broken line is taken up again, and what happened meanwhile is shown."""
    wire.cut("/v1/events")
    page = await profile.signed_in("devices")
    await expect(page.get_by_text("Only this device holds a ticket of yours.")).to_be_visible()
    wire.mend()
    async with page.expect_response("**/v1/events"):
        pass
    open_phone("Ada's tablet")
    await expect(page.get_by_role("heading", name="Ada's tablet")).to_be_visible()


async def test_new_sign_in_is_shown_at_once(profile: Profile, open_phone: NewPhone) -> None:
    """Whatever view is open, a sign-in elsewhere is told."""
    page = await profile.signed_in("account")
    async with page.expect_response("**/v1/events"):
        await page.reload()
    open_phone()
    await expect(page.get_by_text("New sign-in: Ada's phone")).to_be_visible()


async def test_remote_logout_while_the_browser_was_closed_is_told_at_the_next_start(
    profile: Profile, open_phone: NewPhone
) -> None:
    """Who comes back later is told why there is a form, and it has the address where the tab remembers it."""
    page = await profile.signed_in()
    await page.goto("about:blank")
    open_phone().sign_out_others()
    await page.goto(f"{profile.wire.origin}/")
    await expect(page.get_by_text("This browser was signed out")).to_be_visible()
    await expect(page.get_by_label("Email address")).to_have_value(profile.email)
