"""The one door to Redis. Redis is speed, never truth: every caller has an answer for `RedisDown`.

No retries (redis-py's defaults hang for seconds), 0.3 s for anything, and a breaker: after a failure nobody but the
feed asks again for half a second, so a dead Redis costs a request nothing.

One server, Sentinel and Cluster look the same from outside. Each call touches one key, so in a cluster one slot; what
belongs together is a script, which any of the three runs as one act.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from .redis_down import FOLLOWED_AT_ONCE, RedisDown

PATIENCE = 0.3  # seconds for a connection, and for an answer
_AT_MOST = 1.0  # seconds for a whole call, which may have to find out first which server to ask
_PAUSE = 0.5  # seconds the breaker stays open
_FAILURES = (
    RedisError,
    RedisClusterException,
    OSError,
)  # no server of a cluster: the second, which is none of the first

Entry = tuple[str, dict[str, str]]

# Trimmed by Redis' own time, which made the ids: the clocks of those who append may differ from it.
_APPEND = """
local oldest = string.format('%.0f', (redis.call('TIME')[1] - ARGV[1]) * 1000)
for i = 2, #ARGV do redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'event', ARGV[i]) end
"""
_COUNT = """
redis.call('SET', KEYS[1], 0, 'EX', ARGV[2], 'NX')
return redis.call('INCRBY', KEYS[1], ARGV[1])
"""


class RedisClient:
    """The few things we ask of Redis."""

    def __init__(self, url: str) -> None:
        self._redis, self._closing = _connect(url)
        self._open_until = 0.0

    async def append(self, stream: str, entries: Sequence[str], keep_seconds: int) -> None:
        """Append to a stream, in one round trip, trimmed to about `keep_seconds`. Raises RedisDown."""
        await self._ask(lambda: self._redis.eval(_APPEND, 1, stream, str(keep_seconds), *entries), may_wait=True)

    async def follow(self, stream: str, after: str, wait_ms: int) -> list[Entry]:
        """Entries after an id; waits up to `wait_ms` (less than PATIENCE) for the first. Raises RedisDown."""
        answer = await self._ask(lambda: self._read(stream, after, wait_ms), may_wait=True)
        return [(entry_id, fields) for entry_id, fields in answer[0][1]] if answer else []

    async def _read(self, stream: str, after: str, wait_ms: int) -> Any:
        where = {}
        if isinstance(self._redis, RedisCluster):
            # Told which server to ask. redis-py would ask one for the place of the key in this command, each time, and
            # go on asking that one when it is gone.
            await self._redis.initialize()
            where["target_nodes"] = self._redis.get_node_from_key(stream)
        return await self._redis.execute_command(
            "XREAD", "COUNT", FOLLOWED_AT_ONCE, "BLOCK", wait_ms, "STREAMS", stream, after, **where
        )

    async def count(self, key: str, amount: int, seconds: int) -> int:
        """Add to a counter that lives `seconds` from its first count; the new value. Raises RedisDown."""
        return int(await self._ask(lambda: self._redis.eval(_COUNT, 1, key, str(amount), str(seconds))))

    async def ping(self) -> None:
        """Raises RedisDown."""
        await self._ask(self._redis.ping, may_wait=True)

    async def examine(self) -> dict[str, Any]:
        """What a server says of itself, where it may be asked, and its time (`now`, ms). Raises RedisDown."""
        seconds, micros = await self._ask(lambda: self._of_one("TIME"), may_wait=True)
        told: dict[str, Any] = {"now": int(seconds) * 1000 + int(micros) // 1000}
        with suppress(RedisDown):  # an ACL may forbid it
            told |= await self._ask(lambda: self._of_one("INFO"), may_wait=True)
        return told

    async def _of_one(self, question: str) -> Any:
        where = {}
        if isinstance(self._redis, RedisCluster):
            await self._redis.initialize()
            where["target_nodes"] = self._redis.get_random_node()
        return await self._redis.execute_command(question, **where)

    async def close(self) -> None:
        """Close the connections."""
        for close in self._closing:
            await close()

    async def _ask(self, call: Callable[[], Awaitable[Any]], may_wait: bool = False) -> Any:
        """`may_wait`: asked whatever happened before. The feed's calls: nothing else can do their work, and a read that
        came late, because this process was busy, says nothing about Redis to the others."""
        if not may_wait and time.monotonic() < self._open_until:
            raise RedisDown
        try:
            async with asyncio.timeout(_AT_MOST):
                return await call()
        except _FAILURES as error:
            if not may_wait:
                self._open_until = time.monotonic() + _PAUSE
            raise RedisDown from error


def _connect(url: str) -> tuple[Any, list[Callable[[], Awaitable[None]]]]:
    """A client for any REDIS_URL (settings.py, docs/settings.md), and how to close it. Connects at the first call."""
    patience: dict[str, Any] = {
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }
    common = patience | {"decode_responses": True, "protocol": 2}
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        one = Redis.from_url(url, **common)
        return one, [one.aclose]
    options: dict[str, Any] = {**parse_url(f"{scheme}://{parts.netloc.split(',')[0]}?{parts.query}")}
    del options["host"]
    options.pop("port", None)
    tls = {name: options.pop(name) for name in list(options) if name.startswith("ssl_")}
    if options.pop("connection_class", None) is SSLConnection:
        tls["ssl"] = True
    nodes = _addresses(parts.netloc, 26_379 if kind == "sentinel" else 6_379)
    if kind == "cluster":
        # Where a part has no master, the keys of the others are still to be had.
        startup = [ClusterNode(*node) for node in nodes]
        cluster = RedisCluster(startup_nodes=startup, require_full_coverage=False, **common, **tls, **options)
        return cluster, [cluster.aclose]
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    sentinel = Sentinel(nodes, sentinel_kwargs=patience | {"protocol": 2} | tls | own)  # type: ignore[no-untyped-call]
    master = sentinel.master_for(unquote(parts.path.strip("/")), **common, **tls, **options)
    return master, [master.aclose, sentinel.aclose]


def _addresses(netloc: str, port: int) -> list[tuple[str, int]]:
    parsed = [urlsplit(f"//{address}") for address in netloc.rpartition("@")[2].split(",")]
    return [(one.hostname or "", one.port or port) for one in parsed]
