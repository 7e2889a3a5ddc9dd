"""The verifier: an access token in, its claims out, without I/O."""

import asyncio
import logging
import threading
from contextlib import suppress
from hashlib import sha256
from typing import Literal, Self

from . import tokens
from .endings import Endings
from .following import Follower
from .keys import Keys
from .refusals import NoCredential, RevocationsStale, SessionRevoked, TokenExpired, TokenInvalid
from .tokens import LEEWAY, Claims

_MOST = 10_000  # tokens remembered; the oldest goes first
_START = 5.0  # seconds to wait for the issuer at the start; without it we start all the same, and refuse

log = logging.getLogger("coatcheck.verifier")


class Verifier:
    """Checks access tokens of one issuer for one audience. Use it as `async with`, or as `with` in threaded code.

    max_staleness  seconds for which the last news of ended sessions is good; it comes twice a second while all is well
    when_stale     after that: "refuse" raises RevocationsStale (answer 503); "accept" believes a token until it
                   expires, sign-outs being unheard. Sessions known to have ended are refused in either case
    clock_skew     seconds by which the issuer's clock may differ from ours

    Raises ValueError for an issuer that is neither https nor on this machine.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        max_staleness: float = 10.0,
        when_stale: Literal["refuse", "accept"] = "refuse",
        clock_skew: float = 5.0,
    ) -> None:
        if when_stale not in ("refuse", "accept") or max_staleness < 1 or clock_skew < 0:
            raise ValueError("when_stale is refuse or accept; max_staleness 1 second or more; clock_skew not negative")
        self._issuer, self._audience = issuer, audience
        self._accept = when_stale == "accept"
        self._keys = Keys()
        self._endings = Endings(max_staleness, clock_skew)
        self._follower = Follower(issuer, self._keys, self._endings)
        self._verified: dict[bytes, Claims] = {}
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # -- checking ------------------------------------------------------------------------------------------------------

    def check(self, token: str, *, key_thumbprint: str | None = None) -> Claims:
        """What a good token says. Local; may be called in any thread.

        `key_thumbprint`: of the key whose DPoP proof you have verified (RFC 9449); a key-bound token needs it.
        Raises TokenInvalid, TokenExpired, SessionRevoked, and KeysUnknown or RevocationsStale: answer those with 503.
        """
        claims = self._read(token)
        if claims.key_thumbprint is not None and claims.key_thumbprint != key_thumbprint:
            raise TokenInvalid
        if self._endings.now() > self._latest(claims) + LEEWAY:
            raise TokenExpired
        if self._endings.ended(claims.session_id):
            raise SessionRevoked
        if not self._accept and not self._endings.can_tell(claims.issued_at):
            raise RevocationsStale
        return claims

    def authorize(self, authorization: str | None, *, key_thumbprint: str | None = None) -> Claims:
        """`check` for the value of an `Authorization` header. Raises NoCredential too."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NoCredential
        return self.check(token, key_thumbprint=key_thumbprint)

    @property
    def is_fresh(self) -> bool:
        """Whether we know of every sign-out, as of `max_staleness` ago at most; for a readiness probe."""
        return self._endings.is_fresh()

    def _read(self, token: str) -> Claims:
        # Remembered by the whole token; expiry, key and session are looked at each time.
        name = sha256(token.encode(errors="replace")).digest()
        claims = self._verified.get(name)
        if claims is None:
            claims = tokens.read(token, self._issuer, self._audience, self._keys.find)
            with self._writing:
                if len(self._verified) >= _MOST:
                    del self._verified[next(iter(self._verified))]
                self._verified[name] = claims
        else:
            self._keys.find(claims.kid)  # a key that was taken back takes its tokens with it
        return claims

    def _latest(self, claims: Claims) -> float:
        """A token is never good for longer than the issuer remembers that its session has ended."""
        keep = self._endings.keep
        return min(claims.expires_at, claims.issued_at + keep - 2 * LEEWAY) if keep else claims.expires_at

    # -- following -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follower.run())
        await asyncio.to_thread(self._follower.ready.wait, _START)
        self._note_start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), name="coatcheck", daemon=True)
        self._thread.start()
        self._follower.ready.wait(_START)
        self._note_start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop and self._task and self._thread:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(_START)

    async def _follow(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        with suppress(asyncio.CancelledError):
            await self._follower.run()

    def _note_start(self) -> None:
        if not self._follower.ready.is_set():
            log.warning("the issuer does not answer; access tokens can't be checked before it does")
