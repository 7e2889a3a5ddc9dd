"""What a person does on the pages about second factors."""

import time

import pyotp
from playwright.async_api import Page, expect

from tests.browser.page_acts import Act, Stage
from tests.browser.profile import sign_in
from tests.house import PASSWORD

STEP = 30  # seconds of a code


async def add_app(stage: Stage) -> tuple[pyotp.TOTP, list[str]]:
    """An authenticator app, added by its key; and the recovery codes that came with it."""
    await stage.open("/account/security/app")
    await stage.sees("Add an authenticator app")
    totp = pyotp.TOTP((await stage.page.locator(".key").inner_text()).replace(" ", ""))
    await stage.fill("Code", totp.now())
    await stage.press("Add it")
    await stage.sees("Your recovery codes")
    codes = await stage.page.locator(".codes li").all_inner_texts()
    await stage.press("I've kept them")
    await stage.sees("Security")
    return totp, codes


def next_code(totp: pyotp.TOTP) -> str:
    """The code after the one that added the app, which is used up."""
    return totp.at(int(time.time()) + STEP)


async def virtual_authenticator(page: Page) -> None:
    """A security key that always agrees."""
    chromium = await page.context.new_cdp_session(page)
    await chromium.send("WebAuthn.enable")
    kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = kind | {"isUserVerified": True, "automaticPresenceSimulation": True}
    await chromium.send("WebAuthn.addVirtualAuthenticator", {"options": options})


async def _security(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.follow("Security")
    await stage.reads("Your password alone signs you in. A second step keeps out whoever learns it.")
    await stage.follow("Add an authenticator app")
    await stage.sees("Add an authenticator app")


async def _app(stage: Stage) -> None:
    phone = stage.open_phone()
    await stage.signed_in("/account/security/app")
    key = await stage.page.locator(".key").inner_text()
    await stage.fill("Code", "000000")
    await stage.press("Add it")
    await stage.reads("This is not the code that the app shows now. Try the next one.")
    assert await stage.page.locator(".key").inner_text() == key
    await stage.fill("Code", pyotp.TOTP(key.replace(" ", "")).now())
    await stage.press("Add it")
    await stage.sees("Your recovery codes")
    assert phone.call("GET", "/v1/me").status_code == 401


async def _codes(stage: Stage) -> None:
    await stage.signed_in()
    _, codes = await add_app(stage)
    await stage.reads("Ten codes are left, for the day your phone is lost. Each works once.")
    await stage.open("/account/security/codes")
    await stage.sees("There's nothing here")
    await stage.open("/account/security")
    await stage.follow("Make new codes")
    await stage.press("Make new codes")
    await stage.sees("Your recovery codes")
    assert not set(codes) & set(await stage.page.locator(".codes li").all_inner_texts())


async def _factor(stage: Stage) -> None:
    await stage.signed_in()
    await add_app(stage)
    await stage.follow("Change Authenticator app")
    await stage.fill("Name", "Old phone")
    await stage.press("Save name")
    await stage.reads("It has its new name.")
    await stage.follow("Change Old phone")
    await stage.follow("Remove it")
    await stage.sees("Remove Old phone?")
    await stage.press("Remove it")
    await stage.reads("It is removed. Every other device is signed out.")
    await stage.reads("Your password alone signs you in. A second step keeps out whoever learns it.")


async def _verify(stage: Stage) -> None:
    await stage.signed_in()
    totp, codes = await add_app(stage)
    for way in ("app", "code"):
        await stage.open("/account")
        await stage.press("Sign out")
        await stage.open("/account/activity")
        await sign_in(stage.page, stage.email)
        await stage.sees("One more step")
        if way == "app":
            await stage.fill("Code", "000000")
            await stage.press("Continue")
            await expect(stage.page.get_by_role("alert").first).not_to_be_empty()
            await stage.fill("Code", next_code(totp))
        else:
            await stage.follow("Use a recovery code")
            await stage.fill("Recovery code", codes[0])
        await stage.press("Continue")
        await stage.sees("Activity")


async def _passkey(stage: Stage) -> None:
    """Added, asked for as a second step, and enough by itself."""
    await stage.signed_in("/account/security/passkey")
    await stage.sees("Add a passkey")
    if not stage.script:
        await expect(stage.page.get_by_text("Passkeys need JavaScript, which is off in this browser.")).to_be_visible()
        await expect(stage.page.get_by_role("button", name="Add a passkey")).to_have_count(0)
        return
    await virtual_authenticator(stage.page)
    await stage.fill("Name of the passkey (optional)", "Laptop")
    await stage.press("Add a passkey")
    await stage.sees("Your recovery codes")
    await stage.press("I've kept them")
    await stage.open("/account/step-up?next=/account/export")
    await stage.follow("Use a passkey instead")
    await stage.press("Use my passkey")
    await stage.sees("Your data")
    await stage.open("/account")
    await stage.press("Sign out")
    await sign_in(stage.page, stage.email)
    await stage.sees("One more step")
    await stage.press("Use my passkey")
    await stage.sees("Hello, Ada")
    await stage.press("Sign out")
    await stage.follow("Sign in with a passkey")
    await stage.press("Use my passkey")
    await stage.sees("Hello, Ada")


async def _sign_in_with_passkey(stage: Stage) -> None:
    await stage.open("/account/sign-in")
    await stage.follow("Sign in with a passkey")
    await stage.sees("Sign in")
    if not stage.script:
        await expect(stage.page.get_by_text("Passkeys need JavaScript, which is off in this browser.")).to_be_visible()
        await stage.follow("Start again")
        await expect(stage.page.get_by_label("Password", exact=True)).to_be_visible()
        return
    await _passkey(stage)


async def _step_up(stage: Stage) -> None:
    await stage.signed_in()
    totp, _ = await add_app(stage)
    await stage.open("/account/step-up?next=/account/export")
    await stage.fill("Your password", PASSWORD)
    await stage.press("Go on")
    await expect(stage.page.get_by_label("Code", exact=True)).to_be_visible()
    await stage.fill("Code", next_code(totp))
    await stage.press("Continue")
    await stage.sees("Your data")


async def _limit(stage: Stage) -> None:
    """Nothing is pending here; with a limit set: tests/api/test_pages_security.py."""
    await stage.open("/account/sign-in/limit?next=/account/devices")
    await stage.reads("That took too long, or was tried too often. Begin again.")
    await sign_in(stage.page, stage.email)
    await stage.sees("Where you're signed in")


ACTS: dict[str, Act] = {
    "/account/security": _security,
    "/account/security/app": _app,
    "/account/security/codes": _codes,
    "/account/security/codes/new": _codes,
    "/account/security/factors/{factor_id}": _factor,
    "/account/security/factors/{factor_id}/remove": _factor,
    "/account/security/passkey": _passkey,
    "/account/sign-in/limit": _limit,
    "/account/sign-in/passkey": _sign_in_with_passkey,
    "/account/sign-in/verify": _verify,
    "/account/step-up/verify": _step_up,
}
