"""What a person does on each page, by the page's address. A page without an act here fails test_pages.py."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.profile import Phone, sign_in
from tests.browser.wire import Wire
from tests.house import PASSWORD

NEW = "four new words together"


@dataclass
class Stage:
    """A browser page, whose it is, and her phone."""

    page: Page
    wire: Wire
    email: str
    open_phone: Callable[..., Phone]
    script: bool = True

    async def open(self, path: str) -> None:
        """Type an address."""
        await self.page.goto(f"{self.wire.origin}{path}")

    async def sees(self, heading: str) -> None:
        """The page that says so is here."""
        await expect(self.page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()

    async def reads(self, text: str) -> None:
        """This stands on the page."""
        await expect(self.page.get_by_text(text, exact=True).first).to_be_visible()

    async def press(self, name: str) -> None:
        """A button."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def follow(self, name: str) -> None:
        """A link."""
        await self.page.get_by_role("link", name=name, exact=True).click()

    async def fill(self, label: str, text: str) -> None:
        """A field."""
        await self.page.get_by_label(label, exact=True).fill(text)

    async def signed_in(self, path: str = "/account") -> None:
        """Open a page as somebody who signs in on the way."""
        await self.open(path)
        await sign_in(self.page, self.email)
        await expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()


Act = Callable[[Stage], Awaitable[None]]


async def _sign_in(stage: Stage) -> None:
    await stage.open("/account/devices")
    await stage.sees("Sign in")
    await sign_in(stage.page, stage.email, "not the right password")
    await stage.reads("This address and password don't go together. Check both and try again.")
    await expect(stage.page.get_by_label("Email address")).to_have_value(stage.email)
    await sign_in(stage.page, stage.email)
    await stage.sees("Where you're signed in")


async def _sign_up(stage: Stage) -> None:
    await stage.open("/account/sign-in")
    await stage.follow("Make an account")
    await stage.fill("Email address", f"new.{stage.email}")
    await stage.fill("Password", "short")
    await stage.press("Make my account")
    await stage.reads("Use 15 characters or more; a few words in a row are easy to remember.")
    await stage.fill("Password", PASSWORD)
    await stage.press("Make my account")
    await stage.reads("Your account is made. Sign in with it.")
    await sign_in(stage.page, f"new.{stage.email}")
    await stage.sees("Hello")


async def _sign_out(stage: Stage) -> None:
    await stage.signed_in()
    await stage.press("Sign out")
    await stage.reads("You're signed out.")
    await stage.page.go_back()
    await stage.page.reload()
    await stage.sees("Sign in")


async def _home(stage: Stage) -> None:
    stage.open_phone()
    await stage.signed_in()
    await stage.sees("Hello, Ada")
    await stage.reads(f"You're signed in as {stage.email}.")
    await stage.reads("One other device holds a ticket of yours.")
    await stage.follow("See all activity")
    await stage.sees("Activity")


async def _devices(stage: Stage) -> None:
    phone = stage.open_phone()
    await stage.signed_in("/account/devices")
    await stage.reads(
        "Two devices hold a ticket of yours. End any of them, and it is refused at its very next request."
    )
    await stage.press("Sign out Ada's phone")
    await stage.reads("The device is signed out.")
    assert phone.call("GET", "/v1/me").status_code == 401
    await stage.page.get_by_text("Ended in the last 30 days", exact=True).click()
    await expect(stage.page.get_by_role("heading", name="Ada's phone", exact=True)).to_be_visible()
    await expect(stage.page.get_by_text("Signed out by you from")).to_be_visible()


async def _rename(stage: Stage) -> None:
    stage.open_phone()
    await stage.signed_in("/account/devices")
    await stage.follow("Rename Ada's phone")
    await stage.fill("Name of this device", "Countess <b>")
    await stage.press("Save name")
    await stage.reads("The device has its new name.")
    await expect(stage.page.get_by_role("heading", name="Countess <b>", exact=True)).to_be_visible()


