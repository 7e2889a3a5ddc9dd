"""A browser profile, as a person uses it: pages that share one cookie jar, and the app's own buttons to press."""

from dataclasses import dataclass, field
from typing import Any

import httpx2
from playwright.async_api import Browser, BrowserContext, Cookie, Page, expect

from tests.browser.wire import Wire
from tests.house import PASSWORD

# Moves this page's monotonic clock, so that minutes pass without waiting for them.
_AGEING = """
const now = performance.now.bind(performance);
let moved = 0;
performance.now = () => now() + moved;
globalThis.testAge = (seconds) => (moved += seconds * 1000);
"""
# Once `testImpatient` is true, waits of ten seconds become half a second: the answer that never comes is the point.
IMPATIENT = """
const timeout = AbortSignal.timeout;
AbortSignal.timeout = (ms) => timeout.call(AbortSignal, globalThis.testImpatient ? ms / 20 : ms);
"""
# A browser without the two ways for tabs to talk.
LONELY = "delete Navigator.prototype.locks; delete globalThis.BroadcastChannel;"


@dataclass
class Profile:
    """One browser profile."""

    context: BrowserContext
    wire: Wire
    email: str = "ada@example.test"
    console: list[str] = field(default_factory=list)

    async def open(self, view: str = "") -> Page:
        """A new tab."""
        page = await self.context.new_page()
        await page.goto(f"{self.wire.origin}/#/{view}")
        return page

    async def signed_in(self, view: str = "") -> Page:
        """A tab of a person who has just signed in."""
        page = await self.open(view)
        await sign_in(page, self.email)
        await expect(page.get_by_role("navigation")).to_be_visible()
        await expect(page.locator("#main .loading")).to_have_count(0)  # its own calls are not the test's
        return page

    async def cookie(self) -> Cookie | None:
        """The refresh token's cookie."""
        return next((one for one in await self.context.cookies() if one["name"] == REFRESH_COOKIE), None)

    async def refresh_token(self) -> str:
        """The refresh token in the jar."""
        cookie = await self.cookie()
        assert cookie
        return cookie["value"]


REFRESH_COOKIE = "__Host-coatcheck-refresh"


async def new_profile(browser: Browser, wire: Wire, *scripts: str, **options: Any) -> Profile:
    """A fresh profile; `scripts` run in each of its pages before ours."""
    context = await browser.new_context(**options)
    profile = Profile(context, wire)
    for script in (_AGEING, *scripts):
        await context.add_init_script(script)
    context.on("console", lambda message: profile.console.append(message.text))
    context.on("weberror", lambda failure: profile.console.append(f"error: {failure.error}"))
    return profile


async def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Fill in the form and send it."""
    await page.get_by_label("Email address").fill(email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def go(page: Page, name: str) -> None:
    """Follow a link of the navigation."""
    await page.get_by_role("navigation").get_by_role("link", name=name).click()


async def go_unseen(page: Page, name: str) -> None:
    """The same in a tab in the background, where browsers draw too rarely for a click."""
    await page.evaluate("(view) => (location.hash = `#/${view}`)", name.lower())


async def age(page: Page, minutes: float) -> None:
    """Let time pass for this page."""
    await page.evaluate("testAge", minutes * 60)


def refresh_directly(wire: Wire, token: str) -> httpx2.Response:
    """Present a refresh token as a thief would, without the browser."""
    headers = {"Origin": wire.origin, "X-Coatcheck-Client": "spa", "Cookie": f"{REFRESH_COOKIE}={token}"}
    return httpx2.post(f"http://127.0.0.1:{wire.upstream}/v1/spa/refresh", headers=headers)


class Phone:
    """Another device of the same person, without a screen: the native door."""

    def __init__(
        self, wire: Wire, email: str, name: str = "Ada's phone", platform: str = "Android", **headers: str
    ) -> None:
        agent = {"User-Agent": "coatcheck-phone/1"}
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{wire.upstream}", headers=agent | headers)
        device = {"name": name, "platform": platform}
        answer = self._http.post("/v1/native/login", json={"email": email, "password": PASSWORD, "device": device})
        assert answer.status_code == 200, answer.text
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A call with the phone's access token."""
        return self._http.request(method, path, **options)

    def others(self) -> list[str]:
        """Ids of the other devices."""
        devices = self.call("GET", "/v1/devices").json()["devices"]
        return [device["id"] for device in devices if not device["current"]]

    def sign_out_others(self) -> None:
        """Remote logout, device by device."""
        for device in self.others():
            assert self.call("DELETE", f"/v1/devices/{device}").status_code == 204

    def close(self) -> None:
        """Hang up."""
        self._http.close()
