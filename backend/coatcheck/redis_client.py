"""The one door to Redis. Redis is speed, never truth: every caller has an answer for `RedisDown`.

No retries (redis-py's defaults hang for seconds), 0.3 s for anything, and a breaker: after a failure nobody but the
feed asks again for half a second, so a dead Redis costs a request nothing.
"""

import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PATIENCE = 0.3  # seconds
_PAUSE = 0.5  # seconds the breaker stays open
FOLLOWED_AT_ONCE = 1_000  # entries a read gives at most

Entry = tuple[str, dict[str, str]]


class RedisDown(Exception):
    """Redis did not answer, or did not a moment ago."""


class RedisClient:
    """The few things we ask of Redis."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            protocol=2,
        )
        self._open_until = 0.0

    async def append(self, stream: str, entries: Sequence[dict[str, str]], keep_seconds: int) -> None:
        """Append to a stream, in one round trip, trimmed to about `keep_seconds`. Raises RedisDown."""
        oldest = int((time.time() - keep_seconds) * 1000)
        async with self._redis.pipeline(transaction=False) as pipe:
            for fields in entries:
                pipe.xadd(stream, fields, minid=oldest, approximate=True)  # type: ignore[arg-type]
            await self._ask(pipe.execute(), may_wait=True)

    async def follow(self, stream: str, after: str, wait_ms: int) -> list[Entry]:
        """Entries after an id; waits up to `wait_ms` (less than PATIENCE) for the first. Raises RedisDown."""
        answer: Any = await self._ask(
            self._redis.xread({stream: after}, block=wait_ms, count=FOLLOWED_AT_ONCE), may_wait=True
        )
        return [(entry_id, fields) for entry_id, fields in answer[0][1]] if answer else []

    async def count(self, key: str, amount: int, seconds: int) -> int:
        """Add to a counter that lives `seconds` from its first count; the new value. Raises RedisDown."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=seconds, nx=True)
            pipe.incrby(key, amount)
            return int((await self._ask(pipe.execute()))[1])

    async def ping(self) -> None:
        """Raises RedisDown."""
        await self._ask(self._redis.ping(), may_wait=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self, call: Any, may_wait: bool = False) -> Any:
        """`may_wait`: asked whatever happened before. The feed's calls: nothing else can do their work, and a read that
        came late, because this process was busy, says nothing about Redis to the others."""
        if not may_wait and time.monotonic() < self._open_until:
            call.close()
            raise RedisDown
        try:
            return await call
        except (RedisError, OSError) as error:
            if not may_wait:
                self._open_until = time.monotonic() + _PAUSE
            raise RedisDown from error
