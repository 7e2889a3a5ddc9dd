"""The doors of the app: signing up, signing in, and what is said when that fails."""

import pytest
from playwright.async_api import expect

from tests.browser.profile import Profile, sign_in
from tests.browser.wire import Wire
from tests.house import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_sign_up_leads_straight_home(profile: Profile) -> None:
    """Who makes an account is signed in with it at once."""
    page = await profile.open()
    await page.get_by_role("link", name="Make an account").click()
    await page.get_by_label("Name").fill("Grace")
    await page.get_by_label("Email address").fill(f"grace.{profile.email}")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Make my account").click()
    await expect(page.get_by_role("heading", name="Hello, Grace")).to_be_visible()
    await expect(page.get_by_text("This device")).to_be_visible()


async def test_sign_up_says_what_is_wrong_beside_the_field(profile: Profile) -> None:
    """A weak password is refused beside the password, a taken address beside the address."""
    page = await profile.open("sign-up")
    address, password = page.get_by_label("Email address"), page.get_by_label("Password", exact=True)
    await address.fill(profile.email)
    await password.fill("short")
    await page.get_by_role("button", name="Make my account").click()
    await expect(password).to_have_attribute("aria-invalid", "true")
    await expect(password).to_be_focused()
    await password.fill(PASSWORD)
    await page.get_by_role("button", name="Make my account").click()
    await expect(address).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("There is an account with this address already")).to_be_visible()


async def test_sign_in_with_a_wrong_password_says_so_and_stays(profile: Profile) -> None:
    """Nothing tells which of the two was wrong, and the form keeps the address."""
    page = await profile.open()
    await sign_in(page, profile.email, "not the right password")
    await expect(page.get_by_role("alert")).to_have_text(
        "This address and password don't go together. Check both and try again."
    )
    await expect(page.get_by_label("Email address")).to_have_value(profile.email)


async def test_sign_in_goes_on_to_the_view_that_was_asked_for(profile: Profile) -> None:
    """A bookmark of a view leads there after signing in."""
    page = await profile.signed_in("activity")
    await expect(page.get_by_role("heading", name="Activity")).to_be_visible()


async def test_sign_in_needs_both_fields_before_anything_is_sent(profile: Profile, wire: Wire) -> None:
    """Empty fields are told beside them, without a request."""
    page = await profile.open()
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("Enter your email address.")).to_be_visible()
    assert wire.count("/v1/spa/login") == 0


async def test_password_can_be_looked_at_and_is_hidden_again_when_sent(profile: Profile) -> None:
    """The eye shows the password; sending hides it."""
    page = await profile.open()
    password = page.get_by_label("Password", exact=True)
    await password.fill("not the right password")
    await page.get_by_role("button", name="Show password").click()
    await expect(password).to_have_attribute("type", "text")
    await sign_in(page, profile.email, "not the right password")
    await expect(password).to_have_attribute("type", "password")


async def test_sign_in_waits_as_long_as_the_server_asks(profile: Profile, wire: Wire) -> None:
    """A limit is told with the time to wait."""
    wire.refuse("/v1/spa/login", 429, "rate_limited", Retry_After="40")
    page = await profile.open()
    await sign_in(page, profile.email)
    await expect(page.get_by_text("That was a lot of tries. Wait 40 seconds, then try again.")).to_be_visible()


async def test_sign_in_asks_for_a_second_step_when_the_server_does(profile: Profile, wire: Wire) -> None:
    """`mfa_required` leads to the code, another way is offered, and the challenge is sent back."""
    wire.answer(
        "/v1/spa/login",
        401,
        '{"status":401,"code":"mfa_required","challenge_token":"cct_c_x","methods":["totp","recovery_code","passkey"]}',
    )
    wire.refuse("/v1/spa/login/verify", 401, "invalid_credentials")
    page = await profile.open()
    await sign_in(page, profile.email)
    await expect(page.get_by_label("Code", exact=True)).to_be_focused()
    await page.get_by_role("button", name="Use a recovery code").click()
    await page.get_by_label("Recovery code").fill("abcd-efgh")
    async with page.expect_request("**/v1/spa/login/verify") as sent:
        await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("This code doesn't fit.")).to_be_visible()
    request = await sent.value
    assert request.post_data_json == {"challenge_token": "cct_c_x", "method": "recovery_code", "code": "abcd-efgh"}
    await page.get_by_role("button", name="Start again").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_label("Password", exact=True)).to_have_value("")
