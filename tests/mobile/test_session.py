"""The rules of the local session: it survives the network, and ends only when the server says so."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from mobile_demo import wire, words
from mobile_demo.core import Core
from mobile_demo.refusals import ENDING, Ended, Refused, Superseded, Unreachable
from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD
from tests.live import Live

from .browser import Browser
from .conftest import restarted, stale
from .proxy import Action, Drop, Hang, Proxy, Say, Then, problem

REFRESH, ME = "POST /oauth/token", "GET /v1/me"


def kept_token(core: Core) -> str:
    """The refresh token on disk, as another process would see it."""
    signed_in = TokenStore(core.folder).load().signed_in
    assert signed_in
    return signed_in.refresh_token


async def status_of(server: Live, refresh_token: str) -> tuple[int, str]:
    """What the server says to a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    async with httpx2.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/oauth/token", data=form)
    return answer.status_code, answer.json().get("code", "")


async def test_a_lost_answer_is_asked_for_again(core: Core, proxy: Proxy) -> None:
    """The server rotated, its answer was dropped: the same token is presented again, on the same device row."""
    before, devices = kept_token(core), await core.api.devices()
    stale(core)
    proxy.rules[REFRESH] = Drop()
    with pytest.raises(Unreachable):
        await core.api.me()
    assert kept_token(core) == before
    assert core.session.signed_in
    del proxy.rules[REFRESH]
    assert (await core.api.me())["name"] == "Ada"
    assert kept_token(core) != before
    assert [d["id"] for d in await core.api.devices()] == [d["id"] for d in devices]
    kinds = {event["kind"] for event in (await core.api.activity())["events"]}
    assert "token.reused" not in kinds


async def test_many_calls_share_one_refresh(core: Core, proxy: Proxy) -> None:
    """Twenty calls that find the access token stale: one refresh, twenty answers."""
    stale(core)
    answers = await asyncio.gather(*(core.api.me() for _ in range(20)))
    assert len(answers) == 20
    assert proxy.count(REFRESH) == 1


async def test_the_successor_is_durable_before_its_access_token_is_used(core: Core, proxy: Proxy) -> None:
    """When the first request with the new access token reaches the network, the new refresh token is on disk."""
    before = kept_token(core)
    found: list[str] = []

    async def look() -> None:
        found.append(kept_token(core))

    stale(core)
    proxy.rules[ME] = Then(look)
    await core.api.me()
    assert found
    assert before not in found


async def test_a_second_401_is_not_retried(core: Core, proxy: Proxy) -> None:
    """One refresh, one retry, then the refusal is told: never a loop, never a sign-out."""
    proxy.rules[ME] = problem("token_expired")
    with pytest.raises(Refused, match="token_expired"):
        await core.api.me()
    assert (proxy.count(ME), proxy.count(REFRESH)) == (2, 1)
    assert core.session.signed_in


@pytest.mark.parametrize("code", ["token_expired", "token_invalid"])
async def test_a_stale_token_is_refreshed_and_the_call_repeated(core: Core, proxy: Proxy, code: str) -> None:
    """What the clock didn't foresee, the server's refusal tells."""

    async def heal() -> None:
        proxy.rules.pop(ME, None)

    proxy.rules = {ME: problem(code), REFRESH: Then(heal)}
    assert (await core.api.me())["name"] == "Ada"


TROUBLE: dict[str, Action] = {
    "a proxy's 404": Say("404 Not Found", "<h1>nothing here</h1>"),
    "429": problem("rate_limited", "429 Too Many Requests", "Retry-After: 30"),
    "500": problem("internal_error", "500 Internal Server Error"),
    "502": Say("502 Bad Gateway"),
    "503": problem("unavailable", "503 Service Unavailable", "Retry-After: 1"),
    "a captive portal": Say("200 OK", "<h1>Welcome to our Wi-Fi</h1>"),
    "another program": Say("200 OK", '{"hello":"there"}', "application/json"),
    "a redirect": Say("302 Found", headers=("Location: https://portal.test/",)),
    "an answer lost": Drop(),
    "no answer": Hang(),
}


