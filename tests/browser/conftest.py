"""A real Chromium against a real server, with a wire between them that a test can cut."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.profile import Phone, Profile, new_profile
from tests.browser.wire import Wire
from tests.house import PASSWORD
from tests.live import serving
from tests.servers import in_memory

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Many people sign up and in from one address here; the limits have their own tests.
SETTINGS: dict[str, Any] = {f"limit_{name}": "off" for name in ("register", "login", "refresh", "mail", "challenge")}

expect.set_options(timeout=15_000)  # what is shown, not how fast on a busy machine

NewProfile = Callable[..., Awaitable[Profile]]
NewPhone = Callable[..., Phone]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Debian's Chromium, or another one on the PATH."""
    found = which("chromium") or which("chromium-browser") or which("google-chrome")
    if found:
        return found
    missing = "no Chromium here: apt-get install chromium fonts-dejavu-core"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    """One browser for this test process; profiles are cheap."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path,
            args=ARGUMENTS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wire]:
    """`coatcheck serve` behind the wire."""
    wire = Wire()
    log = tmp_path_factory.mktemp("site") / "server.log"
    with in_memory() as folder, serving(log, data_dir=folder, public_url=wire.origin, **SETTINGS) as live:
        wire.upstream, wire.database = live.port, folder / "coatcheck.sqlite3"
        async with wire.listening():
            yield wire


@pytest.fixture
def wire(site: Wire) -> Iterator[Wire]:
    """The wire, in good order before and after each test."""
    site.log.clear()
    yield site
    site.mend()


@pytest.fixture
def email(wire: Wire) -> str:
    """The address of a person with an account of her own."""
    address = f"ada.{secrets.token_hex(4)}@example.test"
    body = {"email": address, "password": PASSWORD, "name": "Ada"}
    answer = httpx2.post(f"http://127.0.0.1:{wire.upstream}/v1/accounts", json=body)
    assert answer.status_code == 201, answer.text
    return address


@pytest_asyncio.fixture(loop_scope="session")
async def open_profile(chromium: Browser, wire: Wire, email: str) -> AsyncIterator[NewProfile]:
    """Makes browser profiles; they are closed after the test."""
    profiles: list[Profile] = []

    async def make(*scripts: str, **options: object) -> Profile:
        profile = await new_profile(chromium, wire, *scripts, **options)
        profile.email = email
        profiles.append(profile)
        return profile

    yield make
    wire.mend()
    for profile in profiles:
        await profile.context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def profile(open_profile: NewProfile) -> Profile:
    """A fresh browser profile of a person with an account."""
    return await open_profile()


@pytest.fixture
def open_phone(wire: Wire, email: str) -> Iterator[NewPhone]:
    """Makes phones that are signed in."""
    phones: list[Phone] = []

    def make(name: str = "Ada's phone") -> Phone:
        phones.append(Phone(wire, email, name))
        return phones[-1]

    yield make
    for phone in phones:
        phone.close()


@pytest.fixture(scope="session")
def spa_folder() -> Path:
    """The app's files."""
    return Path(__file__).parents[2] / "spa_demo"
