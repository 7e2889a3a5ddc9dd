"""Every screen and action, in a real window drawn off screen, against the real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD
from tests.live import Live

from .browser import Browser
from .conftest import register
from .phone import Phone, opened
from .proxy import Hang, Proxy
from .test_session import status_of

STILL = "Can't reach the server. You're still signed in."


@pytest_asyncio.fixture
async def phone(proxy: Proxy, tmp_path: Path) -> AsyncIterator[Phone]:
    """The app, just installed."""
    async with opened(tmp_path, proxy.url) as app:
        await app.at("sign_in")
        yield app


async def test_from_a_new_account_to_the_last_sign_out(phone: Phone, proxy: Proxy) -> None:
    """Sign up, look around, rename, sign out, sign in again: the same device with its name."""
    await phone.tap("Make an account")
    await phone.tap("Make the account")
    await phone.shows("Type an address and a password, then try again.")
    await phone.fill("Your name, if you like", "Ada")
    await phone.fill("Email address", f"new-{proxy.port}@example.test")
    await phone.fill("Password", "short")
    await phone.tap("Make the account")
    await phone.shows("Choose another password.")
    await phone.fill("Password", PASSWORD)
    await phone.tap("Make the account")
    await phone.at("home")
    await phone.shows("Hello, Ada")
    await phone.shows("No other device")
    await phone.tap("Devices")
    await phone.shows("Only this device holds a ticket of yours.")
    [number] = [text for text in await phone.texts() if text.startswith("No ")]
    await phone.tap("Rename")
    await phone.fill("Its name", "Ada's phone")
    await phone.tap("Rename it")
    await phone.shows("Ada's phone")
    await phone.tap("Activity")
    await phone.shows("You renamed a device")
    await phone.tap("Settings")
    await phone.tap("Sign out")
    await phone.at("sign_in")
    await phone.sign_in(f"new-{proxy.port}@example.test", PASSWORD)
    await phone.shows("Ada's phone")
    await phone.shows(number)


async def test_the_phone_and_a_browser_end_each_other(phone: Phone, server: Live, browser: Browser, email: str) -> None:
    """The ticket is torn off; the browser is refused at its next request; then the other way round, within a second."""
    await phone.sign_in(email, PASSWORD)
    await phone.tap("Devices")
    await phone.shows("Firefox on Linux")
    await phone.tap("Sign out")
    await phone.shows("Firefox on Linux is signed out.")
    assert await browser.status() == (401, "session_revoked")
    await phone.shows("Only this device holds a ticket")
    await phone.tap("Show ended in the last 30 days")
    await phone.shows("Signed out by you from Coatcheck on")
    del browser.http.headers["Authorization"]
    await browser.sign_in(email)
    await phone.shows("Two devices hold", 3)
    await browser.sign_out_phone()
    took = await phone.shows("This device was signed out from Firefox on Linux.", 1)
    print(f"signed out by the browser, shown in the window after {took * 1000:.0f} ms")
    assert await phone.do("screen") == "sign_in"


async def test_all_others_are_signed_out_after_a_question(phone: Phone, browser: Browser, email: str) -> None:
    """ "Not now" does nothing, the back button neither."""
    await phone.sign_in(email, PASSWORD)
    await phone.tap("Devices")
    await phone.tap("Sign out all other devices")
    await phone.tap("Not now")
    await phone.tap("Sign out all other devices")
    await phone.shows("Sign them out")
    await phone.back()
    await phone.hides("Sign them out")
    assert await browser.status() == (200, "")
    await phone.tap("Sign out all other devices")
    await phone.tap("Sign them out")
    await phone.shows("Only this device is left.")
    assert await browser.status() == (401, "session_revoked")


async def test_without_network(phone: Phone, proxy: Proxy, server: Live, tmp_path: Path) -> None:
    """Wrong password, no network, back again: each in words; a sign-out without network is told later."""
    email = register(server)
    await phone.tap("Sign in")
    await phone.shows("Type your address and your password, then try again.")
    await phone.fill("Email address", email)
    await phone.fill("Password", "wrong")
    await phone.tap("Sign in")
    await phone.shows("This address and password don't go together. Check both and try again.")
    await proxy.offline()
    await phone.tap("Sign in")
    await phone.shows("Can't reach the server. Check your connection, then try again.")
    await proxy.online()
    await phone.fill("Password", PASSWORD)
    await phone.tap("Sign in")
    await phone.at("home")
    await phone.shows("No other device")
    await proxy.offline()
    await phone.shows(STILL)
    await phone.tap("Devices")
    await phone.shows("as soon as the server can be reached")
    await phone.tap("Activity")
    await phone.shows("as soon as the server can be reached")
    await proxy.online()
    await phone.tap("Try again")
    await phone.hides(STILL)
    await phone.shows("You made this account")
    await phone.tap("Devices")
    await phone.shows("Only this device")
    token = TokenStore(tmp_path / "app").load().signed_in
    assert token
    await proxy.offline()
    await phone.tap("Settings")
    await phone.tap("Sign out")
    await phone.at("sign_in")
    assert TokenStore(tmp_path / "app").load().owed
    await proxy.online()
    for _ in range(200):
        if not TokenStore(tmp_path / "app").load().owed:
            break
        await phone.texts()
    assert await status_of(server, token.refresh_token) == (400, "session_revoked")


async def test_a_start_without_network_shows_who_is_signed_in(
    phone: Phone, proxy: Proxy, email: str, tmp_path: Path
) -> None:
    """From what is kept, in under a second from the first frame."""
    await phone.sign_in(email, PASSWORD)
    await phone.shows("No other device")
    await phone.do("pause")
    await proxy.offline()
    async with opened(tmp_path, proxy.url) as again:
        await again.shows("Coatcheck")
        took = await again.shows("Hello, Ada", 3)
        print(f"offline start: known {took * 1000:.0f} ms after the window was there")
        assert took < 1
        await again.shows(STILL)
        await again.shows("Coatcheck on")
        await again.tap("Refresh")


async def test_the_window_never_waits_for_the_network(phone: Phone, proxy: Proxy, email: str) -> None:
    """While every request hangs, no frame takes 50 ms; the line under the header runs, the screens answer."""
    await phone.sign_in(email, PASSWORD)
    await phone.shows("No other device")
    for start in ("GET", "POST", "PATCH"):
        proxy.rules[start] = Hang()
    await phone.tap("Devices")
    await phone.shows("Where you're signed in")
    calm = 0
    for _ in range(20):  # a busy machine holds up a frame now and then; an app that waits would do so each time
        await phone.tap("Refresh")
        await phone.do("frames")
        await asyncio.sleep(0.6)
        frames = sorted(await phone.do("frames"))
        calm += frames[-1] < 0.05
        print(
            f"network hanging: {len(frames)} frames, median {_ms(frames[len(frames) // 2])}, longest {_ms(frames[-1])}"
        )
        if calm == 2:
            break
    assert calm
    assert await phone.do("screen") == "devices"
    await phone.tap("Settings")
    await phone.at("settings", 1)


async def test_the_back_button_leads_back(phone: Phone, email: str) -> None:
    """One screen at a time, and never past a sign-in or sign-out."""
    await phone.tap("Settings")
    await phone.at("settings")
    await phone.back()
    await phone.at("sign_in")
    await phone.tap("Make an account")
    await phone.at("sign_up")
    await phone.tap("I have an account")
    await phone.sign_in(email, PASSWORD)
    await phone.back()
    await phone.at("home")
    await phone.tap("Devices")
    await phone.tap("Activity")
    await phone.at("activity")
    await phone.back()
    await phone.at("devices")
    await phone.back()
    await phone.at("home")


async def test_the_settings(phone: Phone, server: Live, proxy: Proxy, tmp_path: Path) -> None:
    """An address is checked before it is used, one that could be overheard is refused; the appearance is kept."""
    await phone.tap("Settings")
    await phone.fill("Address", "http://coatcheck.example.com")
    await phone.tap("Check")
    await phone.shows("This address isn't protected. Start it with https://.")
    await phone.fill("Address", "http://127.0.0.1:9")
    await phone.tap("Check")
    await phone.shows("Nothing answered there.")
    await phone.fill("Address", server.url)
    await phone.tap("Check")
    await phone.shows("This server is ready.")
    await phone.tap("Use this server")
    await phone.shows("From now on you sign in there.")
    await phone.shows("Your ticket is kept in an encrypted file")
    await phone.tap("Dark")
    await phone.tap("Back")
    await phone.shows(f"Server: {server.url}")
    assert '"appearance": "dark"' in (tmp_path / "app" / "preferences.json").read_text()


async def test_paused_and_resumed(phone: Phone, browser: Browser, email: str) -> None:
    """Signed out while in the background: seen on coming back."""
    await phone.sign_in(email, PASSWORD)
    await phone.shows("One other device")
    await phone.do("pause")
    await browser.sign_out_phone()
    await phone.do("resume")
    await phone.shows("This device was signed out", 2)


async def test_nothing_runs_out_of_a_small_window(server: Live, browser: Browser, email: str, tmp_path: Path) -> None:
    """At the width of a small phone every word stays inside; a list pulled down is brought up to date."""
    async with opened(tmp_path, server.url, "320x560") as phone:
        await phone.at("sign_in")
        assert await phone.do("overlaps") == []
        await phone.sign_in(email, PASSWORD)
        await phone.shows("One other device")
        for name, sign in (("Devices", "Firefox on Linux"), ("Activity", "You made"), ("Settings", "Appearance")):
            await phone.tap(name)
            await phone.shows(sign)
            assert await phone.do("overlaps") == [], name
        await phone.tap("Devices")
        await phone.shows("Firefox on Linux")
        await phone.do("pull")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
