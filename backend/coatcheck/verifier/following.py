"""Following the issuer over HTTP: its keys, and its lists of ended sessions, streamed or else asked for.

Only the issuer's own address is ever asked: https, or http to this machine. No redirect is followed, no answer is read
beyond its size or its time. Whatever goes wrong here only makes us stale (endings.py). Fails closed.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2

from . import endings, tokens
from .endings import Endings
from .keys import Keys
from .refusals import Refused

TYPE = "coatcheck-revocations+jwt"
LISTS = "/v1/revocations"
STREAM = "/v1/revocations/stream"
POLL = 0.5  # seconds between questions while there is no stream
_SILENCE = (
    2.0  # seconds without a byte, or without news, after which a stream is given up; its heart beats twice a second
)
_TOGETHER = 5.0  # seconds for one answer as a whole
_LONGEST = tokens.LONGEST_LIST + 1_024  # bytes
_PAUSES = (1.0, 60.0)  # seconds between attempts at a stream that breaks: at first, at most

_TROUBLE = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError, TimeoutError)

log = logging.getLogger("coatcheck.verifier")


def address(issuer: str) -> str:
    """Where the issuer is asked. Raises ValueError unless it is https, or http to this machine."""
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    plain = parts.scheme == "http" and _is_here(host)
    if not host or not (parts.scheme == "https" or plain) or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("issuer must be an https URL (http only to this machine) without user, query or fragment")
    return issuer.rstrip("/")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


class Follower:
    """Keeps keys and endings of one issuer up to date while `run` runs."""

    def __init__(self, issuer: str, keys: Keys, known: Endings) -> None:
        self._issuer, self._base = issuer, address(issuer)
        self._keys, self._known = keys, known
        self._more = False
        self.ready = threading.Event()  # set once we have heard everything for the first time

    async def run(self) -> None:
        """Follow until cancelled, whatever happens."""
        while True:
            try:
                await self._run()
            except Exception:
                log.exception("following the issuer failed; trying again")
                await asyncio.sleep(1)

    async def _run(self) -> None:
        # Proxies of the environment are for the world outside: what goes to this machine in the clear stays here.
        outside = self._base.startswith("https:")
        headers = {"Accept-Encoding": "identity"}
        http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(_SILENCE),
            follow_redirects=False,
            trust_env=outside,
            verify=outside,  # https always; without TLS, loading certificates would cost a tenth of a second
        )
        async with (
            http as self._http,
            asyncio.TaskGroup() as both,
        ):
            both.create_task(self._keys.follow(self._get))
            both.create_task(self._follow())

    async def _follow(self) -> None:
        await self._keys.arrived.wait()
        pause, next_attempt, answered = _PAUSES[0], 0.0, True
        while True:
            if time.monotonic() >= next_attempt:
                began = time.monotonic()
                await self._stream()
                lasted = time.monotonic() - began > _PAUSES[1]
                pause = _PAUSES[0] if lasted else min(2 * pause, _PAUSES[1])
                next_attempt = time.monotonic() + pause
            before, answered = answered, await self._poll()
            if answered and not before:  # it is back: a stream may work again
                pause, next_attempt = _PAUSES[0], 0.0
            await asyncio.sleep(POLL * random.uniform(0.8, 1.0))  # noqa: S311  # not all services in step

    async def _stream(self) -> None:
        """Follow the stream until it breaks, says nothing new for a while, or leaves something out."""
        began = time.monotonic()
        with suppress(*_TROUBLE):
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(_TOGETHER):
                    opening = self._http.stream("GET", self._base + STREAM, params=self._from())
                    answer = await stack.enter_async_context(opening)
                kind = answer.headers.get("Content-Type", "")
                if answer.status_code != 200 or not kind.startswith("text/event-stream"):
                    return
                events = await stack.enter_async_context(aclosing(_events(answer)))
                while self._more or min(self._known.staleness(), time.monotonic() - began) < _SILENCE:
                    async with asyncio.timeout(_SILENCE):
                        event = await anext(events, None)
                    if event is None or not self._take_in(event):
                        return

    async def _poll(self) -> bool:
        """Ask until there is no more; whether we know everything now."""
        while True:
            answer = await self._get(LISTS, self._from())
            if answer is None or not self._take_in(answer[0].decode("latin-1")):
                return False
            if not self._more:
                return True

    def _from(self) -> dict[str, str]:
        return {"after": self._known.cursor} if self._known.cursor else {}

    def _take_in(self, text: str) -> bool:
        """Learn from a signed list; False when it is none, or none that continues ours."""
        try:
            _, payload = tokens.unseal(text, TYPE, tokens.LONGEST_LIST, self._keys.find)
            news = endings.parse(payload, self._issuer)
        except (Refused, ValueError):
            log.warning("the issuer sent a list that can't be verified")
            return False
        self._more = news.more
        if not self._known.take_in(news):
            return False
        if self._known.distance:
            log.error("a list is %.0f s old by our clock; are both clocks right?", self._known.distance)
        if self._known.is_fresh():
            self.ready.set()
        return True

    async def _get(self, path: str, params: dict[str, str] | None = None) -> tuple[bytes, str] | None:
        """Body and Cache-Control of a 200; None for anything else."""
        with suppress(*_TROUBLE):
            async with (
                asyncio.timeout(_TOGETHER),
                self._http.stream("GET", self._base + path, params=params) as answer,
            ):
                body = b""
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > _LONGEST:
                        return None
                if answer.status_code == 200:
                    return body, answer.headers.get("Cache-Control", "")
        return None


async def _events(answer: httpx2.Response) -> AsyncGenerator[str]:
    """The data of server-sent events. An endless one ends the stream."""
    buffer = b""
    async for chunk in answer.aiter_raw():
        buffer += chunk
        *events, buffer = buffer.split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    yield line[6:].decode("latin-1")
        if len(buffer) > _LONGEST:
            return
