"""What a person can see and do in the app, view by view."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import NewPhone
from tests.browser.profile import Profile, age, go, sign_in
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW_PASSWORD = "another four words in a row"


def ticket(page: Page, name: str) -> Locator:
    """The ticket of one device."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name, exact=True))


async def test_home_says_who_and_where(profile: Profile, open_phone: NewPhone) -> None:
    """The account, this device, the others, and what happened last."""
    open_phone()
    page = await profile.signed_in()
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    await expect(page.get_by_text(f"You're signed in as {profile.email}.")).to_be_visible()
    await expect(page.get_by_text("One other device holds a ticket of yours.")).to_be_visible()
    await expect(page.get_by_text("Signed in on Ada's phone")).to_be_visible()


async def test_device_list_marks_this_device_and_tells_when_and_from_where(
    profile: Profile, open_phone: NewPhone
) -> None:
    """Each ticket has its sessions, last use in words with the exact time on hover, address and number."""
    open_phone()
    page = await profile.signed_in("devices")
    await expect(page.get_by_text("Two devices hold a ticket of yours.")).to_be_visible()
    own = page.get_by_role("listitem").filter(has=page.get_by_text("This device").locator("visible=true"))
    await expect(own.get_by_text("Active now")).to_have_attribute("title", re.compile(r"\d{4} at \d\d:\d\d:\d\d"))
    await expect(own.get_by_text("This app")).to_be_visible()
    await expect(own.get_by_text("127.0.0.1")).to_be_visible()
    phone = ticket(page, "Ada's phone")
    await expect(phone.get_by_text("Last seen just now")).to_be_visible()
    await expect(phone.get_by_text("Phone app")).to_be_visible()
    number = await phone.get_by_text(re.compile(r"^No \d{4}$")).text_content()
    await page.reload()
    await expect(phone.get_by_text(number or "")).to_be_visible()


async def test_device_can_be_renamed_in_place(profile: Profile, open_phone: NewPhone) -> None:
    """Enter saves, Escape leaves it, an empty name is refused beside the field; the name survives a reload."""
    open_phone()
    page = await profile.signed_in("devices")
    await page.get_by_role("button", name="Rename Ada's phone").click()
    name = page.get_by_label("Name of this device")
    await name.fill("Never mind")
    await name.press("Escape")
    await expect(page.get_by_role("heading", name="Ada's phone")).to_be_visible()
    await expect(page.get_by_role("button", name="Rename Ada's phone")).to_be_focused()
    await page.get_by_role("button", name="Rename Ada's phone").click()
    await name.fill("")
    await name.press("Enter")
    await expect(page.get_by_text("Fill this in, please.")).to_be_visible()
    await name.fill('<b>Pocket</b> "phone"')
    await name.press("Enter")
    await expect(page.get_by_role("heading", name='<b>Pocket</b> "phone"')).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name='<b>Pocket</b> "phone"')).to_be_visible()


async def test_ended_device_stays_in_the_list_with_its_reason(profile: Profile, open_phone: NewPhone) -> None:
    """Signing a device out moves its ticket to the ended ones, with who and when."""
    open_phone()
    page = await profile.signed_in("devices")
    await page.get_by_text("Ended in the last 30 days").click()
    await expect(page.get_by_text("Nothing here.")).to_be_visible()
    own = await page.locator(".ticket", has=page.get_by_text("Active now")).get_by_role("heading").text_content()
    await page.get_by_role("button", name="Sign out Ada's phone").click()
    await expect(page.get_by_text(f"Signed out by you from {own}, just now")).to_be_visible()
    await expect(page.get_by_role("button", name="Sign out Ada's phone")).to_have_count(0)


async def test_all_other_devices_can_be_signed_out_after_a_question(profile: Profile, open_phone: NewPhone) -> None:
    """The question can be refused; said yes to, every other device is out and this one is not."""
    phones = [open_phone("Ada's phone"), open_phone("Ada's tablet")]
    page = await profile.signed_in("devices")
    button = page.get_by_role("button", name="Sign out all other devices")
    await button.click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await button.click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign them out").click()
    await expect(page.get_by_text("Only this device holds a ticket of yours.")).to_be_visible()
    await expect(button).to_be_hidden()
    for phone in phones:
        assert phone.call("GET", "/v1/me").json()["code"] == "session_revoked"


