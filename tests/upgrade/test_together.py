"""Several start at the same moment, as after a new release: the tables are made once, and all of them serve."""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from tests.house import PASSWORD, SECRET
from tests.live import command, environment, serving
from tests.servers import postgres, redis


def test_migrate_three_at_once_is_one_migration() -> None:
    """Three `coatcheck migrate` on an empty PostgreSQL: all say that it is up to date, each step was taken once."""
    with postgres() as database:
        env = environment(database_url=database.url, secret_key=SECRET)
        running = [
            subprocess.Popen(command("migrate"), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(3)
        ]
        told = [process.communicate(timeout=100)[0].decode() for process in running]
        assert [process.returncode for process in running] == [0] * 3, told
        assert asyncio.run(_revisions(database.url)) == 1
        with redis() as cache, ExitStack() as stack:
            given: dict[str, Any] = {
                "database_url": database.url,
                "redis_url": cache.url,
                "public_url": "http://localhost:8000",
            }
            folder = Path(database.folder)
            opening = [serving(folder / f"serve-{number}.log", **given) for number in range(3)]
            with ThreadPoolExecutor(3) as together:
                lives = list(together.map(stack.enter_context, opening))
            body = {"email": "ada@example.test", "password": PASSWORD}
            assert httpx2.post(f"{lives[0].url}/v1/accounts", json=body).status_code == 201
            for live in lives:
                assert httpx2.post(f"{live.url}/v1/native/login", json=body).status_code == 200
            # One key ring: what each signs all of them accept.
            rings = [httpx2.get(f"{live.url}/.well-known/jwks.json").json() for live in lives]
            assert rings[0] == rings[1] == rings[2]


async def _revisions(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return len(await connection.fetch("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


def test_serve_three_at_once_on_one_sqlite_make_it_once(tmp_path: Path) -> None:
    """Three embedded servers that find an empty folder: one makes secret and tables, and all of them know the other's
    people."""
    data = tmp_path / "data"
    given: dict[str, Any] = {"data_dir": data, "secret_key": SECRET, "public_url": "http://localhost:8000"}
    opening = [serving(tmp_path / f"log-{number}", **given) for number in range(3)]
    with ExitStack() as stack:
        with ThreadPoolExecutor(3) as together:
            lives = list(together.map(stack.enter_context, opening))
        body = {"email": "ada@example.test", "password": PASSWORD}
        assert httpx2.post(f"{lives[0].url}/v1/accounts", json=body).status_code == 201
        tokens = [httpx2.post(f"{live.url}/v1/native/login", json=body).json()["access_token"] for live in lives]
        for live in lives:
            for token in tokens:
                answer = httpx2.get(f"{live.url}/v1/me", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 200, answer.text
