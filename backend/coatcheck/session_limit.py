"""How many sessions an account may have at once, and what gives way (SESSION_LIMIT, SESSION_LIMIT_POLICY).

Counted under the account's lock, in the transaction that begins the session: twenty simultaneous sign-ins are counted
one after the other. A session that the new one replaces, of the same device and door, is not counted.
"""

from sqlalchemy import ColumnElement, and_, func, not_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import devices, sessions
from .desk import Desk
from .devices import Hint
from .refresh_tokens import Door
from .revocation import Event
from .tables import Session


async def make_room(
    db: AsyncSession, desk: Desk, account_id: bytes, door: Door, hint: Hint, ip: str
) -> list[Event] | None:
    """What ended so that one more session has room; None where nothing may end by itself, and there is no room.

    The caller holds the account's lock.
    """
    limit = desk.settings.session_limit
    if limit is None:
        return []
    others = await _others(db, desk, account_id, door, hint)
    held = (await db.exec(select(func.count()).where(others))).one()
    if held < limit:
        return []
    if desk.settings.session_limit_policy != "oldest":
        return None
    # As many as it takes: the limit may have been lowered.
    least_used = select(Session.id).where(others).order_by(col(Session.last_seen_at), col(Session.id))
    leaving = list(await db.exec(least_used.limit(held - limit + 1)))
    return await sessions.end(db, desk, col(Session.id).in_(leaving), "limit", ip)


async def _others(db: AsyncSession, desk: Desk, account_id: bytes, door: Door, hint: Hint) -> ColumnElement[bool]:
    """Living sessions of the account that stay when this device signs in at this door."""
    living = and_(
        col(Session.account_id) == account_id,
        col(Session.ended_at).is_(None),
        col(Session.idle_expires_at) > desk.clock.now(),
    )
    device_id = await devices.known_here(db, account_id, hint)
    if device_id is None:
        return living
    return and_(living, not_(and_(col(Session.device_id) == device_id, col(Session.door) == door.value)))
