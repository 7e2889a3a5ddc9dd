"""The floors: what the same answers cost in bare FastAPI, when nobody is asked who he is.

    python -m tests.load.floors PORT DATABASE        (a postgresql:// URL, or an SQLite file)

Each floor is as low as it can honestly be: the answers are put together from constants, and the refresh is one
statement on one row, without a condition, in a table that has no index but its key. The server's settings, the
response models and the way the form is read are Coatcheck's own.
"""

import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qsl

import aiosqlite
import asyncpg
import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request

from coatcheck.routes.answers import AccountOut, CredentialOut, TokenOut

Rotate = Callable[[bytes, int], Awaitable[Mapping[str, Any]]]

TABLE = "floor"  # a copy of `session`, made by servers.py
POOL = 10  # connections, as many as a worker of Coatcheck has

_ROTATE = f"""
UPDATE {TABLE} SET generation = generation + 1, rotated_at = $2, last_seen_at = $2 WHERE id = $1
RETURNING account_id, generation, kid, auth_time, auth_methods, idle_expires_at
"""
_ACCOUNT, _SESSION = "acc_AAAAAAAAAAAAAAAAAAAAAA", "ses_AAAAAAAAAAAAAAAAAAAAAA"
_MOMENT = "2026-01-01T00:00:00.000Z"
_CLAIMS = {"iss": "http://localhost:8000", "aud": "http://localhost:8000", "sub": _ACCOUNT, "sid": _SESSION}
_CLAIMS |= {"client_id": "native", "jti": "AAAAAAAAAAAAAAAAAAAAAA"}
_HEADERS = {"typ": "at+jwt", "kid": "AAAAAAAAAAA"}


def create_app(database: str) -> FastAPI:
    """The three floors in one application."""
    key = ec.generate_private_key(ec.SECP256R1())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = _postgres(database) if database.startswith("postgresql:") else _sqlite(database)
        async with opened as app.state.rotate:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/sessions/current")
    async def current() -> CredentialOut:
        return CredentialOut(
            account_id=_ACCOUNT,
            session_id=_SESSION,
            door="native",
            roles=[],
            auth_methods=["pwd"],
            auth_time=_MOMENT,
            expires_at=_MOMENT,
        )

    @app.get("/v1/me")
    async def me() -> AccountOut:
        return AccountOut(
            id=_ACCOUNT, email="ada@example.test", email_verified=False, name=None, roles=[], created_at=_MOMENT
        )

    @app.post("/oauth/token")
    async def token(request: Request) -> TokenOut:
        text = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))["refresh_token"]
        now = int(time.time())
        row = await request.app.state.rotate(session_of(text), now * 1000)
        claims = _CLAIMS | {"iat": now, "exp": now + 600, "gen": row["generation"]}
        claims |= {"auth_time": row["auth_time"] // 1000, "amr": row["auth_methods"].split()}
        signed = jwt.encode(claims, key, algorithm="ES256", headers=_HEADERS)
        return TokenOut(access_token=signed, expires_in=600, refresh_token=text)

    return app


def session_of(refresh_token: str) -> bytes:
    """The session id in a refresh token."""
    return urlsafe_b64decode(refresh_token[6:])[5:21]


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[Rotate]:
    async def no_reset(_connection: object) -> None:
        """As in Coatcheck: a reset would be a second round trip."""

    async with asyncpg.create_pool(url, min_size=POOL, max_size=POOL, reset=no_reset) as pool:

        async def rotate(session_id: bytes, now: int) -> Mapping[str, Any]:
            row = await pool.fetchrow(_ROTATE, session_id, now)
            assert row is not None
            return cast("Mapping[str, Any]", row)  # a Mapping in all but name

        yield rotate


@asynccontextmanager
async def _sqlite(path: str) -> AsyncIterator[Rotate]:
    statement = _ROTATE.replace("$", "?")
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        connection.row_factory = aiosqlite.Row
        await connection.execute_fetchall("PRAGMA synchronous = FULL")
        await connection.execute_fetchall("PRAGMA busy_timeout = 1500")

        async def rotate(session_id: bytes, now: int) -> Mapping[str, Any]:
            [row] = await connection.execute_fetchall(statement, (session_id, now))
            return dict(row)

        yield rotate


def main() -> None:
    """Serve, with the settings of `coatcheck serve`."""
    uvicorn.run(
        create_app(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
    )


if __name__ == "__main__":
    main()
