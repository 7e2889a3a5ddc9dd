"""Pictures of the server-rendered pages, light, dark and on a phone, taken with JavaScript off.

`python -m tests.browser.page_pictures FOLDER`
"""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.browser.pictures import EMAIL, in_all_looks, main
from tests.browser.profile import new_profile, sign_in
from tests.browser.wire import Wire
from tests.house import FIREFOX

GUEST = {"sign-in": "/account/sign-in", "sign-up": "/account/sign-up"}
INSIDE = {
    "home": "/account",
    "devices": "/account/devices",
    "activity": "/account/activity",
    "profile": "/account/profile",
    "password": "/account/password",
    "step-up": "/account/step-up",
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
    await profile.context.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), take))
