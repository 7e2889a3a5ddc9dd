"""As many devices as the account may have: the person chooses in the app which one gives way."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import SETTINGS
from tests.browser.profile import Phone, Profile, new_profile, sign_in
from tests.browser.test_looks import overhang, violations
from tests.browser.wire import Wire
from tests.house import PASSWORD
from tests.live import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A server where an account may have two sessions, and people are asked."""
    folder = tmp_path_factory.mktemp("full")
    wire = Wire()
    limit: dict[str, Any] = {"session_limit": 2, "session_limit_policy": "ask"}
    with serving(folder / "log", data_dir=folder, public_url=wire.origin, **SETTINGS, **limit) as live:
        wire.upstream, wire.database = live.port, folder / "coatcheck.sqlite3"
        async with wire.listening():
            yield wire


@pytest.fixture
def person(full: Wire) -> str:
    """The address of somebody with an account there."""
    email = f"ada.{secrets.token_hex(4)}@example.test"
    body = {"email": email, "password": PASSWORD, "name": "Ada"}
    assert httpx2.post(f"http://127.0.0.1:{full.upstream}/v1/accounts", json=body).status_code == 201
    return email


@pytest.fixture
def phones(full: Wire, person: str) -> Iterator[list[Phone]]:
    """Both places are taken; the tablet was there first."""
    both = [Phone(full, person, "Ada's tablet"), Phone(full, person, "Ada's phone")]
    full.change(
        "UPDATE session SET last_seen_at = last_seen_at - 1230000 WHERE device_id IN "
        "(SELECT id FROM device WHERE name = 'Ada''s tablet')"
    )
    yield both
    for one in both:
        one.close()


@pytest_asyncio.fixture(loop_scope="session")
async def door(chromium: Browser, full: Wire, person: str, phones: list[Phone]):  # type: ignore[no-untyped-def]
    """A browser at the sign-in form of that server, its person's name and password sent."""
    profile: Profile = await new_profile(chromium, full)
    page = await profile.open()
    await sign_in(page, person)
    yield page
    await profile.context.close()


async def test_no_room_lets_the_person_choose_a_device(door: Page, phones: list[Phone]) -> None:
    """Both are shown, the one unused for longest is chosen to begin with; of the two only the one taken ends."""
    await expect(door.get_by_role("heading", name="No free hook")).to_be_visible()
    await expect(door.get_by_role("radio", name="Ada's tablet")).to_be_checked()
    await expect(door.get_by_role("radio", name="Ada's tablet")).to_be_focused()
    await expect(door.get_by_text("last seen 20 minutes ago")).to_be_visible()
    assert await violations(door) == []
    await door.get_by_role("radio", name="Ada's phone").check()
    await door.get_by_role("button", name="Sign it out and go on").click()
    await expect(door.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    tablet, phone = phones
    assert phone.call("GET", "/v1/me").json()["reason"] == "limit"
    assert tablet.call("GET", "/v1/me").status_code == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_room_on_the_pages_passes_axe_and_lets_the_person_choose(
    scheme: str, chromium: Browser, full: Wire, person: str, phones: list[Phone]
) -> None:
    """The same choice on the account pages: no violation, no sideways scrolling, and only the device taken ends."""
    profile = await new_profile(chromium, full, color_scheme=scheme)
    page = await profile.context.new_page()
    await page.goto(f"{full.origin}/account/activity")
    await sign_in(page, person)
    await expect(page.get_by_role("heading", name="Signed in on too many devices")).to_be_visible()
    assert await violations(page) == []
    assert await overhang(page) == {}
    await page.get_by_role("button", name="Sign out Ada's phone").click()
    await expect(page.get_by_role("heading", name="Activity", exact=True)).to_be_visible()
    tablet, phone = phones
    assert phone.call("GET", "/v1/me").json()["reason"] == "limit"
    assert tablet.call("GET", "/v1/me").status_code == 200
    await profile.context.close()


async def test_no_room_can_be_left_without_ending_anything(door: Page, phones: list[Phone]) -> None:
    """ "Start again" leads back to an empty password, and everybody is still signed in."""
    await door.get_by_role("button", name="Start again").click()
    await expect(door.get_by_label("Password", exact=True)).to_have_value("")
    for phone in phones:
        assert phone.call("GET", "/v1/me").status_code == 200


async def test_no_room_choice_that_took_too_long_says_so(door: Page, full: Wire, phones: list[Phone]) -> None:
    """The challenge has run out: the person is told what to do, and nothing has ended."""
    await expect(door.get_by_role("heading", name="No free hook")).to_be_visible()
    full.change("DELETE FROM challenge")
    await door.get_by_role("button", name="Sign it out and go on").click()
    await expect(door.get_by_text("That took too long, or was tried too often. Start again.")).to_be_visible()
    for phone in phones:
        assert phone.call("GET", "/v1/me").status_code == 200
