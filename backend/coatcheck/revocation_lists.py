"""Ended sessions told to everybody: the signed lists that other services follow (wire format: docs/verifier.md).

A list is a compact JWS by the current signing key. It says which sessions have ended, from where in time (`after`, the
reader's own cursor, so that an answer fits one question only) to where (`next`), and when it was made (`iat`). An entry
may come twice and none may be missed, although rows commit late and workers' clocks differ:

  order     by the row's own `ended_at`, the same on every worker, so pages of one walk may come from several workers
  overlap   a new walk begins half a minute before the cursor; an entry that shows up later than that gets a later time
  walk      a cursor between two pages remembers when the walk began, and that is where the next walk begins

What this worker has heard (revocation.py) is what it tells. While it isn't fresh it sweeps the database first; if that
does not answer either there is no list: Unavailable, and readers find out that they know nothing new. Fails closed.
"""

import time
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass
from re import compile as pattern

from . import access_tokens, ids
from .clock import SECOND, Clock
from .errors import FieldError, InvalidRequest
from .revocation import Feed
from .settings import Settings
from .signing_keys import KeyRing

TYPE = "coatcheck-revocations+jwt"
MOST = 1_000  # entries a list
_OVERLAP = 30 * SECOND
_LATE = 15 * SECOND  # an entry is never filed further back than this once somebody may have read past it
_TICK = 250  # milliseconds; cursors are rounded down to it, so that many pollers ask the same question
_REMEMBER = 0.1  # seconds an answer is given again
_MOST_ANSWERS = 200
_CURSOR = pattern(r"([0-9]{1,15})(?:\.([0-9]{1,15})\.(ses_[A-Za-z0-9_-]{21}[AQgw]))?")

Entry = tuple[int, bytes]  # ended at (milliseconds), session id


@dataclass(frozen=True, slots=True)
class Page:
    """One list before it is signed."""

    after: str | None
    entries: list[Entry]
    next: str
    more: bool


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a reader is: `began` the walk, and between two pages the last entry it was given."""

    began: int
    last: Entry | None

    def __str__(self) -> str:
        return f"{self.began}.{self.last[0]}.{ids.text('ses', self.last[1])}" if self.last else str(self.began)


class RevocationLists:
    """One worker's knowledge of what ended within `keep`, in order."""

    def __init__(self, settings: Settings, clock: Clock, feed: Feed) -> None:
        self._settings, self._clock, self._feed = settings, clock, feed
        self._entries: list[Entry] = []
        self._answers: dict[tuple[str | None, int], tuple[float, str]] = {}
        self._read = False
        self.listeners: set[Callable[[Entry], None]] = set()  # called at each new entry; must not wait
        feed.when_ended(self._note)

    def _note(self, session_id: bytes, ended_at: int) -> None:
        now = self._clock.now()
        # Only after a read: what a worker sweeps at its start is filed under its true time, as everywhere.
        earliest = now - _LATE if self._read else 0
        entry = (max(earliest, min(ended_at, now)), session_id)
        insort(self._entries, entry)
        if self._entries[0][0] < now - 2 * self._feed.keep:  # where nobody asks for lists, too
            self._forget(now)
        self._answers.clear()
        for tell in self.listeners:
            tell(entry)

    async def answer(self, keys: KeyRing, after: str | None, limit: int) -> str:
        """The signed list that follows `after`. Raises InvalidRequest, Unavailable.

        Pollers that ask the same within a tenth of a second share one signature.
        """
        now = time.monotonic()
        until, text = self._answers.get((after, limit), (0.0, ""))
        if until > now:
            return text
        await self.complete()
        moment = self._clock.now()
        text = self.sign(keys, self._page(after, parse(after), limit, moment - moment % _TICK), moment)
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.clear()
        self._answers[after, limit] = (now + _REMEMBER, text)
        return text

    async def complete(self) -> None:
        """Know all that has ended. Raises Unavailable."""
        self._read = True
        await self._feed.complete()

    def walk(self, after: str | None, to: int) -> list[Page]:
        """All that is known now and follows `after`, in lists of which the last one leads to the cursor `to`."""
        cursor = parse(after)
        if cursor and cursor.last:  # broken off between two pages: begin where that walk began, or further back
            cursor = _Cursor(min(cursor.began, cursor.last[0] + _OVERLAP), None)
        known = self._page(after, cursor, len(self._entries), self._clock.now()).entries
        return chain(after, known, to)

    def _page(self, after: str | None, cursor: _Cursor | None, limit: int, now: int) -> Page:
        keep = self._feed.keep
        self._forget(now)
        # None, too old, or from a clock that was put back since: everything, which includes what was asked for.
        if cursor is None or not now - keep < cursor.began < now + _OVERLAP:
            cursor = _Cursor(now, (0, b""))
        began = cursor.began if cursor.last else now
        start = bisect_right(self._entries, cursor.last or (cursor.began - _OVERLAP, b""))
        found = self._entries[start : start + limit]
        more = len(self._entries) > start + limit
        return Page(after, found, str(_Cursor(began, found[-1] if more else None)), more)

    def _forget(self, now: int) -> None:
        del self._entries[: bisect_right(self._entries, (now - self._feed.keep, b""))]

    def sign(self, keys: KeyRing, page: Page, now: int) -> str:
        """The list as it travels; `now` is when all of it was known."""
        payload = {
            "iss": self._settings.issuer,
            "iat": now / SECOND,
            "keep": self._feed.keep // SECOND,
            "after": page.after,
            "sessions": [{"sid": ids.text("ses", sid), "at": at / SECOND} for at, sid in page.entries],
            "next": page.next,
            "more": page.more,
        }
        return access_tokens.sign(keys, TYPE, payload)


def chain(after: str | None, entries: list[Entry], to: int) -> list[Page]:
    """Entries in lists of bearable length, each beginning where the one before ended; one empty list if there is none.

    `to`: the last one's cursor, milliseconds.
    """
    chunks = [entries[start : start + MOST] for start in range(0, len(entries), MOST)] or [[]]
    cursors = [after, *(str(_Cursor(to, chunk[-1])) for chunk in chunks[:-1]), str(_Cursor(to, None))]
    return [Page(cursors[i], chunk, str(cursors[i + 1]), more=i + 1 < len(chunks)) for i, chunk in enumerate(chunks)]


def parse(after: str | None) -> _Cursor | None:
    """A reader's cursor. Raises InvalidRequest for what is none of ours."""
    if after is None:
        return None
    found = _CURSOR.fullmatch(after)
    if not found:
        raise InvalidRequest(errors=(FieldError("after", "invalid", "Pass the `next` of an earlier list."),))
    began, at, sid = found.groups()
    raw = ids.raw("ses", sid) if sid else None
    return _Cursor(int(began), (int(at), raw) if raw else None)
