"""Without network: known at once, calls told in words, a sign-out that the server hears of later."""

import asyncio
import time

import pytest

from mobile_demo.core import Core
from mobile_demo.refusals import Unreachable
from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD
from tests.live import Live
from tests.waiting import until

from .conftest import restarted
from .proxy import Hang, Proxy
from .test_session import kept_token, status_of


async def test_an_offline_start_knows_the_person_at_once(core: Core, proxy: Proxy) -> None:
    """From what is kept, long before any timeout; when the network is back, one refresh, and calls succeed."""
    await core.api.devices()
    await proxy.offline()
    began = time.monotonic()
    again = await restarted(core)
    took = time.monotonic() - began
    print(f"offline start of the core: {took * 1000:.0f} ms")
    assert took < 1
    assert again.session.signed_in
    assert again.session.signed_in.account["email"].endswith("@example.test")
    assert again.session.signed_in.device
    await again.resume()
    await until(lambda: again.session.online is False)
    with pytest.raises(Unreachable):
        await again.api.me()
    assert kept_token(again)
    await proxy.online()
    await until(lambda: again.session.online is True)
    assert (await again.api.me())["name"] == "Ada"
    assert proxy.count("POST /oauth/token") == 1
    await again.close()


async def test_an_offline_sign_out_is_told_later(core: Core, proxy: Proxy, server: Live) -> None:
    """Cleared at once; owed durably, over a restart; paid as soon as the server can be reached."""
    token = kept_token(core)
    await proxy.offline()
    await core.session.sign_out()
    assert core.session.signed_in is None
    assert len(TokenStore(core.folder).load().owed) == 1
    again = await restarted(core)
    assert again.session.signed_in is None
    await again.resume()
    await asyncio.sleep(0.1)
    await proxy.online()
    await until(lambda: not TokenStore(core.folder).load().owed)
    assert await status_of(server, token) == (400, "session_revoked")
    await again.close()


async def test_a_sign_out_doesnt_wait_for_a_hanging_server(core: Core, proxy: Proxy) -> None:
    """Gone here within a moment; only the telling hangs."""
    proxy.rules["POST /oauth/revoke"] = Hang()
    leaving = asyncio.create_task(core.session.sign_out())
    await until(lambda: core.session.signed_in is None, 0.5)
    leaving.cancel()
    assert TokenStore(core.folder).load().owed


async def test_signing_in_again_doesnt_forget_what_is_owed(core: Core, proxy: Proxy, server: Live, email: str) -> None:
    """The older session is ended at the server in any case, the new one stays."""
    token = kept_token(core)
    proxy.rules["POST /oauth/revoke"] = Hang()
    leaving = asyncio.create_task(core.session.sign_out())
    await proxy.met("POST /oauth/revoke")
    leaving.cancel()
    await core.session.sign_in(email, PASSWORD)
    proxy.rules.clear()
    assert await core.session.pay_owed()
    assert not TokenStore(core.folder).load().owed
    assert (await status_of(server, token))[1] == "session_revoked"
    assert (await core.api.me())["name"] == "Ada"
