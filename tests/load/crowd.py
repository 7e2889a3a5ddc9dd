"""Many accounts, put straight into PostgreSQL: what would take hours through the doors."""

import asyncpg

from coatcheck.clock import Clock


def email(number: int) -> str:
    """Of one of the crowd."""
    return f"guest{number}@example.test"


def address(number: int) -> str:
    """Where this one calls from."""
    return f"198.51.{number // 256 % 256}.{number % 256}"


async def add_accounts(connection: "asyncpg.Connection[asyncpg.Record]", number: int, password_hash: str) -> None:
    """So many accounts with one password."""
    await connection.execute(
        """
        INSERT INTO account (id, email, email_verified, password_hash, roles, auth_generation, created_at)
        SELECT decode(md5('account' || number), 'hex'), 'guest' || number || '@example.test', false, $2, '', 0, $3
        FROM generate_series(0, $1 - 1) AS number
        """,
        number,
        password_hash,
        Clock().now(),
    )
