"""The app on another origin of the same site, and browsers that refuse third-party cookies."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from tests.browser.conftest import ARGUMENTS, SETTINGS
from tests.browser.profile import REFRESH_COOKIE, go, sign_in
from tests.browser.wire import Wire
from tests.house import PASSWORD
from tests.live import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

EMAIL = "ada@example.test"
# Chromium's own setting, which builds preset differently: may a page of another site use a cookie?
THIRD_PARTY_COOKIES = {
    "allowed": {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}},
    "refused": {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}},
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def app_files(tmp_path_factory: pytest.TempPathFactory, spa_folder: Path) -> Path:
    """A copy of the app to be set up for another origin."""
    return shutil.copytree(spa_folder, tmp_path_factory.mktemp("app") / "spa")


@pytest.fixture(scope="module")
def app_origin(app_files: Path) -> Iterator[str]:
    """Any static server will do."""
    handler = functools.partial(_Quiet, directory=str(app_files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://app.demo.localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(app_origin: str, app_files: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wire]:
    """The API on api.demo.localhost, and the two lines of index.html that a deployment changes."""
    folder = tmp_path_factory.mktemp("api")
    wire = Wire()
    origin = f"http://api.demo.localhost:{wire.port}"
    page = app_files / "index.html"
    text = page.read_text()
    configured = text.replace('name="coatcheck-api" content=""', f'name="coatcheck-api" content="{origin}"')
    page.write_text(configured.replace("connect-src 'self'", f"connect-src {origin}"))
    with serving(folder / "log", data_dir=folder, public_url=origin, allowed_origins=app_origin, **SETTINGS) as live:
        wire.upstream = live.port
        body = {"email": EMAIL, "password": PASSWORD, "name": "Ada"}
        assert httpx2.post(f"{live.url}/v1/accounts", json=body).status_code == 201
        async with wire.listening():
            yield wire


@pytest_asyncio.fixture(loop_scope="session", params=["allowed", "refused"])
async def cookie_context(
    request: pytest.FixtureRequest, chromium_path: str, tmp_path: Path
) -> AsyncIterator[BrowserContext]:
    """A profile that takes third-party cookies, and one that refuses them."""
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(THIRD_PARTY_COOKIES[request.param]))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=chromium_path, args=ARGUMENTS
        )
        yield context
        await context.close()


async def test_profiles_differ_in_third_party_cookies(
    request: pytest.FixtureRequest, cookie_context: BrowserContext, app_origin: str, api: Wire
) -> None:
    """What the other tests rely on: one profile takes a foreign site's cookie, the other does not."""
    api.answer(
        "/probe",
        200,
        Set_Cookie="probe=1; Secure; SameSite=None; Path=/",
        Access_Control_Allow_Origin=app_origin,
        Access_Control_Allow_Credentials="true",
    )
    page = await cookie_context.new_page()
    await page.goto(f"{app_origin}/logo.svg")
    await page.evaluate("(url) => fetch(url, { credentials: 'include' })", f"http://third.localhost:{api.port}/probe")
    api.mend()
    allowed = request.node.callspec.params["cookie_context"] == "allowed"
    assert await cookie_names(page) == ({"probe"} if allowed else set())


async def test_app_on_another_origin_of_the_site_works(
    cookie_context: BrowserContext, app_origin: str, api: Wire
) -> None:
    """Signing in, reloading, refreshing, watching and signing out, with the API next door."""
    page = await cookie_context.new_page()
    await page.goto(app_origin)
    await sign_in(page, EMAIL)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    cookies = {one["name"]: one["domain"] for one in await cookie_context.cookies()}
    assert cookies[REFRESH_COOKIE] == "api.demo.localhost"
    async with page.expect_response("**/v1/events") as stream:
        await page.reload()
    assert (await stream.value).status == 200
    await go(page, "Devices")
    await expect(page.get_by_text("Active now")).to_be_visible()
    await go(page, "Home")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_foreign_site_cannot_use_the_session(cookie_context: BrowserContext, app_origin: str, api: Wire) -> None:
    """A page of another site gets neither the cookie sent nor an answer to read, whatever the browser's settings."""
    page = await cookie_context.new_page()
    await page.goto(app_origin)
    await sign_in(page, EMAIL)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    await page.goto(app_origin.replace("app.demo.localhost", "elsewhere.localhost") + "/logo.svg")
    target = f"http://api.demo.localhost:{api.port}/v1/spa/refresh"
    assert await page.evaluate(FOREIGN, target) == "TypeError"
    await page.goto(app_origin)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


FOREIGN = """(url) => fetch(url, { method: "POST", credentials: "include", headers: { "X-Coatcheck-Client": "spa" } })
  .then((answer) => answer.status, (error) => error.name)"""


async def test_origin_that_is_not_allowed_is_told_apart_from_a_dead_server(
    cookie_context: BrowserContext, app_origin: str, api: Wire
) -> None:
    """An origin missing from ALLOWED_ORIGINS is never signed in, and never taken for a sign-out."""
    page = await cookie_context.new_page()
    await page.goto(app_origin.replace("app.demo.localhost", "other.demo.localhost"))
    await expect(page.get_by_text("Can't reach the server. We'll keep trying.")).to_be_visible()
    assert await cookie_names(page) == set()


async def cookie_names(page: Page) -> set[str]:
    """What the jar holds."""
    return {one.get("name", "") for one in await page.context.cookies()}
