"""Alerts: a mail to the owner when somebody signs in on a new device, or changes what protects the account.

Written in the transaction of what it tells about. Each has a "this wasn't me" link, good for a week, once: it ends the
session it is about and has a link for a new password sent (not_me.py). A new device is told of, but never the first,
and never a known one at a new place: who is told of everything reads nothing. At most five of a kind an hour.
"""

from typing import Literal

from sqlalchemy import exists
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import challenges, mail
from .clock import MINUTE
from .desk import Desk
from .origin import Origin
from .tables import Account, Device, Session

PURPOSE = "alert"
LIFE = 7 * 24 * 60 * MINUTE

Alert = Literal[
    "new_device", "token_reused", "password_changed", "password_was_reset", "factor_changed", "many_failures"
]


async def tell(
    db: AsyncSession,
    desk: Desk,
    account_id: bytes,
    alert: Alert,
    origin: Origin,
    session_id: bytes | None = None,
    since: int | None = None,
) -> None:
    """Tell the owner; the caller commits. `session_id` is the session that did it, which the owner may end.

    `since`: from when on the account's factors are disputed, if the owner says it wasn't her (factors/disputes.py).
    """
    account = await db.get(Account, account_id)
    if account is None or account.disabled_at is not None or not await desk.throttle.room_for_alert(account_id, alert):
        return
    # No join, as in revocation.py.
    device_id = select(Session.device_id).where(Session.id == session_id).scalar_subquery()
    named = select(Device.name).where(Device.id == device_id)
    device = (await db.exec(named)).first() or "an unknown device"
    session = session_id.hex() if session_id else ""
    token = await challenges.make(db, desk, PURPOSE, account_id, LIFE, session=session, since=since)
    words = {"when": mail.moment(desk.clock.now()), "ip": origin.ip, "device": device}
    if since:
        words["first_since"] = mail.moment(since)  # the mail says what the new password takes away
    link = mail.link(desk.settings, "/account/not-me", token)
    mail.post(db, desk, account.email, alert, account_id=account_id, link=link, **words)


async def new_device(db: AsyncSession, desk: Desk, device: Device, session_id: bytes, origin: Origin) -> None:
    """Tell of a device that signs in for the first time, unless it is the account's first of all."""
    others = exists().where(col(Device.account_id) == device.account_id, col(Device.id) != device.id)
    earlier = exists().where(col(Session.device_id) == device.id, col(Session.id) != session_id)
    if (await db.exec(select(others & ~earlier))).one():
        await tell(db, desk, device.account_id, "new_device", origin, session_id)
