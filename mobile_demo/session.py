"""The local session: one sign-in on this device, kept until the server says that it is over. The heart of the app.

Order is everything, in `_refresh` above all:
  1. one refresh in flight here (`_refreshing`) and, as far as patience reaches, between processes (a file lock);
  2. the successor is durable before its access token is used: from then on the server counts it as acknowledged, and
     the token before it dies soon. Killed before that moment, the next start presents the old token again, and the
     server repeats the very same answer;
  3. an answer counts only while the session it was asked for is still the local one (`_generation`, the session's id).
It ends on the contract's three codes and on the stream's `signed_out`, and on nothing else: fails open towards
"still signed in", because the server is the one who decides.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from . import boot_clock, this_device
from .access import Access, granted
from .file_lock import locked_across
from .kept import Kept, Owed, SignedIn
from .refusals import ENDING, Ended, NotSignedIn, Refused, Superseded, Unreachable
from .token_store import TokenStore
from .wire import Wire

_PATIENCE = 15.0  # seconds to wait for another process's refresh: longer than any request takes
_STALE = ("token_expired", "token_invalid")
T = TypeVar("T")


class Session:
    """`on_change` is called after each change of `signed_in`, `online` or `farewell`, on the loop that made it."""

    def __init__(self, store: TokenStore, server: str, clock: Callable[[], float] = boot_clock.seconds) -> None:
        self.store, self.on_change = store, _nobody
        self.online: bool | None = None  # None: not tried yet
        self.farewell: Ended | None = None  # why nobody is signed in any more
        self._clock = clock
        self._generation = 0
        self._access: Access | None = None
        self._refreshing: asyncio.Task[Access] | None = None
        self._wait_until = float("-inf")
        self.signed_in: SignedIn | None = store.load().signed_in
        if self.signed_in is None and store.unreadable:
            self.farewell = Ended("unreadable")
        self.wire = Wire(self.signed_in.server if self.signed_in else server)

    # -- sign in, sign out ---------------------------------------------------------------------------------------------

    async def sign_in(self, email: str, password: str) -> None:
        """Raises SecondStep, NoRoom, Refused, Unreachable, and OSError when the session can't be kept."""
        device = this_device.describe()
        if token := self.store.load().device_token(self.wire.server, email):
            device["token"] = token
        await self._enter(email, "/v1/native/login", {"email": email, "password": password, "device": device})

    async def verify(self, email: str, challenge_token: str, method: str, code: str) -> None:
        """The second step of a sign-in as `email`. Raises what `sign_in` does."""
        body = {"challenge_token": challenge_token, "method": method, "code": code}
        await self._enter(email, "/v1/native/login/verify", body)

    async def make_room(self, email: str, challenge_token: str, session_id: str) -> None:
        """End that session of `email`'s, and go on with the sign-in. Raises what `sign_in` does."""
        body = {"challenge_token": challenge_token, "method": "sign_out", "session_id": session_id}
        await self._enter(email, "/v1/native/login/verify", body)

    async def _enter(self, email: str, path: str, body: dict[str, Any]) -> None:
        self._generation += 1
        generation, asked_at = self._generation, self._clock()
        answer = await self.send("POST", path, body=body)
        self._still(generation)
        new = SignedIn(self.wire.server, answer["session"]["id"], answer["refresh_token"], answer["account"])
        try:
            kept = self.store.change(lambda kept: kept.with_sign_in(new, email, answer["device_token"]))
        except OSError:
            await self._revoke(Owed(new.server, new.refresh_token))  # nobody could ever use that session
            raise
        self._begin(kept, granted(answer, asked_at))

    async def sign_out(self) -> None:
        """Signed out here at once, whatever the network says; the server is told now, or when it can be reached."""
        signed_in = self.signed_in
        try:
            self._begin(self.store.change(Kept.with_sign_out), None)
        except OSError:  # a full disk: to forget needs no room
            self.store.forget()
            self._begin(Kept(), None)
            if signed_in:
                await self._revoke(Owed(signed_in.server, signed_in.refresh_token))
        await self.pay_owed()

    async def pay_owed(self) -> bool:
        """Tell servers of sign-outs they haven't heard of. Whether nothing is owed any more."""
        for owed in self.store.load().owed:
            if not await self._revoke(owed):
                return False
            self.store.change(partial(Kept.without_owed, paid=owed))
        return True

    async def _revoke(self, owed: Owed) -> bool:
        wire = Wire(owed.server)  # not always the server of now
        try:
            await wire.send("POST", "/oauth/revoke", form={"token": owed.refresh_token})
        except (Refused, Unreachable):
            return False
        finally:
            await wire.close()
        return True

    def end(self, session_id: str, farewell: Ended) -> None:
        """The server has ended `session_id`. If another process has signed in since, that session is taken over."""
        if self.signed_in is None or self.signed_in.session_id != session_id:
            return
        kept = self.store.change(lambda kept: kept.with_end(session_id))
        self._begin(kept, None, None if kept.signed_in else farewell)

    async def use_server(self, server: str) -> None:
        """Talk to another server; only while nobody is signed in. Raises AddressRefused."""
        if self.signed_in is not None:
            raise ValueError("sign out first")
        self._generation += 1
        before, self.wire = self.wire, Wire(server)
        self.online, self._wait_until = None, float("-inf")
        await before.close()

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call as the person signed in: at most one refresh and one retry. Raises Refused, Unreachable, Ended,
        NotSignedIn, Superseded."""
        return await self.with_access(lambda bearer: self.send(method, path, bearer=bearer, body=body))

    async def with_access(self, use: Callable[[str], Awaitable[T]]) -> T:
        """`use` with an access token, and once more with a fresh one if that was refused as stale."""
        generation, access = self._generation, await self._usable()
        try:
            answer = await self._heed(generation, use(access.text))
        except Refused as refused:
            if refused.code not in _STALE:
                raise
            access = await self._usable(instead_of=access)
            answer = await self._heed(generation, use(access.text))
        self._still(generation)
        return answer

    def tell(self, session_id: str, **news: Any) -> None:
        """Keep newer words of the server about `account` or `device`."""
        kept = self.store.change(lambda kept: kept.told(session_id, **news))
        if self.signed_in and self.signed_in.session_id == session_id and kept.signed_in:
            self.signed_in = kept.signed_in
            self.on_change()

    async def send(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """A call that needs no session; notes whether the server can be reached."""
        try:
            answer = await self.wire.send(method, path, **more)
        except Refused:
            self.reached(True)
            raise
        except Unreachable:
            self.reached(False)
            raise
        self.reached(True)
        return answer

    def reached(self, online: bool) -> None:
        """What the latest attempt says about the network."""
        if online != self.online:
            self.online = online
            self.on_change()

    async def _heed(self, generation: int, work: Awaitable[T]) -> T:
        """The outcome of one request, if the session that made it is still the local one."""
        session_id = self.signed_in.session_id if self.signed_in else ""
        try:
            return await work
        except Refused as refused:
            self._still(generation)
            if refused.code not in ENDING:
                raise
            farewell = Ended(refused.code)
            self.end(session_id, farewell)
            raise Superseded if self.signed_in else farewell from None
        except Unreachable:
            self._still(generation)
            raise

    # -- refresh -------------------------------------------------------------------------------------------------------

    async def _usable(self, instead_of: Access | None = None) -> Access:
        """An access token that isn't known to be stale. All who wait share one refresh."""
        if self.signed_in is None:
            raise NotSignedIn
        if self._access and self._access is not instead_of and self._clock() < self._access.until:
            return self._access
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(self._generation))
        return await asyncio.shield(self._refreshing)  # a caller that gives up doesn't take the refresh with it

    async def _refresh(self, generation: int) -> Access:
        if (wait := self._wait_until - self._clock()) > 0:
            raise Unreachable(wait)
        async with locked_across(self.store.refresh_lock, _PATIENCE):
            self._still(generation)
            signed_in = self._as_kept()
            asked_at = self._clock()
            answer = await self._heed(generation, self._renew(signed_in.refresh_token))
            successor = answer["refresh_token"]
            kept = self.store.change(lambda kept: kept.with_refresh(signed_in.refresh_token, successor))
        # From here on the successor is durable; only now may its access token be used.
        self._still(generation)
        if kept.signed_in is None or kept.signed_in.session_id != signed_in.session_id:
            self._begin(kept, None)  # another process signed out, or in, meanwhile
            raise Superseded
        self.signed_in, self._access = kept.signed_in, granted(answer, asked_at)
        return self._access

    async def _renew(self, refresh_token: str) -> dict[str, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            answer = await self.send("POST", "/oauth/token", form=form)
            if not isinstance(answer.get("refresh_token"), str) or not isinstance(answer.get("access_token"), str):
                raise Unreachable  # 200 from somebody else, a captive portal for instance
        except (Refused, Unreachable) as error:
            self._wait_until = self._clock() + (error.retry_after or 0)
            if isinstance(error, Refused) and error.code == "rate_limited":
                raise Unreachable(error.retry_after) from None
            raise
        return answer

    def _as_kept(self) -> SignedIn:
        """What the store says now: another process may have refreshed, signed out or signed in since we looked."""
        kept = self.store.load()
        if kept.signed_in is None or self.signed_in is None or kept.signed_in.session_id != self.signed_in.session_id:
            if self.store.unreadable:  # a locked key store: say nothing, lose nothing
                raise Unreachable
            self._begin(kept, None)
            raise Superseded
        return kept.signed_in

    # -- generations ---------------------------------------------------------------------------------------------------

    def _begin(self, kept: Kept, access: Access | None, farewell: Ended | None = None) -> None:
        """Another session, or none, is the local one from now on; answers to earlier questions are dropped."""
        self._generation += 1
        self._refreshing = None
        self._wait_until = float("-inf")
        self.signed_in, self._access, self.farewell = kept.signed_in, access, farewell
        self.on_change()

    def _still(self, generation: int) -> None:
        if generation != self._generation:
            raise Superseded


def _nobody() -> None:
    pass
