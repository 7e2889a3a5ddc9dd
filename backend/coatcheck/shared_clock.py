"""One time for all workers: the database's (ADR 0016).

Moments that one worker writes are judged by another. Were their clocks minutes apart, a harmless retry at the wrong
worker would look like a thief's, and sign somebody out. So each worker goes by the database's clock: it looks at it
once a second, and in between goes by the steady clock of its machine. Embedded, there is one machine, and its wall
clock is the one to look at.

That clock may step as well. A jump by which sessions would run out is believed once it has stood for a while, or at
once if the machine's own clock bears it out. And until moments from before a step are too old to matter, race windows
are wider by it (`Clock.doubt`).
"""

import asyncio

import structlog

from . import background
from .clock import SECOND, Clock
from .db import Database
from .settings import Settings

_EVERY = 1.0  # seconds
_CLOSE = 100  # milliseconds: so near, clocks are left alone, and time does not jitter
_FAR = 5 * SECOND  # a step by more must stand
_STANDS = 15 * SECOND  # for so long
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now"

log = structlog.get_logger()


class SharedClock:
    """One worker's clock, kept by the database's."""

    def __init__(self, settings: Settings, clock: Clock, db: Database) -> None:
        self._clock, self._db = clock, db
        self._is_shared = settings.database_url is not None
        # What was written before a step is judged for a race window; and a step, the one back too, may take its time.
        self._matters = settings.race_window * SECOND + 2 * _STANDS
        self._far, self._since = 0, 0  # a jump not yet believed, and since when it stands
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be right before anything is judged, and stay so. Raises Unavailable."""
        theirs, blur = await self._read()
        self._set(self._clock.apart(theirs, blur))
        self._task = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            await background.stop(self._task)

    async def look(self) -> None:
        """Look once. Raises Unavailable."""
        theirs, blur = await self._read()
        if apart := self._clock.apart(theirs, blur):
            self._clock.mistrust(apart, self._matters)
        if abs(apart) <= _FAR or abs(theirs - self._clock.wall()) <= _FAR or self._stands(apart):
            self._set(apart)

    async def _read(self) -> tuple[int, int]:
        """What the clock to go by says, and by how much that may be wrong. Raises Unavailable."""
        if not self._is_shared:
            return self._clock.wall(), _CLOSE
        began = self._clock.steady()
        row = await self._db.hot.fetch_one(_NOW)
        half = (self._clock.steady() - began) // 2  # it was told at some time between question and answer
        return (row["now"] if row else 0) + half, half + _CLOSE

    def _stands(self, apart: int) -> bool:
        """Whether the clock has been so far away for long enough."""
        now = self._clock.steady()
        if abs(apart - self._far) > _FAR:
            self._far, self._since = apart, now
        return now - self._since >= _STANDS

    def _set(self, apart: int) -> None:
        self._far = 0
        self._clock.go_by(apart)
        if apart:
            log.warning("clock.set", by_ms=apart, advice="let this machine and the database's follow NTP")

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come
                log.warning("clock.look_failed", error=background.reason(error))
