"""Which sessions have ended, as far as we have been told, and whether we can still say so."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class List:
    """A signed list of the issuer; `iat` in seconds since 1970, `keep` in seconds."""

    iat: float
    keep: int
    after: str | None
    sessions: list[str]
    next: str
    more: bool


def parse(payload: dict[str, Any], issuer: str) -> List:
    """The list in this payload. Raises ValueError."""
    try:
        found = List(
            float(payload["iat"]),
            int(payload["keep"]),
            payload["after"],
            [one["sid"] for one in payload["sessions"]],
            payload["next"],
            payload["more"] is True,
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError("malformed") from None
    texts = [found.next, *found.sessions, *([] if found.after is None else [found.after])]
    if payload.get("iss") != issuer or found.keep <= 0 or not all(isinstance(one, str) for one in texts):
        raise ValueError("not a list of this issuer")
    return found


class Endings:
    """What we know.

    A list counts as news only if it begins where we are, is newer than any before, and is dated within `max_staleness`
    and `clock_skew` (seconds) of now. So a list that was left out, held back or repeated makes us stale, never wrong.
    Whatever a signed list names has ended, even if the list is old: sessions don't come back.
    """

    def __init__(
        self, max_staleness: float, clock_skew: float, wall: Clock = time.time, monotonic: Clock = time.monotonic
    ) -> None:
        self._max_staleness, self._skew = max_staleness, clock_skew
        self._wall, self._monotonic = wall, monotonic
        self._ended: dict[str, float] = {}  # until when to remember, monotonic seconds
        self._heard = self._newest = float("-inf")
        self.cursor: str | None = None
        self.keep: int | None = None
        self.distance = 0.0  # seconds between our clock and the issuer's last list, when that is too much

    def ended(self, session_id: str) -> bool:
        """Whether this session is known to have ended."""
        return session_id in self._ended

    def staleness(self) -> float:
        """Seconds since the last news; infinite before the first."""
        return self._monotonic() - self._heard

    def is_fresh(self) -> bool:
        """Whether a False of `ended` can be believed."""
        return self.staleness() <= self._max_staleness

    def can_tell(self, issued_at: float) -> bool:
        """Whether a False of `ended` can be believed for a session with a token of this moment (seconds since 1970).

        A clock of the issuer that is far ahead makes tokens that live longer than endings are remembered.
        """
        return self.is_fresh() and issued_at <= self.now() + self._skew

    def now(self) -> float:
        """Seconds since 1970: our clock or the issuer's, whichever is later, so that a slow one revives nothing."""
        return max(self._wall(), self._newest + self.staleness()) if self.keep else self._wall()

    def take_in(self, news: List) -> bool:
        """Learn from a list. False if it does not begin where we are: something lies between that we don't know."""
        now = self._monotonic()
        for session_id in news.sessions:
            self._ended[session_id] = now + news.keep + self._skew
        if news.after != self.cursor:
            return False
        self.cursor = news.next
        if not news.more:
            self._date(news, now)
        return True

    def _date(self, news: List, now: float) -> None:
        age = self._wall() - news.iat
        self.distance = 0.0 if -self._skew <= age <= self._max_staleness + self._skew else age
        if self.distance or news.iat <= self._newest:
            return
        self._heard, self._newest, self.keep = now, news.iat, news.keep
        self._forget(now)

    def _forget(self, now: float) -> None:
        for session_id in [one for one, until in self._ended.items() if until < now]:
            del self._ended[session_id]
