"""Several tabs share one cookie jar. With or without ways to talk to each other, none signs another one out."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewProfile
from tests.browser.profile import LONELY, Profile, age, go, go_unseen
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFRESH = "/v1/spa/refresh"
# Through the app's own modules: its screens offer no sign-in to somebody who is signed in.
SIGN_IN = """([email, password]) => import("/session.js").then(({ Session }) => new Session().login(email, password))"""
REGISTER = """([email, password]) =>
  import("/api.js").then(({ Api }) => new Api(null).register({ email, password })).then(() => null)"""


async def test_two_tabs_that_cannot_talk_refresh_at_once(open_profile: NewProfile, wire: Wire) -> None:
    """Fifty times, the answers in either order: both go on, and the jar holds a working cookie."""
    profile = await open_profile(LONELY)
    tabs = [await profile.signed_in(), await profile.open()]
    for run in range(50):
        view = ("Devices", "Activity")[run % 2]
        gate = wire.hold(REFRESH)
        for tab in tabs:
            await age(tab, 11)
            await go_unseen(tab, view)
        await gate.wait(len(tabs))
        wire.mend()  # these two answers are held; a third, asked for by a tab that lost patience, must not be
        gate.release(-1 if run % 4 < 2 else 0)
        gate.release(0)
        for tab in tabs:
            await expect(
                tab.get_by_text("Active now" if view == "Devices" else "You made this account")
            ).to_be_visible()
    for tab in tabs:
        await tab.reload()
        await expect(tab.get_by_role("navigation")).to_be_visible()


async def test_two_tabs_share_one_refresh(profile: Profile, wire: Wire) -> None:
    """Tabs that can talk take turns, and the second one uses what the first one got."""
    tabs = [await profile.signed_in(), await profile.open()]
    await expect(tabs[1].get_by_role("navigation")).to_be_visible()
    for run in range(10):
        before = wire.count(REFRESH)
        for tab in tabs:
            await age(tab, 11)
        view = ("Devices", "Activity")[run % 2]
        await asyncio.gather(*(go_unseen(tab, view) for tab in tabs))
        for tab in tabs:
            await expect(
                tab.get_by_text("Active now" if view == "Devices" else "You made this account")
            ).to_be_visible()
        assert wire.count(REFRESH) - before == 1


_COUNTED_LOCKS = """() => {
  const ask = navigator.locks.request.bind(navigator.locks);
  globalThis.testLocks = 0;
  navigator.locks.request = (...how) => ((globalThis.testLocks += 1), ask(...how));
}"""


async def test_lock_held_for_ever_costs_seconds_once(profile: Profile, wire: Wire) -> None:
    """A frozen tab keeps the lock; the others wait a little, then go without it."""
    frozen = await profile.signed_in()
    await frozen.evaluate("void navigator.locks.request('coatcheck', () => new Promise(() => {}))")
    tab = await profile.open("devices")
    await expect(tab.get_by_text("Active now")).to_be_visible()
    await tab.evaluate(_COUNTED_LOCKS)
    await age(tab, 11)
    await go(tab, "Activity")
    await expect(tab.get_by_text("You made this account")).to_be_visible()
    assert await tab.evaluate("testLocks") == 0, "waited for the lock again"


@pytest.mark.parametrize("lonely", [False, True], ids=["talking", "lonely"])
async def test_signing_out_in_one_tab_signs_out_the_other(lonely: bool, open_profile: NewProfile) -> None:
    """At once where tabs can talk, through the event stream or the next call where they can't."""
    profile = await open_profile(*([LONELY] if lonely else []))
    first, second = await profile.signed_in(), await profile.open("devices")
    await expect(second.get_by_text("Active now")).to_be_visible()
    await first.get_by_role("button", name="Sign out", exact=True).click()
    for tab in (first, second):
        await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(tab.get_by_label("Email address")).to_have_value("")


async def test_signing_in_in_one_tab_signs_in_the_other(profile: Profile) -> None:
    """A tab that shows the form follows along."""
    waiting = await profile.open("devices")
    await expect(waiting.get_by_role("heading", name="Sign in")).to_be_visible()
    await profile.signed_in()
    await expect(waiting.get_by_role("heading", name="Where you're signed in")).to_be_visible()


async def test_somebody_else_signing_in_takes_over_every_tab(profile: Profile, wire: Wire) -> None:
    """What was under way for the first person is neither shown to the second nor done in her name."""
    first = await profile.signed_in("account")
    other = f"grace.{profile.email}"
    await first.evaluate(REGISTER, [other, PASSWORD])
    gate = wire.hold("/v1/me")
    await first.get_by_label("Name").fill("Not for Grace")
    await first.get_by_role("button", name="Save name").click()
    await gate.wait()
    second = await profile.open()
    await second.evaluate(SIGN_IN, [other, PASSWORD])
    await expect(first.get_by_text(other)).to_be_visible()
    gate.release(0)
    await go(first, "Home")
    await expect(first.get_by_role("heading", name="Hello", exact=True)).to_be_visible()
    assert wire.count("/v1/me") == 1


@pytest.mark.parametrize("lonely", [False, True], ids=["talking", "lonely"])
async def test_signing_in_again_in_another_tab_ends_no_tab(lonely: bool, open_profile: NewProfile, wire: Wire) -> None:
    """A second sign-in replaces the session of this browser; a tab with the old one goes on with the new."""
    profile = await open_profile(*([LONELY] if lonely else []))
    first = await profile.signed_in("devices")
    await expect(first.get_by_text("Active now")).to_be_visible()
    second = await profile.open()
    await expect(second.get_by_role("navigation")).to_be_visible()
    await second.evaluate(SIGN_IN, [profile.email, PASSWORD])
    for tab in (first, second):
        await go(tab, "Activity")
        await expect(tab.get_by_text("You made this account")).to_be_visible()
