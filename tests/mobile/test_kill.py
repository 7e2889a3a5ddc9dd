"""A killed app never needs a new sign-in (pains.md, scenario 6): a real process, killed at each step of a refresh."""

import asyncio
import signal
import sys

import pytest

from mobile_demo.core import Core
from mobile_demo.refusals import Superseded
from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD

from .conftest import restarted
from .proxy import Drop, Proxy, Then

POINTS = ("before send", "after commit", "before write", "mid write", "before rename", "after write")


async def start(what: str, core: Core, argument: str) -> asyncio.subprocess.Process:
    """The phone in another process, on the same folder."""
    command = [sys.executable, "-m", "tests.mobile.driver", what, str(core.folder), core.preferences.server, argument]
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_step_it_is_still_signed_in(core: Core, proxy: Proxy, point: str) -> None:
    """After the restart the person is known at once and the next call succeeds, without a password."""
    child = await start("refresh", core, point)
    if point == "after commit":
        proxy.rules["POST /oauth/token"] = Then(lambda: _kill(child))
    assert await asyncio.wait_for(child.wait(), 30) == -signal.SIGKILL
    assert proxy.count("POST /oauth/token") == (0 if point == "before send" else 1)
    proxy.rules.clear()
    again = await restarted(core)
    assert again.session.signed_in
    assert again.session.signed_in.account["name"] == "Ada"
    assert (await again.api.me())["name"] == "Ada"
    assert "token.reused" not in {event["kind"] for event in (await again.api.activity())["events"]}
    assert not list(core.folder.glob("*.new")), "what the killed writer left behind is swept away"
    await again.close()


async def _kill(child: asyncio.subprocess.Process) -> None:
    child.kill()
    await child.wait()


async def test_killed_three_times_in_a_row(core: Core, proxy: Proxy) -> None:
    """Each time after the server had committed: the third restart still refreshes."""
    for _ in range(3):
        proxy.rules["POST /oauth/token"] = Drop()
        child = await start("refresh", core, "never")
        assert await asyncio.wait_for(child.wait(), 30) == 1, "Unreachable, told by a traceback"
    proxy.rules.clear()
    again = await restarted(core)
    assert (await again.api.me())["name"] == "Ada"
    await again.close()


async def test_two_processes_share_one_store(core: Core, proxy: Proxy) -> None:
    """Twenty refreshes each, at the same time: nobody is signed out, nothing counts as reuse."""
    children = [await start("many", core, "20") for _ in range(2)]
    outputs = await asyncio.wait_for(asyncio.gather(*(child.communicate() for child in children)), 60)
    assert [output for output, _ in outputs] == [b"done\n", b"done\n"]
    again = await restarted(core)
    kinds = {event["kind"] for event in (await again.api.activity())["events"]}
    assert not kinds & {"token.reused", "refresh.refused", "session.ended"}
    await again.close()


async def test_a_frozen_process_holds_nobody_up(core: Core, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stops in the middle of its refresh, lock in hand; the other waits its patience, then goes ahead. Woken, the
    first doesn't put its older token back."""
    held = asyncio.Event()

    async def hold() -> None:
        await held.wait()

    proxy.rules["POST /oauth/token"] = Then(hold)
    child = await start("many", core, "1")
    await proxy.met("POST /oauth/token")
    child.send_signal(signal.SIGSTOP)
    proxy.rules.clear()
    monkeypatch.setattr("mobile_demo.session._PATIENCE", 0.2)
    for _ in range(3):
        core.session._access = None
        await core.api.me()
    newest = TokenStore(core.folder).load()
    held.set()
    child.send_signal(signal.SIGCONT)
    assert await asyncio.wait_for(child.wait(), 30) == 0
    assert TokenStore(core.folder).load() == newest
    core.session._access = None
    assert (await core.api.me())["name"] == "Ada"


async def test_another_process_signing_out_is_noticed(core: Core, email: str) -> None:
    """Its sign-out is this one's too; its new sign-in is taken over."""
    other = Core(core.folder, core.preferences.server)
    await other.session.sign_out()
    await other.session.sign_in(email, PASSWORD)
    with pytest.raises(Superseded):
        await core.api.me()
    assert (await core.api.me())["name"] == "Ada"
    await other.session.sign_out()
    core.session._access = None
    with pytest.raises(Superseded):
        await core.api.me()
    assert core.session.signed_in is None
    await other.close()
