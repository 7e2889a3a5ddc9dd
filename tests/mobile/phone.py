"""The app in a real (offscreen) window, as a test holds it: tap, type, look."""

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.house import PASSWORD

PATIENCE = 15.0  # seconds for something to show; the machine may be busy


class Phone:
    """One running app."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process, self.folder = process, folder
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter  # of the socket to the stage

    async def connect(self, path: Path) -> None:
        """As soon as it listens."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self._reader, self._writer = await asyncio.open_unix_connection(path, limit=1_000_000)
                return
            except OSError:
                assert self.process.returncode is None, (self.folder / "stderr").read_text()
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

    async def do(self, name: str, *arguments: Any) -> Any:
        """One command of `stage.py`."""
        self._writer.write(json.dumps([name, arguments]).encode() + b"\n")
        answer = await self._reader.readline()
        assert answer, (self.folder / "stderr").read_text()
        return json.loads(answer)

    async def shows(self, text: str, within: float = PATIENCE) -> float:
        """Wait for a text that contains this; how long it took."""
        return await self._until(lambda texts: any(text in one for one in texts), f"{text!r} to show", within)

    async def hides(self, text: str, within: float = PATIENCE) -> float:
        """Wait until no text contains this."""
        return await self._until(lambda texts: not any(text in one for one in texts), f"{text!r} to go", within)

    async def at(self, screen: str, within: float = PATIENCE) -> None:
        """Wait for a screen."""
        deadline = time.monotonic() + within
        while (here := await self.do("screen")) != screen:
            assert time.monotonic() < deadline, f"at {here}, not {screen}: {await self.texts()}"
            await asyncio.sleep(0.02)

    async def texts(self) -> list[str]:
        """Everything in sight."""
        return await self.do("texts")  # type: ignore[no-any-return]

    async def tap(self, text: str, nth: int = 0) -> None:
        """Touch a button, as soon as it can be touched."""
        deadline = time.monotonic() + PATIENCE
        while not await self.do("tap", text, nth):
            assert time.monotonic() < deadline, f"no {text!r} to tap among {await self.texts()}"
            await asyncio.sleep(0.02)

    async def fill(self, label: str, text: str) -> None:
        """Touch a field and type."""
        deadline = time.monotonic() + PATIENCE
        while not await self.do("focus", label):
            assert time.monotonic() < deadline, f"no field {label!r} among {await self.texts()}"
            await asyncio.sleep(0.02)
        await self.do("type", text)
        assert await self.do("typed", label) == text

    async def sign_in(self, email: str, password: str) -> None:
        """From the first screen to the home screen."""
        await self.at("sign_in")
        await self.fill("Email address", email)
        await self.fill("Password", password)
        await self.tap("Sign in")
        await self.at("home")

    async def back(self) -> None:
        """The back button."""
        await self.do("key", 27)

    async def screenshot(self, file: Path) -> None:
        """What the window shows."""
        await asyncio.sleep(0.1)
        made = Path(await self.do("screenshot", str(file.with_suffix(".png"))))
        shutil.move(made, file)

    async def _until(self, fits: Any, what: str, within: float) -> float:
        began = time.monotonic()
        while not fits(texts := await self.texts()):
            assert time.monotonic() - began < within, f"waited for {what}, saw {texts}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began


def secrets_in(folder: Path) -> list[str]:
    """Files in which a refresh token, a device secret, an access token or the password can be read: there should be
    none among what the app keeps, Kivy's own files and logs, and what it printed."""
    words = re.compile(rb"cct_[rd]_|eyJ[\w-]{16}|" + PASSWORD.encode())
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [str(file) for file in files if words.search(file.read_bytes())]


@asynccontextmanager
async def opened(folder: Path, server: str, size: str = "392x784", **environment: str) -> AsyncIterator[Phone]:
    """The app on `folder`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-") as short:  # socket names must be short
        path = Path(short) / "socket"
        command = [sys.executable, "-m", "tests.mobile.stage", str(path), "--server", server, "--size", size]
        with (folder / "stderr").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--folder",
                str(folder / "app"),
                env=os.environ | {"KIVY_HOME": str(folder / "kivy"), "PYTHONUNBUFFERED": "1"} | environment,
                stdout=log,
                stderr=log,
            )
        phone = Phone(process, folder)
        try:
            await phone.connect(path)
            yield phone
            phone._writer.write(b'["stop", []]\n')
            assert await asyncio.wait_for(process.wait(), 20) == 0, (folder / "stderr").read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            phone._writer.close()
        assert secrets_in(folder) == []
