"""Takes the pictures in docs/screens/mobile/ from a running app and a running server.

python -m tests.mobile.screens
"""

import asyncio
import tempfile
from pathlib import Path

from tests.house import CHROME, PASSWORD
from tests.live import Live, serving

from .browser import SPA_ORIGIN, Browser
from .conftest import register
from .phone import Phone, opened
from .proxy import proxying

PICTURES = Path("docs/screens/mobile")


async def walk(phone: Phone, live: Live, name: str) -> None:
    """Every screen, signed in and out."""
    email = register(live, "ada")
    browsers = [Browser(live, agent) for agent in (CHROME, None)]
    for browser in browsers:
        await browser.sign_in(email)
    await phone.at("sign_in")
    await phone.screenshot(PICTURES / f"{name}-sign-in.png")
    await phone.tap("Make an account")
    await phone.screenshot(PICTURES / f"{name}-sign-up.png")
    await phone.back()
    await phone.sign_in(email, PASSWORD)
    await phone.shows("other devices hold")
    await asyncio.sleep(0.3)
    await phone.screenshot(PICTURES / f"{name}-home.png")
    await phone.tap("Devices")
    await phone.shows("Chrome on Windows")
    await asyncio.sleep(0.3)
    await phone.screenshot(PICTURES / f"{name}-devices.png")
    await phone.tap("Sign out all other devices")
    await asyncio.sleep(0.4)
    await phone.screenshot(PICTURES / f"{name}-question.png")
    await phone.tap("Not now")
    await phone.tap("Sign out", 1)
    await phone.shows("is signed out")
    await phone.tap("Show ended in the last 30 days")
    await phone.shows("Signed out by you")
    await phone.do("scroll", 0)
    await asyncio.sleep(0.4)
    await phone.screenshot(PICTURES / f"{name}-ended.png")
    await phone.tap("Activity")
    await phone.shows("You made this account")
    await asyncio.sleep(0.3)
    await phone.screenshot(PICTURES / f"{name}-activity.png")
    await phone.tap("Settings")
    await phone.tap("Check")
    await phone.shows("ready")
    await phone.screenshot(PICTURES / f"{name}-settings.png")
    await browsers[1].sign_out_phone()
    await phone.shows("This device was signed out from")
    await phone.screenshot(PICTURES / f"{name}-signed-out.png")
    for browser in browsers:
        await browser.http.aclose()


async def main() -> None:
    """Three walks: a phone, a desktop window, and that in the dark; and one screen without network."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as made,
        serving(
            Path(made) / "log", data_dir=Path(made) / "data", allowed_origins=SPA_ORIGIN, limit_login="off"
        ) as live,
    ):
        folder = Path(made)
        for name, size, appearance in (
            ("phone", "392x852", "light"),
            ("light", "960x760", "light"),
            ("dark", "960x760", "dark"),
            ("phone-dark", "392x852", "dark"),
        ):
            async with opened(folder / name, live.url, size) as phone:
                await phone.at("sign_in")
                await phone.do("appearance", appearance)
                await walk(phone, live, name)
        await offline(folder / "offline", live)


async def offline(folder: Path, live: Live) -> None:
    """Known, though nothing answers."""
    async with proxying(live.port) as proxy, opened(folder, proxy.url, "392x852") as phone:
        await phone.sign_in(register(live, "ada"), PASSWORD)
        await phone.shows("No other device")
        await proxy.offline()
        await phone.shows("Can't reach the server. You're still signed in.")
        await phone.screenshot(PICTURES / "phone-offline.png")


if __name__ == "__main__":
    asyncio.run(main())
