"""Challenges: single-use, short-lived values, in the database: single use must hold with Redis gone.

A pending sign-in, a passkey's challenge, the link of a mail: each is a token that only its holder knows. The row has
its SHA-256 and its data wrapped by the root secret, so a dump gives nothing that could be presented (ASVS 6.5.2).
Taking one is one DELETE ... RETURNING: of fifty takers one has it. All work in the caller's transaction; who must spend
a challenge even when what follows is refused commits before refusing. An unknown, spent, expired or foreign token is
None, all alike: fails closed.
"""

import json
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .desk import Desk
from .secrets import CannotUnwrap
from .tables import Challenge as Row

PURPOSE = "challenge"  # of the key that wraps them
_PRUNED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a token stands for. `attempts` counts the one under way; moments in milliseconds."""

    key: bytes
    account_id: bytes | None
    data: dict[str, Any]
    attempts: int
    created_at: int
    expires_at: int


async def make(db: AsyncSession, desk: Desk, purpose: str, account_id: bytes | None, life: int, **data: Any) -> str:
    """A new token, 256 random bits, good for `life` milliseconds and this purpose alone; `data` is JSON."""
    await prune(db, desk.clock.now())
    token = f"cct_c_{secrets.token_urlsafe(32)}"
    _add(db, desk, key_of(token), purpose, account_id, life, data)
    return token


async def reissue(db: AsyncSession, desk: Desk, spent: Challenge, purpose: str, life: int, **data: Any) -> None:
    """Let the token of a challenge that this transaction has taken stand for another purpose, for `life` milliseconds.

    Only the newest of an account counts.
    """
    if spent.account_id:
        await drop(db, purpose, spent.account_id)
    _add(db, desk, spent.key, purpose, spent.account_id, life, data)


def _add(
    db: AsyncSession, desk: Desk, key: bytes, purpose: str, account_id: bytes | None, life: int, data: dict[str, Any]
) -> None:
    now = desk.clock.now()
    wrapped = desk.roots.wrap(PURPOSE, key, json.dumps(data).encode())
    db.add(Row(key=key, purpose=purpose, account_id=account_id, data=wrapped, created_at=now, expires_at=now + life))


async def take(db: AsyncSession, desk: Desk, purpose: str, token: str | bytes) -> Challenge | None:
    """Spend a token (or the key of one): the row is gone, whoever asks next gets None."""
    statement = delete(Row).where(_living(desk, purpose, token)).returning(Row)
    return _opened(desk, (await db.exec(statement)).scalar_one_or_none())


async def take_all(db: AsyncSession, desk: Desk, purpose: str, account_id: bytes) -> list[Challenge]:
    """Spend all that live of an account's for a purpose."""
    own = (col(Row.account_id) == account_id) & (col(Row.purpose) == purpose)
    taken = await db.exec(delete(Row).where(own, col(Row.expires_at) > desk.clock.now()).returning(Row))
    return [opened for row in taken.scalars() if (opened := _opened(desk, row))]


async def living(db: AsyncSession, desk: Desk, purpose: str, account_id: bytes) -> list[Challenge]:
    """All that live of an account's for a purpose; none is spent."""
    own = (col(Row.account_id) == account_id) & (col(Row.purpose) == purpose) & (col(Row.expires_at) > desk.clock.now())
    return [opened for row in await db.exec(select(Row).where(own)) if (opened := _opened(desk, row))]


async def attempt(db: AsyncSession, desk: Desk, purpose: str, token: str, most: int) -> Challenge | None:
    """Count a try before it is verified; None once `most` were counted. Commit before verifying, or nothing counts."""
    free = and_(_living(desk, purpose, token), col(Row.attempts) < most)
    statement = update(Row).where(free).values(attempts=Row.attempts + 1).returning(Row)
    found = (await db.exec(statement.execution_options(synchronize_session=False))).scalar_one_or_none()
    return _opened(desk, found)


async def peek(db: AsyncSession, desk: Desk, purpose: str, token: str | bytes) -> Challenge | None:
    """Look without spending."""
    return _opened(desk, (await db.exec(select(Row).where(_living(desk, purpose, token)))).first())


async def drop(db: AsyncSession, purpose: str, account_id: bytes, since: int = 0) -> None:
    """Spend all of an account's for a purpose, made at `since` or later: only the newest link counts."""
    own = (col(Row.account_id) == account_id) & (col(Row.purpose) == purpose) & (col(Row.created_at) >= since)
    await db.exec(delete(Row).where(own))


async def drop_everybodys(db: AsyncSession, purpose: str) -> None:
    """Spend all there are for a purpose."""
    await db.exec(delete(Row).where(col(Row.purpose) == purpose))


async def prune(db: AsyncSession, now: int) -> None:
    """Delete some that are over. Each `make` does, so rows don't pile up; locked ones are left to their taker."""
    over = select(Row.key).where(col(Row.expires_at) <= now).limit(_PRUNED_AT_ONCE).with_for_update(skip_locked=True)
    await db.exec(delete(Row).where(col(Row.key).in_(over)).execution_options(synchronize_session=False))


def key_of(token: str) -> bytes:
    """What the row is known by."""
    return sha256(token.encode(errors="replace")).digest()


def _living(desk: Desk, purpose: str, token: str | bytes) -> ColumnElement[bool]:
    key = key_of(token) if isinstance(token, str) else token
    return and_(col(Row.key) == key, col(Row.purpose) == purpose, col(Row.expires_at) > desk.clock.now())


def _opened(desk: Desk, row: Row | None) -> Challenge | None:
    if row is None:
        return None
    try:
        data = json.loads(desk.roots.unwrap(PURPOSE, row.key, row.data))
    except CannotUnwrap:
        return None  # of a root secret that is no longer listed
    return Challenge(row.key, row.account_id, data, row.attempts, row.created_at, row.expires_at)
