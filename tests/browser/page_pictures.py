"""Pictures of the server-rendered pages, light, dark and on a phone, taken with JavaScript off.

`python -m tests.browser.page_pictures FOLDER`
"""

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pyotp
from playwright.async_api import Browser, Page, expect

from tests.browser.pictures import EMAIL, in_all_looks, main
from tests.browser.profile import new_profile, sign_in
from tests.browser.wire import Wire
from tests.house import FIREFOX

GUEST = {
    "sign-in": "/account/sign-in",
    "sign-up": "/account/sign-up",
    "forgot": "/account/forgot",
    "reset": "/account/reset",
    "sign-in-passkey": "/account/sign-in/passkey",
}
INSIDE = {
    "home": "/account",
    "devices": "/account/devices",
    "activity": "/account/activity",
    "profile": "/account/profile",
    "password": "/account/password",
    "step-up": "/account/step-up",
    "passkey-new": "/account/security/passkey",
    "app-new": "/account/security/app",
    "export": "/account/export",
    "close": "/account/close",
    "not-found": "/account/nothing",
}


async def take(browser: Browser, wire: Wire, folder: Path) -> None:
    """A person walks through her account."""
    headers = {"X-Forwarded-For": "203.0.113.7"}
    profile = await new_profile(
        browser, wire, user_agent=FIREFOX, extra_http_headers=headers, java_script_enabled=False
    )
    page = await profile.context.new_page()
    for name, path in GUEST.items():
        await page.goto(f"{wire.origin}{path}")
        await in_all_looks(page, folder, name)
    await page.goto(f"{wire.origin}/account")
    await sign_in(page, EMAIL)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    for name, path in INSIDE.items():
        await page.goto(f"{wire.origin}{path}")
        if name == "devices":
            await page.get_by_text("Ended in the last 30 days").click()
        await in_all_looks(page, folder, name)
    await page.goto(f"{wire.origin}/account/devices")
    await page.get_by_role("link", name="Rename Ada's phone", exact=True).click()
    await in_all_looks(page, folder, "rename")
    await page.goto(f"{wire.origin}/account/security/app")
    key = await page.locator(".key").inner_text()
    await page.get_by_label("Code", exact=True).fill(pyotp.TOTP(key.replace(" ", "")).now())
    await page.get_by_role("button", name="Add it", exact=True).click()
    await expect(page.get_by_role("heading", name="Your recovery codes", exact=True)).to_be_visible()
    await in_all_looks(page, folder, "codes")
    await page.get_by_role("button", name="I've kept them", exact=True).click()
    await expect(page.get_by_role("heading", name="Security", exact=True)).to_be_visible()
    await in_all_looks(page, folder, "security")
    await page.goto(f"{wire.origin}/account")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await sign_in(page, EMAIL)
    await expect(page.get_by_role("heading", name="One more step", exact=True)).to_be_visible()
    await in_all_looks(page, folder, "second-step")
    await page.get_by_label("Code", exact=True).fill(pyotp.TOTP(key.replace(" ", "")).at(int(time.time()) + 30))
    await page.get_by_role("button", name="Continue", exact=True).click()
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    await _desk(page, wire, folder)
    await profile.context.close()


async def _desk(page: Page, wire: Wire, folder: Path) -> None:
    """The same person as an administrator."""
    with closing(sqlite3.connect(wire.database, isolation_level=None)) as db:
        db.execute("UPDATE account SET roles = 'admin' WHERE email = ?", (EMAIL,))
    await page.goto(f"{wire.origin}/admin")
    await in_all_looks(page, folder, "admin-accounts")
    await page.get_by_role("link", name=EMAIL, exact=True).click()
    for name in ("", "activity", "role", "disable"):
        await page.goto(f"{page.url.rstrip('/')}/{name}" if name else page.url)
        await in_all_looks(page, folder, f"admin-{name or 'account'}")
        if name:
            await page.go_back()
    await page.goto(f"{wire.origin}/admin/audit")
    await in_all_looks(page, folder, "admin-audit")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), take))
