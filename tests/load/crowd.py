"""Many accounts, devices and sessions, put straight into PostgreSQL: what would take hours through the doors.

Somebody signs in through the door; her rows are multiplied, with ids of their own. So they are what the product itself
writes, whatever its columns are; and since all sessions have one nonce, the refresh token of each can be written down.
"""

from dataclasses import replace
from hashlib import md5

import asyncpg

from coatcheck import refresh_tokens
from coatcheck.refresh_tokens import Door
from coatcheck.secrets import RootSecrets
from tests.house import SECRET
from tests.load import asking
from tests.load.asking import Asker

Connection = asyncpg.Connection  # without its type argument: it has none at run time

DEVICES = 4  # of each person, with a session each


def email(number: int) -> str:
    """Of one of the crowd."""
    return f"guest{number}@example.test"


def address(number: int) -> str:
    """Where this one calls from."""
    return f"198.51.{number // 256 % 256}.{number % 256}"


async def add_people(connection: "Connection[asyncpg.Record]", at: Asker, people: int) -> None:
    """So many accounts, with one password."""
    await asking.register(at)
    await _multiply(connection, "account", people, id=_id("account"), email=f"'{email(0)[:5]}' || n || '@example.test'")


async def add_sessions(connection: "Connection[asyncpg.Record]", at: Asker, sessions: int) -> "Crowd":
    """So many sessions, of a quarter as many people."""
    await add_people(connection, at, sessions // DEVICES)
    model = await asking.sign_in(at)
    person = f"(n / {DEVICES})"
    secret = "decode(md5('secret' || n) || md5('of' || n), 'hex')"
    await _multiply(
        connection, "device", sessions, id=_id("device"), account_id=_id("account", person), secret_hash=secret
    )
    await _multiply(
        connection,
        "session",
        sessions,
        id=_id("session"),
        account_id=_id("account", person),
        device_id=_id("device"),
        last_seen_at="model.last_seen_at - n",
    )
    for table in ("account", "device", "session"):
        await connection.execute(f"VACUUM ANALYZE {table}")
    return Crowd(sessions, model.renewal)


class Crowd:
    """Those sessions, by number."""

    def __init__(self, sessions: int, model: str) -> None:
        self.sessions = sessions
        self._roots = RootSecrets([SECRET])
        self._model = refresh_tokens.read(self._roots, model, Door.NATIVE)

    def refresh_token(self, number: int) -> str:
        """As its owner keeps it."""
        session_id = bytes.fromhex(md5(f"session{number}".encode(), usedforsecurity=False).hexdigest())
        return refresh_tokens.write(self._roots, replace(self._model, session_id=session_id))

    def sample(self, most: int) -> list[str]:
        """Refresh tokens of so many of them, evenly spread."""
        step = max(1, self.sessions // most)
        return [self.refresh_token(number) for number in range(0, self.sessions, step)]


def _id(kind: str, number: str = "n") -> str:
    return f"decode(md5('{kind}' || {number}), 'hex')"


async def _multiply(connection: "Connection[asyncpg.Record]", table: str, times: int, **own: str) -> None:
    """Copies of the table's only, or newest, row, with these columns of their own: SQL in terms of n, from 0."""
    columns = [row["attname"] for row in await connection.fetch(_COLUMNS, table)]
    values = ", ".join(own.get(column, f"model.{column}") for column in columns)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # looks up no foreign key a row
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} "
            f"FROM (SELECT * FROM {table} ORDER BY created_at DESC LIMIT 1) AS model, "
            f"generate_series(0, {times - 1}) AS n"
        )


_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""
