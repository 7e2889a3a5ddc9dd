"""Roles: `user` (nothing is stored), `support`, `admin`; each may do what the one before may, and more.

A role is what the account's row says now. The `roles` in a token or a cached cookie allow nothing here: they are for
other services, and taking a role away ends the account's sessions so that those hear of it too (ADR 0008).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .desk import Desk
from .errors import Conflict, Forbidden, SessionRevoked
from .tables import Account
from .verified_credentials import Caller

Role = Literal["user", "support", "admin"]
RANKS: tuple[Role, ...] = get_args(Role)  # from the lowest

_ROLES = "SELECT roles, disabled_at FROM account WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Staff:
    """Who acts on somebody else's account, and from where."""

    account_id: bytes
    session_id: bytes
    role: Role
    ip: str


def of(stored: str) -> Role:
    """The role that `account.roles` stands for; a word we don't know is no role."""
    return max((role for role in RANKS if role in stored.split()), key=RANKS.index, default="user")


async def require(desk: Desk, caller: Caller, least: Role, ip: str) -> Staff:
    """The caller as staff. Raises Forbidden, SessionRevoked, Unavailable. Fails closed: no row, no role."""
    row = await desk.db.hot.fetch_one(_ROLES, caller.account_id)
    if row is None or row["disabled_at"] is not None:
        raise SessionRevoked
    role = of(row["roles"])
    if RANKS.index(role) < RANKS.index(least):
        raise Forbidden
    return Staff(caller.account_id, caller.session_id, role, ip)


def require_not_above(staff: Staff | None, subject: Account) -> None:
    """Nobody acts on an account that ranks higher than his own. Raises Forbidden. None is the server's command line."""
    if staff and RANKS.index(of(subject.roles)) > RANKS.index(staff.role):
        raise Forbidden("This account has a higher role than yours.")


async def administrators(db: AsyncSession) -> Sequence[Account]:
    """All of them, locked in the order of their ids: who would make one fewer takes turns with all who would, too.

    Two who demote each other at once: the second finds himself no longer among them.
    """
    query = select(Account).where(Account.roles == "admin", Account.roles != "").order_by(col(Account.id))
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return (await db.exec(locked)).all()


def require_still(staff: Staff | None, admins: Sequence[Account]) -> None:
    """An administrator's authority, looked at again under the lock. Raises Forbidden."""
    if staff and not any(one.id == staff.account_id and one.disabled_at is None for one in admins):
        raise Forbidden


def require_another(admins: Sequence[Account], account_id: bytes) -> None:
    """Raises Conflict when this account is the last administrator who can sign in."""
    working = [one.id for one in admins if one.disabled_at is None]
    if working == [account_id]:
        raise Conflict("This is the last administrator. Make somebody else one first.")
