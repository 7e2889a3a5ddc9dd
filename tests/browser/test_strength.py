"""How hard a new password is to guess, told while it is typed: in the app, and on the pages where scripts run."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewProfile
from tests.browser.profile import Profile
from tests.browser.test_looks import violations
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "strength.json").read_text())
EASY = "Easy to guess: much of it repeats, counts up, or is your address."


async def test_strength_is_what_both_clients_say(profile: Profile) -> None:
    """Each password of the list that the phone app is held to as well."""
    page = await profile.open()
    told = await page.evaluate(
        """async (cases) => {
          const { strength } = await import("/strength.js");
          return cases.map(({ password, least, known }) => strength(password, least, known));
        }""",
        CASES,
    )
    assert told == [{"level": case["level"], "words": case["words"]} for case in CASES]


async def _typed(page: Page, label: str) -> None:
    place = page.locator(".strength")
    password = page.get_by_label(label, exact=True)
    await password.fill("short")
    await expect(place).to_have_text("10 characters to go.")
    await password.fill("three wise monkeys dancing")
    await expect(place).to_have_text("Hard to guess.")
    await expect(place).to_have_attribute("data-level", "3")
    await expect(place).to_have_attribute("aria-live", "polite")
    assert await violations(page) == []


async def test_strength_is_told_where_a_password_is_chosen(profile: Profile) -> None:
    """At sign-up and at the change of the password; the person's own address makes it no better."""
    page = await profile.open("sign-up")
    await _typed(page, "Password")
    await page.get_by_label("Email address").fill("three.wise.monkeys.dancing@example.test")
    await page.get_by_label("Password", exact=True).fill("three wise monkeys dancing!")
    await expect(page.locator(".strength")).to_have_text(EASY)
    page = await profile.signed_in("account")
    await _typed(page, "New password")


@pytest.mark.parametrize("path, label", [("sign-up", "Password"), ("reset", "New password")])
async def test_strength_is_told_on_the_pages(path: str, label: str, open_profile: NewProfile, wire: Wire) -> None:
    """With a script; without one the place is empty, and the server says what is wrong."""
    page = await (await open_profile()).context.new_page()
    await page.goto(f"{wire.origin}/account/{path}")
    await _typed(page, label)
    plain = await (await open_profile(java_script_enabled=False)).context.new_page()
    await plain.goto(f"{wire.origin}/account/{path}")
    await plain.get_by_label(label, exact=True).fill("short")
    await expect(plain.locator(".strength")).to_have_text("")
