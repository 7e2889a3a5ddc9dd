"""Pages next door, with the browser's own rules: an origin of the same site, whose requests bring every cookie."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewProfile
from tests.browser.profile import Profile, sign_in
from tests.browser.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

_FRAME = "<iframe src='{url}' width=800 height=600></iframe>"
_FORM = """
<form method=post action='{url}' enctype='{kind}'><input name=name value=Mallory><input name=csrf_token value=x>
<button>Win a prize</button></form>
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[str]:
    """Another port of the same host is another origin, and the same site: Strict cookies go along."""
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


async def signed_in(profile: Profile) -> Page:
    """A person on the account pages."""
    page = await profile.context.new_page()
    await page.goto(f"{profile.wire.origin}/account/profile")
    await sign_in(page, profile.email)
    await expect(page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    return page


@pytest.mark.parametrize("path", ["/account/devices", "/account/sign-in", "/admin", "/"])
async def test_neighbour_frames_no_page(
    path: str, open_profile: NewProfile, wire: Wire, neighbour: str, tmp_path: Path
) -> None:
    """In a frame next door nothing of ours is drawn that a click could be stolen from; the same file of hers is."""
    page = await signed_in(await open_profile())
    (tmp_path / "own.html").write_text("<h1>Framed</h1>")
    for name, url in (("own", f"{neighbour}/own.html"), ("ours", f"{wire.origin}{path}")):
        (tmp_path / f"{name}-frame.html").write_text(_FRAME.format(url=url))
    await page.goto(f"{neighbour}/own-frame.html")
    await expect(page.frame_locator("iframe").get_by_role("heading", name="Framed")).to_be_visible()
    async with page.expect_response(f"{wire.origin}{path}") as asked:
        await page.goto(f"{neighbour}/ours-frame.html")
    assert (await asked.value).status in (200, 303, 403)
    await page.wait_for_load_state()
    frame = page.frames[1]
    assert frame.url.startswith("chrome-error:"), frame.url


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
async def test_neighbour_sends_no_form(
    kind: str, open_profile: NewProfile, wire: Wire, neighbour: str, tmp_path: Path
) -> None:
    """A form next door reaches the server with the person's cookies, and is refused: nothing has changed."""
    page = await signed_in(await open_profile())
    (tmp_path / "form.html").write_text(_FORM.format(url=f"{wire.origin}/account/profile", kind=kind))
    await page.goto(f"{neighbour}/form.html")
    async with page.expect_response(f"{wire.origin}/account/profile") as refused:
        await page.get_by_role("button", name="Win a prize").click()
    answer = await refused.value
    assert answer.status in (403, 415)
    assert "coatcheck-session" in (await answer.request.all_headers()).get("cookie", "")
    await page.goto(f"{wire.origin}/account/profile")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Ada")


async def test_neighbour_reads_and_changes_nothing_by_script(
    open_profile: NewProfile, wire: Wire, neighbour: str, tmp_path: Path
) -> None:
    """A script next door gets no answer to read, and no call of its own goes through, cookies or not."""
    page = await signed_in(await open_profile())
    (tmp_path / "blank.html").write_text("<h1>Next door</h1>")
    await page.goto(f"{neighbour}/blank.html")
    calls = [("GET", "/v1/me"), ("GET", "/account/profile"), ("PATCH", "/v1/me"), ("POST", "/v1/web/logout")]
    for method, path in calls:
        for mode in ("cors", "no-cors"):
            told = await page.evaluate(_ASK, [f"{wire.origin}{path}", method, mode])
            assert told in ("TypeError", "opaque:"), (method, path, mode, told)
    await page.goto(f"{wire.origin}/account/profile")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Ada")


_ASK = """([url, method, mode]) =>
  fetch(url, { method, mode, credentials: "include", body: method === "GET" ? undefined : '{"name":"Mallory"}' }).then(
    async (answer) => `${answer.type}:${await answer.text()}`,
    (error) => error.name,
  )"""
