"""Acknowledgements and last-seen times, gathered in memory and written once a second.

A session's generation is *acknowledged* when the server first sees it used: here, when an access token that carries it
misses the cache of verified tokens. So it costs the hot path nothing. A worker that dies loses a second of them, which
only leaves a retry harmless for longer. The times kept are those of the use, not of the write.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from . import background
from .clock import MINUTE, Clock
from .db import Database
from .errors import Unavailable
from .refresh_tokens import Door
from .settings import Settings

FLUSH_EVERY = 1.0  # seconds
_PAUSE = 0.5  # seconds after a failed write in which nobody tries again

# A web session slides with use, and never back: one that is kept has its whole life before it already. The others slide
# when they are refreshed.
_SEEN = """
UPDATE session SET last_seen_at = $2, ip = $3,
  idle_expires_at = CASE WHEN door <> 'web' OR idle_expires_at > $4 THEN idle_expires_at
    WHEN expires_at < $4 THEN expires_at ELSE $4 END
WHERE id = $1 AND ended_at IS NULL AND last_seen_at < $2
"""
_ACKNOWLEDGED = """
UPDATE session SET acknowledged_at = $3 WHERE id = $1 AND generation = $2 AND acknowledged_at IS NULL
"""

log = structlog.get_logger()


@dataclass(slots=True)
class _Sighting:
    at: int
    ip: str


class Presence:
    """What this worker has seen and not yet written."""

    def __init__(self, settings: Settings, clock: Clock, db: Database) -> None:
        self._settings, self._clock, self._db = settings, clock, db
        self._seen: dict[bytes, _Sighting] = {}
        self._written: dict[bytes, int] = {}
        self._acknowledged: dict[bytes, tuple[int, int]] = {}
        self._web_idle = settings.idle_ms(Door.WEB)
        self._grain = min(MINUTE, self._web_idle // 10)  # last-seen is written this often at most, a session
        self._flushing = asyncio.Lock()
        self._failed = float("-inf")  # monotonic seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write once a second from now on."""
        self._task = asyncio.create_task(self._flush_forever())

    async def stop(self) -> None:
        """Write what is left and stop."""
        if self._task:
            await background.stop(self._task)
        with suppress(Unavailable):
            await self.flush()

    def seen(self, session_id: bytes, ip: str, now: int) -> None:
        """This session was used. Called on every authenticated request."""
        if now - self._written.get(session_id, 0) >= self._grain:
            self._seen[session_id] = _Sighting(now, ip)

    def acknowledge(self, session_id: bytes, generation: int, now: int) -> None:
        """An access token of this generation was used for the first time here."""
        if generation > self._acknowledged.get(session_id, (-1, 0))[0]:
            self._acknowledged[session_id] = (generation, now)

    async def flush(self) -> None:
        """Write all of it now. Raises Unavailable, and then keeps it for the next time."""
        async with self._flushing:  # a second caller must not return before the first one's write is done
            if time.monotonic() - self._failed < _PAUSE:
                raise Unavailable  # all who waited for a write that failed fail with it, instead of one after the other
            await self._flush()

    async def _flush(self) -> None:
        seen, self._seen = self._seen, {}
        acknowledged, self._acknowledged = self._acknowledged, {}
        try:
            # In the order of ids, as every statement that locks several sessions does: no deadlock.
            if acknowledged:
                await self._db.hot.run_many(_ACKNOWLEDGED, [(sid, *acknowledged[sid]) for sid in sorted(acknowledged)])
            if seen:
                rows = [(sid, one.at, one.ip, one.at + self._web_idle) for sid, one in sorted(seen.items(), key=_by_id)]
                await self._db.hot.run_many(_SEEN, rows)
        except BaseException as error:
            if isinstance(error, Exception):  # a caller that was cancelled says nothing about the database
                self._failed = time.monotonic()
            self._seen, self._acknowledged = seen | self._seen, acknowledged | self._acknowledged
            raise
        now = self._clock.now()
        self._written = {sid: at for sid, at in self._written.items() if now - at < self._grain}
        self._written |= {sid: one.at for sid, one in seen.items()}

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next write must come
                log.warning("presence.flush_failed", waiting=len(self._seen), error=background.reason(error))


def _by_id(item: tuple[bytes, _Sighting]) -> bytes:
    return item[0]
