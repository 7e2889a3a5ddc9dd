"""In front, the app hears of a sign-out elsewhere at once: both ways, phone and browser, within a second."""

import asyncio
import time
from typing import Any

from mobile_demo import words
from mobile_demo.core import Core
from mobile_demo.live import Live as Following
from tests.waiting import until

from .browser import Browser
from .proxy import Proxy

Told = list[tuple[str, dict[str, Any]]]


async def follow(core: Core) -> Told:
    """What the core hears, from the moment the stream is open."""
    told: Told = []
    core.live = Following(core.session, lambda kind, data: told.append((kind, data)))
    await core.resume()
    await until(lambda: ("resumed", {}) in told)
    return told


async def test_the_browser_ends_the_phone(core: Core, browser: Browser) -> None:
    """Seen on the phone within a second, with the words that say from where."""
    await follow(core)
    await browser.sign_out_phone()
    took = await until(lambda: core.session.signed_in is None, 1.0)
    print(f"signed out by the browser, seen on the phone after {took * 1000:.0f} ms")
    assert words.farewell(core.session.farewell) == "This device was signed out from Firefox on Linux."
    assert await browser.status() == (200, "")


async def test_the_phone_ends_the_browser(core: Core, browser: Browser) -> None:
    """Refused at its very next request."""
    await follow(core)
    other = next(d for d in await core.api.devices() if not d["current"])
    await core.api.sign_out_device(other["id"])
    began = time.monotonic()
    assert await browser.status() == (401, "session_revoked")
    print(f"signed out by the phone, refused in the browser after {(time.monotonic() - began) * 1000:.0f} ms")
    assert core.session.signed_in


async def test_sign_out_others_keeps_this_one(core: Core, browser: Browser) -> None:
    """And says how many."""
    told = await follow(core)
    assert await core.api.sign_out_others() == 1
    assert await browser.status() == (401, "session_revoked")
    await until(lambda: any(kind == "session.ended" for kind, _ in told))
    assert core.session.signed_in


async def test_a_sign_in_elsewhere_is_told(core: Core, browser: Browser, email: str) -> None:
    """So that the list of devices can bring itself up to date."""
    told = await follow(core)
    await browser.sign_in(email)
    await until(lambda: any(kind == "session.started" and data["door"] == "spa" for kind, data in told))


async def test_a_broken_stream_comes_back(core: Core, proxy: Proxy, browser: Browser) -> None:
    """What happened meanwhile is found out when it opens again: here, that the session is over."""
    await follow(core)
    await proxy.offline()
    await until(lambda: core.session.online is False)
    assert core.session.signed_in
    await browser.sign_out_phone()
    await proxy.online()
    await until(lambda: core.session.signed_in is None)


async def test_paused_it_is_silent_and_resumed_it_checks(core: Core, proxy: Proxy, browser: Browser) -> None:
    """In the background nothing is sent; coming back, the first thing is to ask."""
    await follow(core)
    await core.pause()
    await asyncio.sleep(0.05)
    sent = len(proxy.seen)
    await browser.sign_out_phone()
    await asyncio.sleep(0.2)
    assert len(proxy.seen) == sent
    assert core.session.signed_in
    await core.resume()
    await until(lambda: core.session.signed_in is None, 1.0)
