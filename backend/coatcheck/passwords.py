"""Passwords: hash, verify and upgrade, refuse weak ones. The only file that imports `passlib` (distribution libpass).

Argon2id (RFC 9106) with OWASP's parameters; bcrypt hashes from an earlier life verify and are upgraded at sign-in.
Hashing is the costliest thing we do, so it runs in a few threads of low priority with a bounded queue: over it, 503 at
once, and memory stays bounded (ASVS 15.1.3). NFC once, then the bytes as they are: no trimming, no composition rules
(SP 800-63B-4).
"""

import asyncio
import gc
import os
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import cache
from re import compile as pattern
from typing import TypeVar

from passlib.context import CryptContext

from .errors import FieldError, Unavailable, WeakPassword
from .settings import Settings

LONGEST = 1_024  # bytes, in NFC
_BUSY = 2  # seconds a client is asked to wait when the queue is full
_POLITE = 5  # steps of priority; more would starve hashing beside busy neighbours (measured)

T = TypeVar("T")


class Hasher:
    """The hashing pool of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated="auto",
            argon2__type="ID",
            argon2__memory_cost=settings.argon2_memory_kib,
            argon2__time_cost=settings.argon2_time,
            argon2__parallelism=settings.argon2_parallelism,
        )
        self._threads = ThreadPoolExecutor(settings.hash_workers, "hash", _step_back)
        self._most = self._room = settings.hash_queue + settings.hash_workers
        self.seconds, self.hashed = 0.0, 0  # spent by threads, and on how many
        # What an unknown address is verified against, so that it takes as long as a known one.
        self._decoy = self._context.hash("nobody has this password")

    def require_room(self) -> None:
        """Raises Unavailable when too many wait already: before anything is spent on one more."""
        if self._room <= 0:
            raise Unavailable("Many people are signing in right now. Try again in a moment.", retry_after=_BUSY)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """A place in the queue; what is hashed in it waits for a thread. Raises Unavailable at once when it is full."""
        self.require_room()
        self._room -= 1
        try:
            yield Turn(self, self._context, self._threads, self._decoy)
        finally:
            self._room += 1

    @property
    def waiting(self) -> int:
        """Sign-ins in the queue, those being hashed included."""
        return self._most - self._room

    def spent(self, seconds: float) -> None:
        """A thread has hashed for so long. Called by threads."""
        self.seconds, self.hashed = self.seconds + seconds, self.hashed + 1

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """Give this thread's core to whoever else wants it: a storm of sign-ins must not slow down those who are signed in.

    On Linux each thread has a priority of its own; elsewhere this would slow down the whole process.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + _POLITE)


class Turn:
    """A place in the queue."""

    def __init__(self, hasher: Hasher, context: CryptContext, threads: ThreadPoolExecutor, decoy: str) -> None:
        self._hasher, self._context, self._threads, self._decoy = hasher, context, threads, decoy

    async def hash(self, password: str) -> str:
        """A PHC string."""
        return await self._run(lambda: str(self._context.hash(normalise(password))))

    async def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Whether it fits, and a better hash to store when the old one's cost is out of date.

        `hashed=None` stands for an unknown account: it takes the same time and never fits.
        """

        def work() -> tuple[bool, str | None]:
            try:
                return self._context.verify_and_update(normalise(password), hashed or self._decoy)
            except ValueError:  # bcrypt takes 72 bytes; a longer one can't be the password of such a hash
                return False, None

        fits, better = await self._run(work)
        return fits and hashed is not None, better

    async def _run(self, work: Callable[[], T]) -> T:
        def timed() -> T:
            began = time.perf_counter()
            try:
                return work()
            finally:
                self._hasher.spent(time.perf_counter() - began)

        return await asyncio.get_running_loop().run_in_executor(self._threads, timed)


def normalise(password: str) -> str:
    """NFC (SP 800-63B-4 section 3.1.1.2)."""
    return unicodedata.normalize("NFC", password)


def require_strong(password: str, settings: Settings, field: str = "password", email: str = "") -> None:
    """Raises WeakPassword, with the reason in `errors`. `email` is the account's."""
    reason = _weakness(normalise(password), settings.password_min_length)
    if not reason and _is_personal(normalise(password).casefold(), f"{email} {settings.public_url} coatcheck"):
        reason = "too_personal", "Leave out your address and the name of this site, or add more to them."
    if reason:
        raise WeakPassword(reason[1], errors=(FieldError(field, *reason),))


def _weakness(password: str, shortest: int) -> tuple[str, str] | None:
    if len(password) < shortest:
        return "too_short", f"Use {shortest} characters or more; a few words in a row are easy to remember."
    if len(password.encode()) > LONGEST:
        return "too_long", "Use a shorter password; 1,024 bytes are the most."
    if _is_common(password.casefold()):
        return "too_common", "This password is on every attacker's list, or a plain repetition. Choose another one."
    return None


def _is_personal(password: str, context: str) -> bool:
    """Made of the own address, the site's or the product's name, and little else (ASVS 6.2.11)."""
    rest = password
    for word in sorted({word for word in _WORDS.findall(context.casefold()) if len(word) > 3}, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != password and len(_PADDING.sub("", rest)) < _OWN_SHARE


_OWN_SHARE = 8  # characters beside those words
_WORDS = pattern(r"[^\W_]+")
_PADDING = pattern(r"^[\W\d_]+|[\W\d_]+$")
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "0123456789" * 12,
    "qwertyuiopasdfghjklzxcvbnm" * 2,
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)


def _is_common(password: str) -> bool:
    """On the list; or a listed one padded or repeated; or a short piece repeated; or a run of the keyboard."""
    unit = _repeated_unit(password)
    core = _PADDING.sub("", unit)
    return (
        len(unit) <= 4
        or bool({password, unit, core} & _listed())
        or _repeated_unit(core) in _listed()
        or any(password in run or password in run[::-1] for run in _RUNS)
    )


def _repeated_unit(text: str) -> str:
    """`abcabcab` -> `abc`: the shortest piece the text is a repetition of."""
    for size in range(1, len(text) // 2 + 1):
        if (text[:size] * (len(text) // size + 1))[: len(text)] == text:
            return text[:size]
    return text


@cache
def _listed() -> frozenset[str]:
    """The 30,000 commonest passwords. Loaded at the first registration, not at start.

    The rest of zxcvbn, its other lists and their ranks, is let go again: 14 MB become 9 (measured).
    """
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    found = frozenset(FREQUENCY_LISTS["passwords"])
    for module in [name for name in sys.modules if name.partition(".")[0] == "zxcvbn"]:
        del sys.modules[module]
    gc.collect()
    return found
