"""Codes may be guessed a few times, then ever more slowly, never not at all (SP 800-63B-4 section 3.2.2).

Counted in the database before a code is looked at, in one statement: no burst overtakes its own count, no restarted
sign-in, other address or Redis that forgets gives a guesser more. A device that this account knows counts for itself,
so whoever guesses elsewhere keeps no owner out. Passkeys can't be guessed and aren't counted.
"""

from hashlib import sha256

from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from ..clock import SECOND
from ..desk import Desk
from ..errors import RateLimited
from ..tables import Guess

_FORGOTTEN = 30 * 86_400 * SECOND  # without a single try

# Four are free, by a clock that is behind too; from the fifth on 30 s, doubled each time up to an hour; from the
# hundredth on a day.
# $1 key  $2 account  $3 now  $4 what is older is forgotten
_COUNT = """
INSERT INTO guess (key, account_id, failures, free_at, last_at) VALUES ($1, $2, 1, 0, $3)
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN guess.last_at < $4 THEN 1 ELSE guess.failures + 1 END,
  free_at = CASE WHEN guess.last_at < $4 OR guess.failures < 4 THEN 0
    WHEN guess.failures >= 99 THEN $3 + 86400000
    WHEN guess.failures >= 11 THEN $3 + 3600000
    ELSE $3 + 30000 * (1 << (guess.failures - 4)) END,
  last_at = $3
WHERE guess.free_at <= $3
RETURNING failures
"""
_FREE_AT = "SELECT free_at FROM guess WHERE key = $1"


async def count(desk: Desk, account_id: bytes, method: str, device_id: bytes | None) -> None:
    """Count a try that has not been verified yet. Raises RateLimited."""
    now, key = desk.clock.now(), _key(account_id, method, device_id)
    if await desk.db.hot.fetch_one(_COUNT, key, account_id, now, now - _FORGOTTEN) is None:
        row = await desk.db.hot.fetch_one(_FREE_AT, key)
        wait = row["free_at"] - now if row else SECOND
        raise RateLimited(retry_after=max(1, -(-wait // SECOND)))


async def forget(db: AsyncSession, account_id: bytes, method: str, device_id: bytes | None) -> None:
    """One was right. It clears its own count only: who knows the password has not thereby guessed a code."""
    await db.exec(delete(Guess).where(col(Guess.key) == _key(account_id, method, device_id)))


def _key(account_id: bytes, method: str, device_id: bytes | None) -> bytes:
    return sha256(account_id + (device_id or bytes(16)) + method.encode()).digest()
