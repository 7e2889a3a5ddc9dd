"""The answer to an alert: "this wasn't me". The session it told about ends, and a link for a new password is mailed.

The alert's link proves the mailbox, for a week; that is enough to end a session, and not to choose a password: for that
the mail brings the short-lived link of password_reset.py.
"""

from sqlmodel import col

from . import accounts, alerts, audit, challenges, password_reset, sessions
from .desk import Desk
from .errors import LinkInvalid
from .factors import disputes
from .origin import Origin
from .tables import Session


async def answer(desk: Desk, token: str, origin: Origin) -> None:
    """Raises LinkInvalid, Unavailable."""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, alerts.PURPOSE, token)
    async with desk.db.writing() as db:
        account = await accounts.locked(db, found.account_id) if found and found.account_id else None
        if account is None or not await challenges.take(db, desk, alerts.PURPOSE, token) or found is None:
            raise LinkInvalid
        session_id = bytes.fromhex(found.data["session"]) or None
        own = (col(Session.id) == session_id) & (col(Session.account_id) == account.id)
        audit.record(db, desk.clock.now(), "alert.denied", account_id=account.id, session_id=session_id, ip=origin.ip)
        events = await sessions.end(db, desk, own, "signed_out_elsewhere", origin.ip) if session_id else []
        await disputes.note(db, desk, account.id, found)
        await password_reset.post_link(db, desk, account, origin)
        await db.commit()
    await desk.feed.publish(*events)
