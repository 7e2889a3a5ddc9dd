"""The step after the password, on the phone: the core's rules, and the screen that asks."""

from pathlib import Path

import httpx2
import pyotp
import pytest

from mobile_demo.core import Core
from mobile_demo.refusals import Refused, SecondStep
from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD
from tests.live import Live

from .conftest import register
from .phone import Phone, opened
from .proxy import Proxy


@pytest.fixture
def guarded(server: Live) -> tuple[str, list[str]]:
    """An account with an authenticator app, and its recovery codes."""
    email = register(server)
    body = {"email": email, "password": PASSWORD}
    token = httpx2.post(f"{server.url}/v1/native/login", json=body).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    seed = httpx2.post(f"{server.url}/v1/me/factors/totp", headers=headers).raise_for_status().json()
    proof = {"challenge_token": seed["challenge_token"], "code": pyotp.TOTP(seed["secret"]).now()}
    added = httpx2.post(f"{server.url}/v1/me/factors/totp/confirm", json=proof, headers=headers).raise_for_status()
    return email, added.json()["recovery_codes"]


async def test_second_step_keeps_nothing_before_it_is_through(
    proxy: Proxy, guarded: tuple[str, list[str]], tmp_path: Path
) -> None:
    """The password alone leaves no session, in memory or on the device; a wrong code neither; the right one does."""
    email, codes = guarded
    core = Core(tmp_path / "phone", proxy.url)
    with pytest.raises(SecondStep) as asked:
        await core.session.sign_in(email, PASSWORD)
    step = asked.value
    assert step.methods == ("totp", "recovery_code")
    with pytest.raises(Refused, match="invalid_credentials"):
        await core.session.verify(email, step.challenge_token, "recovery_code", codes[0][:-1] + "u")
    assert TokenStore(core.folder).load().signed_in is None
    files = [file.read_bytes() for file in core.folder.rglob("*") if file.is_file()]
    assert not any(step.challenge_token.encode() in content for content in files)
    await core.session.verify(email, step.challenge_token, "recovery_code", codes[0])
    assert TokenStore(core.folder).load().signed_in is not None
    assert (await core.api.me())["email"] == email
    await core.close()


async def test_second_step_keeps_the_device(proxy: Proxy, guarded: tuple[str, list[str]], tmp_path: Path) -> None:
    """Signed out and in again through the second step, it is the same device."""
    email, codes = guarded
    core = Core(tmp_path / "phone", proxy.url)
    seen = []
    for code in codes[:2]:
        with pytest.raises(SecondStep) as asked:
            await core.session.sign_in(email, PASSWORD)
        await core.session.verify(email, asked.value.challenge_token, "recovery_code", code)
        seen.append((await core.api.devices())[0]["id"])
        await core.session.sign_out()
    assert seen[0] == seen[1]
    await core.close()


async def test_second_step_screen_asks_and_goes_on(
    proxy: Proxy, guarded: tuple[str, list[str]], tmp_path: Path
) -> None:
    """The screen follows the password, tells a wrong code, takes a recovery code; started again, nothing is left."""
    email, codes = guarded
    async with opened(tmp_path, proxy.url) as phone:
        await password(phone, email)
        await phone.shows("Enter the six digits")
        await phone.tap("Start again")
        await password(phone, email)
        await phone.fill("Code", "000000")
        await phone.tap("Continue")
        await phone.shows("This code doesn't fit.")
        await phone.tap("Use a recovery code")
        await phone.fill("Recovery code", codes[0])
        await phone.tap("Continue")
        await phone.at("home")


async def password(phone: Phone, email: str) -> None:
    """As far as the second step."""
    await phone.at("sign_in")
    await phone.fill("Email address", email)
    await phone.fill("Password", PASSWORD)
    await phone.tap("Sign in")
    await phone.at("second_step")