async def _session(stage: Stage) -> None:
    """This browser signs in to the app as well: two sessions on one device, and one of them is ended alone."""
    await stage.signed_in("/account/devices")
    body = {"email": stage.email, "password": PASSWORD}
    own = {"Origin": stage.wire.origin, "X-Coatcheck-Client": "spa"}
    app = await stage.page.request.post(f"{stage.wire.origin}/v1/spa/login", data=body, headers=own)
    assert app.status == 200
    await stage.page.reload()
    await stage.press("Sign out: Web app on " + await stage.page.locator(".ticket h2").inner_text())
    await stage.reads("It is signed out there.")
    again = await stage.page.request.post(f"{stage.wire.origin}/v1/spa/refresh", headers=own)
    assert again.status == 401
    await stage.sees("Where you're signed in")


async def _others(stage: Stage) -> None:
    phone = stage.open_phone()
    await stage.signed_in("/account/devices")
    await stage.follow("Sign out all other devices")
    await stage.sees("Sign out all other devices?")
    await stage.follow("Cancel")
    assert phone.call("GET", "/v1/me").status_code == 200
    await stage.follow("Sign out all other devices")
    await stage.press("Sign them out")
    await stage.reads("All other devices are signed out.")
    assert phone.call("GET", "/v1/me").status_code == 401


async def _all(stage: Stage) -> None:
    phone = stage.open_phone()
    await stage.signed_in("/account/profile")
    await stage.follow("Sign out everywhere")
    await stage.press("Sign out everywhere")
    await stage.reads("You're signed out on every device.")
    assert phone.call("GET", "/v1/me").status_code == 401


async def _activity(stage: Stage) -> None:
    for _ in range(10):
        stage.open_phone().call("DELETE", "/v1/sessions/current")
    await stage.signed_in("/account/activity")
    await stage.follow("Show earlier")
    await stage.reads("You made this account")
    await stage.follow("Newest")
    await expect(stage.page.get_by_role("link", name="Show earlier", exact=True)).to_be_visible()


async def _profile(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.fill("Name", "Ada Lovelace")
    await stage.press("Save name")
    await stage.reads("Your name is saved.")
    await stage.page.get_by_role("navigation", name="Main").get_by_role("link", name="Home").click()
    await stage.sees("Hello, Ada Lovelace")


async def _password(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.follow("Change password")
    await stage.fill("Current password", PASSWORD)
    await stage.fill("New password", NEW)
    await stage.press("Change password")
    await stage.reads("Your password is changed. Every other device is signed out.")


async def _export(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.follow("Export your data")
    async with stage.page.expect_download() as coming:
        await stage.follow("Download the file")
    file = await coming.value
    assert file.suggested_filename == "coatcheck-export.json"
    assert stage.email in Path(await file.path()).read_text()


async def _close(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.follow("Close my account")
    await stage.sees("Close your account?")
    await stage.press("Close my account")
    await stage.reads("Your account is closed.")
    await sign_in(stage.page, stage.email)
    await stage.reads("This address and password don't go together. Check both and try again.")


async def _step_up(stage: Stage) -> None:
    await stage.signed_in("/account/step-up?next=/account/export")
    await stage.sees("Is it you?")
    await stage.fill("Your password", "not the right one")
    await stage.press("Go on")
    await stage.reads("This isn't the right password. Try again.")
    await stage.fill("Your password", PASSWORD)
    await stage.press("Go on")
    await stage.sees("Your data")


ACTS: dict[str, Act] = {
    "/account": _home,
    "/account/activity": _activity,
    "/account/close": _close,
    "/account/coatcheck-export.json": _export,
    "/account/devices": _devices,
    "/account/devices/sign-out-all": _all,
    "/account/devices/sign-out-others": _others,
    "/account/devices/{device_id}": _rename,
    "/account/devices/{device_id}/sign-out": _devices,
    "/account/export": _export,
    "/account/password": _password,
    "/account/profile": _profile,
    "/account/sessions/{session_id}/sign-out": _session,
    "/account/sign-in": _sign_in,
    "/account/sign-out": _sign_out,
    "/account/sign-up": _sign_up,
    "/account/step-up": _step_up,
}
