"""One run on a real X display: the mouse and the keyboard of the machine, not Kivy's own events."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import PASSWORD
from tests.live import Live

from .phone import Phone, opened

NEEDED = ("Xvfb", "xdotool")


@pytest.fixture
def display() -> Iterator[str]:
    """A display of its own, with nothing on it. `apt-get install xvfb xdotool`."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")  # a failure in continuous integration: tests.no_skips
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout
        yield f":{server.stdout.readline().decode().strip()}"
        server.terminate()


class Hand:
    """On the mouse and the keyboard."""

    def __init__(self, phone: Phone, display: str) -> None:
        self._phone, self._environment = phone, {"DISPLAY": display, "PATH": "/usr/bin:/bin"}

    def xdotool(self, *arguments: str) -> str:
        """What it printed."""
        done = subprocess.run(
            ["xdotool", *arguments], env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    async def click(self, text: str) -> None:
        """On a button or into a field."""
        place = await self._phone.do("where", text)
        assert place, f"no {text!r} among {await self._phone.texts()}"
        window = self.xdotool("search", "--pid", str(self._phone.process.pid)).splitlines()[-1]
        self.xdotool("windowfocus", window)
        self.xdotool("mousemove", "--window", window, str(int(place[0])), str(int(place[1])))
        await asyncio.sleep(0.1)
        self.xdotool("mousedown", "1")
        await asyncio.sleep(0.12)
        self.xdotool("mouseup", "1")
        await asyncio.sleep(0.15)

    async def type(self, label: str, text: str) -> None:
        """Into a field, key by key."""
        await self.click(label)
        while not await self._phone.do("focused", label):  # noqa: ASYNC110  # the window tells nobody
            await asyncio.sleep(0.05)
        self.xdotool("type", "--delay", "25", text)
        for _ in range(50):
            if await self._phone.do("typed", label) == text:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(await self._phone.do("typed", label))


async def test_with_a_real_mouse_and_keyboard(display: str, server: Live, email: str, tmp_path: Path) -> None:
    """Sign in, see the devices, sign out."""
    real = {"SDL_VIDEODRIVER": "x11", "DISPLAY": display}
    async with opened(tmp_path, server.url, "400x800", **real) as phone:
        await phone.at("sign_in", 15)
        hand = Hand(phone, display)
        await hand.type("Email address", email)
        await hand.type("Password", PASSWORD)
        await hand.click("Sign in")
        await phone.at("home")
        await hand.click("Devices")
        await phone.shows("Only this device holds a ticket of yours.")
        await hand.click("Settings")
        await phone.at("settings")
        hand.xdotool("key", "Escape")
        await phone.at("devices")
        await hand.click("Home")
        await phone.at("home")
        await hand.click("Sign out")
        await phone.at("sign_in")
