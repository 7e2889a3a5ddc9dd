"""A forgotten password and a new address, from the app to the mail and back."""

import asyncio
import re
from email import message_from_bytes
from email.policy import default

import pytest
from playwright.async_api import expect

from tests.browser.profile import Profile, age, sign_in
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW_PASSWORD = "another four words in a row"


async def mailed(wire: Wire, to: str, path: str) -> str:
    """The link to a page of ours that a mail brought; the server delivers once a second."""
    outbox = wire.database.parent / "outbox"
    async with asyncio.timeout(30):
        while True:
            for file in outbox.glob("*.eml"):
                letter = message_from_bytes(file.read_bytes(), policy=default)
                part = letter.get_body(("plain",))
                found = re.search(rf"\S+{path}#\S+", str(part.get_content()) if part else "")
                if letter["To"] == to and found:
                    return found[0]
            await asyncio.sleep(0.1)  # nothing tells us when a file comes


async def test_forgotten_password_is_replaced_by_the_link_of_a_mail(profile: Profile) -> None:
    """From the sign-in view to the mail; the link's token leaves the address bar; the new password works, once."""
    page = await profile.open()
    await page.get_by_role("link", name="Forgot your password?", exact=True).click()
    await page.get_by_label("Email address", exact=True).fill(profile.email)
    await page.get_by_role("button", name="Send the link", exact=True).click()
    await expect(page.get_by_role("heading", name="Look into your mailbox", exact=True)).to_be_visible()
    link = await mailed(profile.wire, profile.email, "/account/reset")
    await page.goto(link)
    await expect(page).to_have_url(f"{profile.wire.origin}/account/reset")
    await expect(page.get_by_label("Code from the mail", exact=True)).to_be_hidden()
    await page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Set the new password", exact=True).click()
    await expect(page.get_by_text("Your new password is set")).to_be_visible()
    page = await profile.open()
    await sign_in(page, profile.email, NEW_PASSWORD)
    await expect(page.get_by_role("navigation")).to_be_visible()


async def test_address_is_confirmed_and_changed_by_mail(profile: Profile) -> None:
    """The account view says that the address isn't confirmed and sends the link again; a new one needs the password."""
    page = await profile.signed_in("account")
    await expect(page.get_by_text("Not confirmed yet.")).to_be_visible()
    await page.get_by_role("button", name="Send it again", exact=True).click()
    await expect(page.get_by_text("A link is on its way to your address.")).to_be_visible()
    await age(page, 6)
    fresh = f"new.{profile.email}"
    await page.get_by_label("New email address", exact=True).fill(fresh)
    await page.get_by_role("button", name="Send the link", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Send the link", exact=True).click()
    await expect(page.get_by_text("A link is on its way to the new address.")).to_be_visible()
    other = await profile.context.new_page()
    await other.goto(await mailed(profile.wire, fresh, "/account/email/confirm"))
    await other.get_by_label("Password", exact=True).fill(PASSWORD)
    await other.get_by_role("button", name="Confirm", exact=True).click()
    await expect(other.get_by_text("Your account has its new address.")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text(fresh, exact=True)).to_be_visible()
    await expect(page.get_by_text("Verified", exact=True)).to_be_visible()
