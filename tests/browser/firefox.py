"""Firefox over WebDriver BiDi: as much of it as the core flow needs. Playwright's own Firefox is a patched build that
Debian does not have, and it can't speak to this one."""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 60.0  # seconds for anything to happen; on a busy machine a start has taken more than twenty
# No calls home, no first-run pages.
_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "services.settings.server": "data:,#",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """A running browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def command(self, method: str, **params: Any) -> Any:
        """One command of the protocol, and its result."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(PATIENCE):
            told = await answer
        assert told["type"] == "success", told
        return told["result"]

    async def listen(self) -> None:
        """Hand answers to those who wait for them."""
        async for text in self._socket:
            told = json.loads(text)
            if told.get("id") in self._waiting:
                self._waiting.pop(told["id"]).set_result(told)

    async def profile(self) -> str:
        """A cookie jar of its own."""
        return str((await self.command("browser.createUserContext"))["userContext"])

    async def tab(self, url: str, profile: str = "default") -> "Tab":
        """A new tab on that page."""
        made = await self.command("browsingContext.create", type="tab", userContext=profile)
        tab = Tab(self, made["context"], profile)
        await self.command("browsingContext.navigate", context=tab.context, url=url, wait="complete")
        return tab


@dataclass
class Tab:
    """One tab: look, click, type."""

    browser: Firefox
    context: str
    profile: str

    async def sees(self, text: str) -> None:
        """Until the page shows this text."""
        told = f"document.body.innerText.includes({json.dumps(text)})"
        await self.evaluate(
            f"new Promise((ok) => {{ const look = () => {told} ? ok() : setTimeout(look, 20); look(); }})"
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = await self.browser.command(
            "script.evaluate", expression=expression, target={"context": self.context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    async def reload(self) -> None:
        """As with the browser's own button."""
        await self.browser.command("browsingContext.reload", context=self.context, wait="complete")

    async def click(self, role: str, name: str) -> None:
        """Press the mouse on what assistive technology knows under this role and name."""
        await self._press({"type": "accessibility", "value": {"role": role, "name": name}})

    async def fill(self, selector: str, text: str) -> None:
        """Click into a field and type."""
        await self._press({"type": "css", "value": selector})
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        await self._perform({"type": "key", "id": "keyboard", "actions": keys})

    async def cookies(self) -> list[str]:
        """Names of the cookies in this tab's jar."""
        partition = {"type": "storageKey", "userContext": self.profile}
        answer = await self.browser.command("storage.getCookies", partition=partition)
        return [cookie["name"] for cookie in answer["cookies"]]

    async def _press(self, locator: dict[str, Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            found: list[dict[str, Any]] = []
            while not found:
                answer = await self.browser.command(
                    "browsingContext.locateNodes", context=self.context, locator=locator
                )
                found = answer["nodes"]
        origin = {"type": "element", "element": {"sharedId": found[0]["sharedId"]}}
        await self.browser.command(
            "script.callFunction",
            functionDeclaration="(element) => element.scrollIntoView({ block: 'center', behavior: 'instant' })",
            arguments=[{"sharedId": found[0]["sharedId"]}],
            target={"context": self.context},
            awaitPromise=False,
        )
        down, up = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        await self._perform({"type": "pointer", "id": "mouse", "actions": [move, down, up]})

    async def _perform(self, *actions: dict[str, Any]) -> None:
        await self.browser.command("input.performActions", context=self.context, actions=actions)


@asynccontextmanager
async def running(program: str, folder: Path) -> AsyncIterator[Firefox]:
    """Firefox without a window, until the block ends."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
    (folder / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless",
        "--no-remote",
        "--profile",
        str(folder),
        "--remote-debugging-port=0",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with connect(await _address(process), max_size=None, ping_interval=None) as socket:
            browser = Firefox(socket)
            listening = asyncio.create_task(browser.listen())
            await browser.command("session.new", capabilities={})
            yield browser
            await browser.command("browser.close")
            listening.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    async with asyncio.timeout(60):
        async for line in process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line.decode(errors="replace")):
                return f"{found[1]}/session"
    raise AssertionError("Firefox did not start")
