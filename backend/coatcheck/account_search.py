"""Find accounts, for those who look after them: by the beginning of an address, by role, by state."""

import unicodedata
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .administration import there
from .desk import Desk
from .roles import Role
from .tables import Account, Session


@dataclass(frozen=True, slots=True)
class Found:
    """An account, and how many sessions of it are living."""

    account: Account
    sessions: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; None is anything. `email` is the beginning of an address."""

    email: str | None = None
    role: Role | None = None
    disabled: bool | None = None


async def find(desk: Desk, wanted: Wanted, after: bytes | None, limit: int) -> list[Found]:
    """Accounts in the order of their addresses; `after` is the account to continue from. Closed ones are not found."""
    query = select(Account).where(Account.password_hash != "").order_by(col(Account.email)).limit(limit)
    if wanted.email:
        beginning = unicodedata.normalize("NFC", wanted.email.strip()).casefold()
        if "\0" in beginning:  # no address holds one, and PostgreSQL takes none
            return []
        query = query.where(col(Account.email).startswith(beginning, autoescape=True))
    if wanted.role:
        query = query.where(Account.roles == ("" if wanted.role == "user" else wanted.role))
    if wanted.disabled is not None:
        query = query.where(
            col(Account.disabled_at).is_not(None) if wanted.disabled else col(Account.disabled_at).is_(None)
        )
    if after:
        last = select(Account.email).where(Account.id == after).scalar_subquery()
        query = query.where(col(Account.email) > last)
    async with desk.db.reading() as db:
        accounts = list(await db.exec(query))
        living = await _living(db, [one.id for one in accounts], desk.clock.now())
    return [Found(one, living.get(one.id, 0)) for one in accounts]


async def one(desk: Desk, account_id: bytes) -> Found:
    """Raises NotFound."""
    async with desk.db.reading() as db:
        account = there(await db.get(Account, account_id))
        return Found(account, (await _living(db, [account_id], desk.clock.now())).get(account_id, 0))


async def _living(db: AsyncSession, accounts: list[bytes], now: int) -> dict[bytes, int]:
    mine = col(Session.account_id).in_(accounts)
    living = (col(Session.ended_at).is_(None), col(Session.idle_expires_at) > now)
    query = select(Session.account_id, func.count()).where(mine, *living).group_by(col(Session.account_id))
    return dict((await db.exec(query)).all())
