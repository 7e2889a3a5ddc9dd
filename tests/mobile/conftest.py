"""A real server for the phone to talk to, through a network that can misbehave."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from mobile_demo.core import Core
from tests.house import PASSWORD
from tests.live import Live, serving
from tests.servers import in_memory

from .browser import SPA_ORIGIN, Browser
from .proxy import Proxy, proxying

_numbers = itertools.count()
_LIMITS_OFF: dict[str, Any] = {"limit_login": "off", "limit_register": "off", "limit_refresh": "off"}


@pytest.fixture(scope="session")
def server() -> Iterator[Live]:
    """`coatcheck serve` in a process of its own."""
    with (
        in_memory() as folder,
        serving(folder / "log", data_dir=folder, allowed_origins=SPA_ORIGIN, **_LIMITS_OFF) as live,
    ):
        yield live


@pytest.fixture(scope="session")
def brisk() -> Iterator[Live]:
    """The same, with access tokens that live two seconds."""
    with in_memory() as folder, serving(folder / "log", data_dir=folder, access_ttl=2, **_LIMITS_OFF) as live:
        yield live


@pytest_asyncio.fixture
async def proxy(server: Live) -> AsyncIterator[Proxy]:
    """The network between the phone and `server`."""
    async with proxying(server.port) as opened:
        yield opened


def register(server: Live, name: str | None = None) -> str:
    """The address of a new account; with a `name`, a short one that is looked at."""
    number = next(_numbers)
    email = f"{name}{number or ''}@example.test" if name else f"ada{number}-{os.getpid()}@example.test"
    body = {"email": email, "password": PASSWORD, "name": "Ada"}
    httpx2.post(f"{server.url}/v1/accounts", json=body).raise_for_status()
    return email


@pytest.fixture
def email(server: Live) -> str:
    """A new account on `server`."""
    return register(server)


@pytest_asyncio.fixture
async def core(proxy: Proxy, email: str, tmp_path: Path) -> AsyncIterator[Core]:
    """The phone's core, signed in, behind `proxy`."""
    made = Core(tmp_path / "phone", proxy.url)
    await made.session.sign_in(email, PASSWORD)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def browser(server: Live, email: str) -> AsyncIterator[Browser]:
    """A browser signed in to the same account."""
    opened = Browser(server)
    yield await opened.sign_in(email)
    await opened.http.aclose()


def stale(core: Core) -> None:
    """Make the core believe that its access token has run out."""
    core.session._access = None


async def restarted(core: Core) -> Core:
    """The app killed and started again: everything that was only in memory is gone."""
    await core.close()
    return Core(core.folder, core.preferences.server)