@pytest.mark.parametrize("what", TROUBLE)
async def test_server_trouble_is_no_sign_out(
    core: Core, proxy: Proxy, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session stays, on disk too, and the next attempt after the trouble succeeds."""
    monkeypatch.setattr(core.session.wire._http, "timeout", httpx2.Timeout(0.4))
    stale(core)
    proxy.rules[REFRESH] = TROUBLE[what]
    with pytest.raises(Unreachable) as caught:
        await core.api.me()
    assert words.refusal(caught.value, signed_in=True) == "Can't reach the server. You're still signed in."
    assert kept_token(core)
    proxy.rules.clear()
    core.session._clock = _later(core, 31)
    assert (await core.api.me())["name"] == "Ada"


async def test_retry_after_is_kept(core: Core, proxy: Proxy) -> None:
    """While the server asked to wait, nothing is sent."""
    stale(core)
    proxy.rules[REFRESH] = TROUBLE["429"]
    for _ in range(5):
        with pytest.raises(Unreachable):
            await core.api.me()
    assert proxy.count(REFRESH) == 1


@pytest.mark.parametrize("code", sorted(ENDING))
@pytest.mark.parametrize("where", ["refresh", "call"])
async def test_the_three_codes_end_the_session(core: Core, proxy: Proxy, code: str, where: str) -> None:
    """They, and nothing else; what was kept is gone and the person is told why."""
    if where == "refresh":
        stale(core)
        body = f'{{"error":"invalid_grant","error_description":"","code":"{code}"}}'
        proxy.rules[REFRESH] = Say("400 Bad Request", body, "application/json")
    else:
        proxy.rules[ME] = problem(code)
    with pytest.raises(Ended):
        await core.api.me()
    assert core.session.signed_in is None
    assert TokenStore(core.folder).load().signed_in is None
    assert words.farewell(core.session.farewell)


@pytest.mark.parametrize(
    "code", ["unauthenticated", "token_invalid", "invalid_request", "malformed_request", "new_one"]
)
async def test_no_other_code_ends_it(core: Core, proxy: Proxy, code: str) -> None:
    """A bug on either side keeps the session."""
    stale(core)
    body = f'{{"error":"invalid_grant","error_description":"","code":"{code}"}}'
    proxy.rules[REFRESH] = Say("400 Bad Request", body, "application/json")
    with pytest.raises(Refused):
        await core.api.me()
    assert kept_token(core)


async def test_sign_out_beats_a_refresh_in_flight(core: Core, proxy: Proxy, server: Live) -> None:
    """The refresh's answer arrives after the sign-out: nothing is written back, both tokens are dead, and stay so."""
    before, late = kept_token(core), asyncio.Event()
    stale(core)

    async def wait() -> None:
        await late.wait()

    proxy.rules[REFRESH] = Then(wait)
    call = asyncio.create_task(core.api.me())
    await proxy.met(REFRESH)
    await core.session.sign_out()
    late.set()
    with pytest.raises(Superseded):
        await call
    assert TokenStore(core.folder).load().signed_in is None
    assert await status_of(server, before) == (400, "session_revoked")
    assert (await restarted(core)).session.signed_in is None


async def test_an_answer_for_an_older_session_is_dropped(core: Core, proxy: Proxy, email: str) -> None:
    """A 401 that belongs to the session before doesn't end the one signed in since."""
    answered = asyncio.Event()

    async def wait() -> None:
        await answered.wait()

    proxy.rules[ME] = Then(wait)
    call = asyncio.create_task(core.api.me())
    await proxy.met(ME)
    await core.session.sign_out()
    await core.session.sign_in(email, PASSWORD)
    answered.set()
    with pytest.raises(Superseded):
        await call
    assert core.session.signed_in


async def test_remote_sign_out_ends_it_with_the_next_call(core: Core, server: Live, browser: Browser) -> None:
    """Without any stream: the next call is told, the refresh token is dead as well, the browser goes on."""
    token = kept_token(core)
    await browser.sign_out_phone()
    with pytest.raises(Ended):
        await core.api.me()
    assert await status_of(server, token) == (400, "session_revoked")
    assert await browser.status() == (200, "")


async def test_a_full_disk_hands_out_no_access_token(core: Core, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be made durable isn't used; with room again the server repeats its answer."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    stale(core)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space") as caught:
            await core.api.me()
    assert words.refusal(caught.value, signed_in=True) == words.NOT_KEPT
    assert proxy.count(ME) == 0
    assert (await core.api.me())["name"] == "Ada"


async def test_a_full_disk_doesnt_prevent_signing_out(
    core: Core, server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To forget needs no room, and the server is told from memory."""
    token = kept_token(core)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        await core.session.sign_out()
    assert TokenStore(core.folder).load().signed_in is None
    assert await status_of(server, token) == (400, "session_revoked")


async def test_the_device_is_recognised_at_the_next_sign_in(core: Core, email: str) -> None:
    """The device token is kept past the sign-out and sent again: one row, and a name the person gave stays."""
    [device] = await core.api.devices()
    await core.api.rename(device["id"], "Ada's phone")
    await core.session.sign_out()
    await core.session.sign_in(email.upper(), PASSWORD)
    [again] = await core.api.devices()
    assert (again["id"], again["name"]) == (device["id"], "Ada's phone")


def _later(core: Core, seconds: float) -> Callable[[], float]:
    clock = core.session._clock
    return lambda: clock() + seconds


def test_the_timeouts_are_finite() -> None:
    """Nothing waits for ever."""
    assert None not in (*wire._TIMEOUT.as_dict().values(), *wire._STREAM_TIMEOUT.as_dict().values())


def test_the_core_needs_no_window(tmp_path: Path) -> None:
    """Nothing that the core imports imports kivy."""
    import subprocess
    import sys

    code = "import sys, mobile_demo.core, mobile_demo.server_check, mobile_demo.history, mobile_demo.times\n"
    code += "assert not [name for name in sys.modules if name.split('.')[0] == 'kivy']"
    subprocess.run([sys.executable, "-c", code], check=True)