async def test_signing_out_everywhere_includes_this_browser(profile: Profile, open_phone: NewPhone) -> None:
    """Everything ends, here too, and the form shows."""
    phone = open_phone()
    page = await profile.signed_in("account")
    await page.get_by_role("button", name="Sign out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert phone.call("GET", "/v1/me").status_code == 401
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_activity_is_paged(profile: Profile, open_phone: NewPhone) -> None:
    """Twenty at a time, newest first, until the account's beginning."""
    phone = open_phone()
    for number in range(24):
        device = phone.call("GET", "/v1/devices").json()["devices"][0]["id"]
        assert phone.call("PATCH", f"/v1/devices/{device}", json={"name": f"Phone {number}"}).status_code == 200
    page = await profile.signed_in("activity")
    await expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(20)
    await expect(page.get_by_text("Now called Phone 23")).to_be_visible()
    await page.get_by_role("button", name="Show earlier").click()
    await expect(page.get_by_text("You made this account")).to_be_visible()
    await expect(page.get_by_role("button", name="Show earlier")).to_be_hidden()


async def test_name_can_be_changed(profile: Profile) -> None:
    """The new name greets at home."""
    page = await profile.signed_in("account")
    await page.get_by_label("Name").fill("Augusta Ada")
    await page.get_by_role("button", name="Save name").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await go(page, "Home")
    await expect(page.get_by_role("heading", name="Hello, Augusta Ada")).to_be_visible()


async def test_password_change_keeps_this_browser_and_ends_the_rest(profile: Profile, open_phone: NewPhone) -> None:
    """A wrong current password is told beside it; the right one changes it and empties the form."""
    phone = open_phone()
    page = await profile.signed_in("account")
    current, new = page.get_by_label("Current password"), page.get_by_label("New password")
    await current.fill("not the right password")
    await new.fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("This isn't your password.")).to_be_visible()
    await expect(current).to_be_focused()
    await current.fill(PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("Your password is changed.")).to_be_visible()
    await expect(new).to_have_value("")
    assert phone.call("GET", "/v1/me").status_code == 401
    await go(page, "Home")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await sign_in(page, profile.email, NEW_PASSWORD)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


async def test_account_can_be_closed_with_the_password(profile: Profile, wire: Wire) -> None:
    """Ten minutes after signing in the password is asked for: a wrong one closes nothing, the right one does."""
    page = await profile.signed_in("account")
    wire.change("UPDATE session SET auth_time = auth_time - 600000")
    await age(page, 20)  # so that the next call needs another access token, which knows
    await page.get_by_role("button", name="Close my account").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Your password")).to_be_hidden()
    await dialog.get_by_role("button", name="Close my account").click()
    await expect(dialog.get_by_text("Enter your password to go on.")).to_be_visible()
    await expect(dialog.get_by_label("Your password")).to_be_focused()
    await dialog.get_by_label("Your password").fill("not the right password")
    await dialog.get_by_role("button", name="Close my account").click()
    await expect(dialog.get_by_text("This isn't your password.")).to_be_visible()
    await dialog.get_by_label("Your password").fill(PASSWORD)
    await dialog.get_by_role("button", name="Close my account").click()
    await expect(page.get_by_text("Your account is closed.")).to_be_visible()
    await sign_in(page, profile.email)
    await expect(page.get_by_text("This address and password don't go together.")).to_be_visible()


async def test_account_is_closed_without_the_password_just_after_signing_in(profile: Profile, wire: Wire) -> None:
    """The sign-in was the proof."""
    page = await profile.signed_in("account")
    await page.get_by_role("button", name="Close my account").click()
    await page.get_by_role("dialog").get_by_role("button", name="Close my account").click()
    await expect(page.get_by_text("Your account is closed.")).to_be_visible()
    assert wire.count("/v1/me/reauthenticate") == 0


async def test_everything_can_be_reached_by_keyboard(profile: Profile, open_phone: NewPhone) -> None:
    """Tab and Enter sign in, open the devices and end one; the focus goes on to the next ticket."""
    open_phone("Ada's phone")
    open_phone("Ada's tablet")
    page = await profile.open("devices")
    await expect(page.get_by_label("Email address")).to_be_focused()
    await page.keyboard.type(profile.email)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    end = page.get_by_role("button", name="Sign out Ada's tablet")
    await expect(end).to_be_visible()
    while not await end.evaluate("(e) => e === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(end).to_have_count(0)
    await expect(page.get_by_role("button", name="Sign out Ada's phone")).to_be_focused()


async def test_unknown_view_is_home(profile: Profile) -> None:
    """An address nobody knows leads home, not to an empty page."""
    page = await profile.signed_in("no-such-view")
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


async def test_view_that_fails_offers_another_try(profile: Profile, wire: Wire) -> None:
    """A refusal nobody foresaw is told in plain words."""
    page = await profile.signed_in()
    wire.refuse("/v1/me/activity", 409, "conflict")
    await go(page, "Activity")
    await expect(page.get_by_text("This changed in the meantime.")).to_be_visible()
    wire.mend()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("You made this account")).to_be_visible()
