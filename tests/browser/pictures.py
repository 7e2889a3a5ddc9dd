"""Pictures of every view, light, dark and on a phone, out of the running app.

`python -m tests.browser.pictures FOLDER`
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from shutil import which
from typing import Literal

import httpx2
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import ARGUMENTS, SETTINGS
from tests.browser.profile import Phone, new_profile, sign_in
from tests.browser.wire import Wire
from tests.house import FIREFOX, PASSWORD
from tests.live import serving

EMAIL = "ada@example.org"
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
# Device: when it signed in and was last seen, in milliseconds before now.
PAST = {"Ada's phone": (20 * DAY, 4 * MINUTE), "Chrome on Windows": (11 * DAY, DAY), "Old tablet": (60 * DAY, 3 * DAY)}
# Colour scheme, width and height.
LOOKS: dict[str, tuple[Literal["light", "dark"], int, int]] = {
    "light": ("light", 960, 720),
    "dark": ("dark", 960, 720),
    "phone": ("light", 390, 800),
}
VIEWS = {"home": "", "devices": "devices", "activity": "activity", "security": "security", "account": "account"}


Taker = Callable[[Browser, Wire, Path], Awaitable[None]]


async def main(folder: Path, take: Taker) -> None:
    """Start a server, let a person live on it, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    program = which("chromium") or which("google-chrome")
    wire = Wire()
    with tempfile.TemporaryDirectory() as data:
        settings = SETTINGS | {"data_dir": data, "public_url": wire.origin, "trusted_proxies": "127.0.0.1/32"}
        with serving(Path(data) / "log", **settings) as live:
            wire.upstream, wire.database = live.port, Path(data) / "coatcheck.sqlite3"
            async with wire.listening(), async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
                _live_a_little(wire, Path(data))
                await take(browser, wire, folder)
                await browser.close()


def _live_a_little(wire: Wire, data: Path) -> None:
    person = {"email": EMAIL, "password": PASSWORD, "name": "Ada"}
    httpx2.post(f"http://127.0.0.1:{wire.upstream}/v1/accounts", json=person).raise_for_status()
    tablet = Phone(wire, EMAIL, "Old tablet", "iPadOS", **{"X-Forwarded-For": "198.51.100.9"})
    phone = Phone(wire, EMAIL, **{"X-Forwarded-For": "198.51.100.23"})
    tablet.call("DELETE", "/v1/sessions/current")
    windows = Phone(wire, EMAIL, "Chrome on Windows", "Windows", **{"X-Forwarded-For": "192.0.2.44"})
    for device in (phone, tablet, windows):
        device.close()
    now = int(time.time() * 1000)
    with closing(sqlite3.connect(data / "coatcheck.sqlite3", isolation_level=None)) as db:
        for name, (began, seen) in PAST.items():
            db.execute(
                "UPDATE session SET created_at = ?, last_seen_at = ?, ended_at = CASE WHEN ended_at IS NULL THEN NULL"
                " ELSE ? END WHERE device_id = (SELECT id FROM device WHERE name = ?)",
                (now - began, now - seen, now - seen, name),
            )


async def _take(browser: Browser, wire: Wire, folder: Path) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7"}
    profile = await new_profile(browser, wire, user_agent=FIREFOX, extra_http_headers=headers)
    page = await profile.open()
    await _looks(page, folder, "sign-in")
    await page.goto(f"{wire.origin}/#/sign-up")
    await _looks(page, folder, "sign-up")
    await page.goto(f"{wire.origin}/#/")
    await sign_in(page, EMAIL)
    await expect(page.get_by_role("navigation")).to_be_visible()
    for name, view in VIEWS.items():
        await page.goto(f"{wire.origin}/#/{view}")
        if name == "devices":
            await page.get_by_text("Ended in the last 30 days").click()
            await expect(page.get_by_text("Old tablet")).to_be_visible()
        await _looks(page, folder, name)
    await profile.context.close()


async def _looks(page: Page, folder: Path, name: str) -> None:
    await expect(page.locator("main > div:not(.loading) h1").first).to_be_visible()
    await in_all_looks(page, folder, name)


async def in_all_looks(page: Page, folder: Path, name: str) -> None:
    """One view: light, dark, and on a phone."""
    for look, (scheme, width, height) in LOOKS.items():
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": height})
        file = folder / f"{name}-{look}.png"
        await page.screenshot(path=file, full_page=True, animations="disabled", caret="hide")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), _take))
