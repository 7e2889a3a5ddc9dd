"""The core flow in a second engine: signing up, staying signed in, several tabs, remote logout, signing out."""

import os
import secrets
from collections.abc import AsyncIterator
from shutil import which

import pytest
import pytest_asyncio

from tests.browser.conftest import NewPhone
from tests.browser.firefox import Firefox, Tab, running
from tests.browser.profile import REFRESH_COOKIE
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFRESH = "/v1/spa/refresh"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def firefox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    """Debian's Firefox, or another one on the PATH."""
    program = which("firefox-esr") or which("firefox")
    if program is None:
        missing = "no Firefox here: apt-get install firefox-esr"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    async with running(program, tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in(firefox: Firefox, wire: Wire, email: str) -> Tab:
    """A tab of a person who has just signed in, in a profile of its own."""
    tab = await firefox.tab(f"{wire.origin}/#/devices", await firefox.profile())
    await tab.fill("#si-email", email)
    await tab.fill("#si-password", PASSWORD)
    await tab.click("button", "Sign in")
    await tab.sees("Active now")
    return tab


async def test_firefox_signs_up_and_home(firefox: Firefox, wire: Wire) -> None:
    """A new account is made and shown."""
    tab = await firefox.tab(f"{wire.origin}/#/sign-up", await firefox.profile())
    await tab.fill("#su-name", "Grace")
    await tab.fill("#su-email", f"grace.{secrets.token_hex(4)}@example.test")
    await tab.fill("#su-password", PASSWORD)
    await tab.click("button", "Make my account")
    await tab.sees("Hello, Grace")
    await tab.sees("Latest activity")
    assert await tab.evaluate("document.cookie") == ""


async def test_firefox_stays_signed_in_over_a_reload_and_a_lost_answer(signed_in: Tab, wire: Wire) -> None:
    """The cookie brings the session back, also when the server's first answer got lost."""
    await signed_in.reload()
    await signed_in.sees("Active now")
    wire.lose(REFRESH, times=1)
    await signed_in.reload()
    await signed_in.sees("Active now")
    assert REFRESH_COOKIE in await signed_in.cookies()


async def test_firefox_shows_a_remote_logout_at_once(signed_in: Tab, open_phone: NewPhone) -> None:
    """The stream tells who did it, in words."""
    phone = open_phone()
    await signed_in.sees("Ada's phone")
    phone.sign_out_others()
    await signed_in.sees("This browser was signed out from Ada's phone.")
    await signed_in.reload()
    await signed_in.sees("New here?")


async def test_firefox_shares_the_session_between_tabs(signed_in: Tab, firefox: Firefox, wire: Wire) -> None:
    """A second tab is signed in, and signing out in one is seen in the other."""
    other = await firefox.tab(f"{wire.origin}/", signed_in.profile)
    await other.sees("Hello, Ada")
    await other.click("button", "Sign out")
    for tab in (signed_in, other):
        await tab.sees("New here?")


async def test_firefox_keeps_the_session_while_the_server_is_away(signed_in: Tab, wire: Wire) -> None:
    """A proxy's error page is trouble, not a sign-out."""
    wire.answer(REFRESH, 502)
    await signed_in.reload()
    await signed_in.sees("Can't reach the server. You're still signed in.")
    wire.mend()
    await signed_in.click("button", "Try again")
    await signed_in.sees("Active now")
