"""The second step in a real browser: passkeys with Chromium's own virtual authenticator, the app, recovery codes."""

from typing import Any

import pyotp
import pytest
from playwright.async_api import CDPSession, Page, expect

from tests.browser.conftest import NewProfile
from tests.browser.profile import Profile, sign_in
from tests.browser.test_looks import violations
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def key(page: Page, **options: Any) -> tuple[CDPSession, str]:
    """Plug a virtual authenticator into this tab; as a phone or laptop has one, unless told otherwise."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable", {"enableUI": False})
    made = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    made |= {"isUserVerified": True, "automaticPresenceSimulation": True} | options
    told = await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": made})
    return devtools, told["authenticatorId"]


async def codes_shown(page: Page) -> list[str]:
    """The recovery codes, once they are on the page."""
    await expect(page.get_by_role("heading", name="Keep these where your phone isn't")).to_be_visible()
    return await page.locator(".codes li").all_text_contents()


async def add_passkey(page: Page) -> list[str]:
    """Add one in the security view; the recovery codes that came with it."""
    await page.get_by_role("button", name="Add a passkey", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Add a passkey", exact=True).click()
    await expect(page.get_by_text("Passkey is added.")).to_be_visible()
    return await codes_shown(page)


async def sign_out(page: Page, origin: str) -> None:
    await page.goto(f"{origin}/#/account")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


# Or the authenticator, always present, would answer what the field offers before the button is pressed.
_ONLY_BY_BUTTON = (
    "if (globalThis.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = async () => false;"
)


async def test_passkey_is_added_and_signs_in_by_the_button(open_profile: NewProfile) -> None:
    """Added with recovery codes beside it; signed out, one press brings the person back without address or password."""
    profile = await open_profile(_ONLY_BY_BUTTON)
    page = await profile.open("security")
    await key(page)
    await sign_in(page, profile.email)
    codes = await add_passkey(page)
    assert len(set(codes)) == 10
    await expect(page.get_by_role("heading", name="Keep these where your phone isn't")).to_be_focused()
    assert await violations(page) == []
    await page.get_by_role("button", name="I've put them away").click()
    await expect(page.get_by_text("Ten codes left.")).to_be_visible()
    await expect(page.get_by_text(codes[0])).to_have_count(0)
    await sign_out(page, profile.wire.origin)
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.get_by_role("navigation")).to_be_visible()
    assert [line for line in profile.console if "error" in line.lower() and "401" not in line] == []


async def test_passkey_is_offered_in_the_address_field(profile: Profile) -> None:
    """Conditional: no button is pressed, the passkey in the browser's list is enough."""
    page = await profile.open("security")
    devtools, authenticator = await key(page)
    await sign_in(page, profile.email)
    await add_passkey(page)
    quiet = {"authenticatorId": authenticator, "enabled": False}
    await devtools.send("WebAuthn.setAutomaticPresenceSimulation", quiet)
    await sign_out(page, profile.wire.origin)
    await expect(page.get_by_label("Email address")).to_have_attribute("autocomplete", "username webauthn")
    await devtools.send("WebAuthn.setAutomaticPresenceSimulation", quiet | {"enabled": True})
    await page.reload()  # an authenticator that was asked while nobody was there does not ask again
    await expect(page.get_by_role("navigation")).to_be_visible()


async def test_passkey_is_the_second_step_after_the_password(profile: Profile) -> None:
    """A security key that knows no fingerprint: not enough by itself, enough after the password."""
    page = await profile.open("security")
    key_without_pin = {
        "transport": "usb",
        "hasResidentKey": False,
        "hasUserVerification": False,
        "isUserVerified": False,
    }
    await key(page, **key_without_pin)
    await sign_in(page, profile.email)
    await add_passkey(page)
    await sign_out(page, profile.wire.origin)
    await sign_in(page, profile.email)
    await expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    await expect(page.get_by_label("Code", exact=True)).to_have_count(0)
    assert await violations(page) == []
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("navigation")).to_be_visible()


async def test_passkey_that_is_removed_opens_nothing(profile: Profile) -> None:
    """Removed, the password alone signs in again, and the passkey is refused in plain words."""
    page = await profile.open("security")
    await key(page)
    await sign_in(page, profile.email)
    await add_passkey(page)
    await page.get_by_role("button", name="Remove Passkey").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_text("Nothing here yet.")).to_be_visible()
    await sign_out(page, profile.wire.origin)
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.get_by_text("This passkey can't be used here. Sign in with your password.")).to_be_visible()
    await sign_in(page, profile.email)
    await expect(page.get_by_role("navigation")).to_be_visible()


async def add_app(page: Page, button: str = "Show the picture") -> pyotp.TOTP:
    """Add an authenticator app as far as the picture."""
    await page.get_by_role("button", name="Add an authenticator app", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name=button).click()
    await expect(page.get_by_role("img", name="Picture to scan with your authenticator app")).to_be_visible()
    secret = await page.locator("code").text_content()
    return pyotp.TOTP((secret or "").replace(" ", ""))


async def test_app_is_added_by_its_picture_and_a_recovery_code_signs_in(
    profile: Profile, open_profile: NewProfile
) -> None:
    """The picture is drawn, a wrong code is told beside the field, the right one adds the app; signed out, a code
    of the ten signs in, once."""
    page = await profile.signed_in("security")
    app = await add_app(page)
    assert len(await page.locator(".qr path").get_attribute("d") or "") > 500
    assert await violations(page) == []
    await page.get_by_label("Code the app shows now").fill("000000")
    await page.get_by_role("button", name="Add this app").click()
    await expect(page.get_by_text("This is not the code that the app shows now.")).to_be_visible()
    await page.get_by_label("Code the app shows now").fill(app.now())
    await page.get_by_role("button", name="Add this app").click()
    await expect(page.get_by_text("Authenticator app is added.")).to_be_visible()
    codes = await codes_shown(page)
    other = await (await open_profile()).open()
    await sign_in(other, profile.email)
    await other.get_by_role("button", name="Use a recovery code").click()
    await other.get_by_label("Recovery code").fill(codes[0])
    await other.get_by_role("button", name="Continue").click()
    await expect(other.get_by_role("navigation")).to_be_visible()


async def test_change_after_five_minutes_asks_for_password_and_second_step(profile: Profile, wire: Wire) -> None:
    """The dialog asks for the password, then for the code, and then does what was asked."""
    page = await profile.signed_in("security")
    app = await add_app(page)
    await page.get_by_label("Code the app shows now").fill(app.now())
    await page.get_by_role("button", name="Add this app").click()
    await expect(page.get_by_text("Authenticator app is added.")).to_be_visible()
    codes = await codes_shown(page)
    wire.change("UPDATE session SET auth_time = auth_time - 600000")
    await page.reload()
    await page.get_by_role("button", name="Make new codes").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Make new codes").click()
    await dialog.get_by_label("Your password", exact=True).fill(PASSWORD)
    await dialog.get_by_role("button", name="Make new codes").click()
    await dialog.get_by_label("Code from your app, or a recovery code").fill(codes[1])
    await dialog.get_by_role("button", name="Make new codes").click()
    fresh = await codes_shown(page)
    assert len(set(fresh) | set(codes)) == 20
