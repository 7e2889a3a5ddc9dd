"""The people of the bench: one account, signed in many times, and a copy of its sessions for the floor."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx2

from tests.house import PASSWORD
from tests.load.floors import TABLE

_EMAIL = "ada@example.test"
_COPY = f"CREATE TABLE {TABLE} {{options}} AS SELECT * FROM session"
_KEY = f"CREATE UNIQUE INDEX {TABLE}_id ON {TABLE} (id)"


@dataclass(frozen=True, slots=True)
class Guests:
    """What they hold: refresh tokens, one a session, and the two credentials of an authenticated request."""

    refresh_tokens: list[str]
    access_token: str
    cookie: str


async def sign_in(url: str, sessions: int) -> Guests:
    """Register, and sign in through two doors."""
    credentials = {"email": _EMAIL, "password": PASSWORD}
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        await _post(http, "/v1/accounts", credentials)
        answers = [await _post(http, "/v1/native/login", credentials) for _ in range(sessions + 1)]
        own_page = {"Origin": url.replace("127.0.0.1", "localhost"), "X-Coatcheck-Client": "web"}
        web = await _post(http, "/v1/web/login", credentials, own_page)
    *refreshing, using = [answer.json() for answer in answers]
    cookies = [line.partition(";")[0] for line in web.headers.get_list("set-cookie")]
    cookie = next(cookie for cookie in cookies if "session" in cookie)
    return Guests([one["refresh_token"] for one in refreshing], using["access_token"], cookie)


async def _post(
    http: httpx2.AsyncClient, path: str, body: dict[str, str], headers: dict[str, str] | None = None
) -> httpx2.Response:
    answer = await http.post(path, json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer


async def copy_on_postgres(url: str) -> None:
    """The floor's table, with the room in its pages that ours has, and no index but the key."""
    connection = await asyncpg.connect(url)
    await connection.execute(_COPY.format(options="WITH (fillfactor = 85)"))
    await connection.execute(_KEY)
    await connection.execute(f"VACUUM ANALYZE {TABLE}")
    await connection.execute("VACUUM ANALYZE session")
    await connection.close()


def copy_on_sqlite(path: Path) -> None:
    """The same in the embedded database's file."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(_COPY.format(options=""))
        connection.execute(_KEY)
    connection.close()
