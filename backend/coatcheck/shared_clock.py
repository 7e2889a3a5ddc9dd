"""One time for all workers: the database's (ADR 0016).

Moments that one worker writes are judged by another. Were their clocks minutes apart, a harmless retry at the wrong
worker would look like a thief's, and sign somebody out. So each worker goes by the database's clock: it looks at it
once a second, and in between goes by the steady clock of its machine. A wall clock that is wrong, or steps, is nothing
to it. Embedded, there is one machine and one clock.
"""

import asyncio
import time

import structlog

from . import background
from .clock import SECOND, Clock
from .db import Database
from .settings import Settings

_EVERY = 1.0  # seconds
_CLOSE = 100  # milliseconds: so near, clocks are left alone, and time does not jitter
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now"

log = structlog.get_logger()


class SharedClock:
    """One worker's clock, kept by the database's."""

    def __init__(self, settings: Settings, clock: Clock, db: Database) -> None:
        self._clock, self._db = clock, db
        self._is_shared = settings.database_url is not None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be right before anything is judged, and stay so. Raises Unavailable."""
        if self._is_shared:
            await self.look()
            self._task = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            await background.stop(self._task)

    async def look(self) -> None:
        """Look once. Raises Unavailable."""
        began = time.monotonic()
        row = await self._db.hot.fetch_one(_NOW)
        half = int((time.monotonic() - began) * SECOND / 2)  # it was told at some time between question and answer
        if row and (apart := self._clock.follow(row["now"] + half, half + _CLOSE)):
            log.warning("clock.set", by_ms=apart, advice="let this machine and the database's follow NTP")

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come
                log.warning("clock.look_failed", error=background.reason(error))
