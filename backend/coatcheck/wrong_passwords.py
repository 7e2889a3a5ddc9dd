"""A wrong password: recorded wherever it was tried, and the owner is told when there are many within an hour."""

from . import alerts, audit
from .desk import Desk
from .origin import Origin


async def record(
    desk: Desk, account_id: bytes | None, origin: Origin, *, session_id: bytes | None = None, link: str | None = None
) -> None:
    """Write it to the audit. `account_id` is None for an unknown address.

    `session_id` is the session that was asked for the password; `link` is the purpose of the mailed link it came with.
    """
    now = desk.clock.now()
    async with desk.db.writing() as db:
        if session_id:
            audit.record(db, now, "step_up.failed", account_id=account_id, session_id=session_id, ip=origin.ip)
        else:
            audit.record(db, now, "login.failed", account_id=account_id, ip=origin.ip, link=link)
        if await desk.throttle.many_failures(account_id) and account_id:
            await alerts.tell(db, desk, account_id, "many_failures", origin)
        await db.commit()
