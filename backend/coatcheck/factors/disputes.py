"""A first factor that the owner did not add: a thief had the password, and now the owner is locked out.

The alert about it says "this wasn't me"; the owner answers, and with the new password, which the mailbox proves, every
factor since then goes. The opposite attack is a thief of the mailbox, who must not strip a real factor (ADR 0015). So
it is disputable only for the alert's week, only where the account had no factor in the week before, and only if it came
from a device that was new then, beside older ones: from a device the owner had used for long it stays.
"""

from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .. import audit, challenges, factors
from ..challenges import Challenge
from ..clock import MINUTE
from ..desk import Desk
from ..origin import Origin
from ..tables import AuditEvent, Device, Factor, Session
from ..verified_credentials import Caller

ALERT = "alert"  # alerts.PURPOSE, which imports us by way of accounts
PURPOSE = "factors.disputed"
_SETTLED = (
    '"reason": "disputed"'  # in an event's data, where a name that somebody gave can't say it: quotes are escaped
)
NEW = 7 * 24 * 60 * MINUTE  # a device is new for so long: it was told of then, with the same link


async def disputable(db: AsyncSession, desk: Desk, caller: Caller) -> bool:
    """Whether a factor that the caller adds, where there is none, may turn out to be a thief's."""
    recent = desk.clock.now() - NEW
    lately = (
        AuditEvent.account_id == caller.account_id,
        AuditEvent.kind == "factor.removed",
        ~col(AuditEvent.data).contains(_SETTLED),  # or a thief who comes back within the week would keep his next one
    )
    if (await db.exec(select(AuditEvent.id).where(*lately, col(AuditEvent.at) > recent).limit(1))).first():
        return False  # it takes the place of one that was there
    older = aliased(Device)
    here = select(Device.id).join(Session, col(Session.device_id) == Device.id)
    new = here.where(Session.id == caller.session_id, col(Device.created_at) > recent)
    earlier = (col(older.account_id) == col(Device.account_id)) & (col(older.created_at) < col(Device.created_at))
    beside = new.join(older, earlier)
    return (await db.exec(beside.limit(1))).first() is not None


async def note(db: AsyncSession, desk: Desk, account_id: bytes, *alerts: Challenge) -> None:
    """The owner says so. Kept beside the link for a new password: whatever kills the link, this stands for its week."""
    # Whichever alert she answers: a thief who adds, removes and adds again mails her several.
    for one in [*alerts, *await challenges.living(db, desk, ALERT, account_id)]:
        if since := one.data.get("since"):
            left = one.expires_at - desk.clock.now()
            await challenges.make(db, desk, PURPOSE, account_id, left, since=since)


async def settle(db: AsyncSession, desk: Desk, account_id: bytes, origin: Origin) -> None:
    """A new password was chosen by mail: what is disputed goes. Hold the account's lock."""
    moments = [one.data["since"] for one in await challenges.take_all(db, desk, PURPOSE, account_id)]
    if not moments:
        return
    disputed = (Factor.account_id == account_id, col(Factor.created_at) >= min(moments))
    for factor in await db.exec(select(Factor).where(*disputed)):
        whose: dict[str, Any] = {"account_id": account_id, "ip": origin.ip}
        audit.record(
            db, desk.clock.now(), "factor.removed", **whose, method=factor.method, name=factor.name, reason="disputed"
        )
    await factors.wipe_since(db, account_id, min(moments))
