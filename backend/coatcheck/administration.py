"""What is done to an account by somebody else: an administrator, support, or the server's command line (`by` None).

Each act is written down with who did it, in the transaction of the act. Nothing here sets or shows a password.
"""

import time
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, audit, challenges, ids, mail, password_reset, roles, sessions
from .desk import Desk
from .errors import Conflict, NotFound
from .roles import RANKS, Role, Staff
from .sessions import Origin
from .tables import Account, Session

_PIECE = 1_000  # sessions ended in one transaction
_LONGEST = 20.0  # seconds one call works on it


async def set_role(desk: Desk, account_id: bytes, role: Role, by: Staff | None) -> int:
    """Give an account this role; how many sessions ended.

    A lower one than before ends the account's sessions: every token and cookie that names the old one dies with them,
    at once and everywhere. Raises NotFound, Forbidden, Conflict (the last administrator).
    """
    now = desk.clock.now()
    async with desk.db.writing() as db:
        admins = await roles.administrators(db)
        roles.require_still(by, admins)
        account = there(await accounts.locked(db, account_id))
        before = roles.of(account.roles)
        if role == before:
            return 0
        if before == "admin" and by:
            roles.require_another(admins, account_id)
        account.roles = "" if role == "user" else role
        lowered = RANKS.index(role) < RANKS.index(before)
        audit.record(
            db,
            now,
            "role.taken" if lowered else "role.granted",
            account_id=account_id,
            role=role,
            was=before,
            **who(by),
        )
        _tell(db, desk, account, f"changed your role to {role}", by)
        own = col(Session.account_id) == account_id
        events = await sessions.end(db, desk, own, "admin", None) if lowered else []
        await db.commit()
    await desk.feed.publish(*events)
    return len(events)


async def set_disabled(desk: Desk, account_id: bytes, disabled: bool, by: Staff | None) -> int:
    """Disable an account, which ends everything at once, or enable it again; how many sessions ended.

    Raises NotFound, Forbidden, Conflict (the last administrator).
    """
    now = desk.clock.now()
    async with desk.db.writing() as db:
        admins = await roles.administrators(db)
        roles.require_still(by, admins)
        account = there(await accounts.locked(db, account_id))
        if disabled == (account.disabled_at is not None):
            return 0
        if disabled and by:
            roles.require_another(admins, account_id)
        account.disabled_at, account.auth_generation = now if disabled else None, account.auth_generation + 1
        audit.record(db, now, "account.disabled" if disabled else "account.enabled", account_id=account_id, **who(by))
        _tell(db, desk, account, f"{'disabled' if disabled else 'enabled'} your account", by)
        own = col(Session.account_id) == account_id
        events = await sessions.end(db, desk, own, "admin", None) if disabled else []
        await db.commit()
    await desk.feed.publish(*events)
    return len(events)


def there(account: Account | None) -> Account:
    """Raises NotFound for one that is not, or no longer, there."""
    if account is None or not account.password_hash:  # closed
        raise NotFound
    return account


def who(by: Staff | None) -> dict[str, Any]:
    """The actor, for the audit. The person concerned is not shown it (audit.told)."""
    return {"by": ids.text("acc", by.account_id), "by_ip": by.ip} if by else {"by": "command line"}


def _tell(db: AsyncSession, desk: Desk, account: Account, what: str, by: Staff | None) -> None:
    """Mail the owner what was done, a disabled one too; not by whom, and not what he did to himself."""
    if by is None or by.account_id != account.id:
        when = mail.moment(desk.clock.now())
        mail.post(db, desk, account.email, "staff_acted", account_id=account.id, what=what, when=when)


async def sign_out_session(desk: Desk, account_id: bytes, session_id: bytes, by: Staff) -> None:
    """End one session of an account; one that has ended already is no error. Raises NotFound, Forbidden."""
    async with desk.db.writing() as db:
        account = there(await db.get(Account, account_id))
        roles.require_not_above(by, account)
        row = await db.get(Session, session_id)
        if row is None or row.account_id != account_id:
            raise NotFound
        own = col(Session.id) == session_id
        events = await sessions.end(db, desk, own, "admin", None)
        audit.record(
            db,
            desk.clock.now(),
            "staff.signed_out",
            account_id=account_id,
            session_id=session_id,
            ended=str(len(events)),
            **who(by),
        )
        if events:
            _tell(db, desk, account, "signed you out on a device", by)
        await db.commit()
    await desk.feed.publish(*events)


async def sign_out_account(desk: Desk, account_id: bytes, by: Staff) -> int:
    """End all sessions of an account; how many ended. Raises NotFound, Forbidden."""
    async with desk.db.writing() as db:
        account = there(await accounts.locked(db, account_id))
        roles.require_not_above(by, account)
        await challenges.drop(db, "session_limit", account_id)
        events = await sessions.end(db, desk, col(Session.account_id) == account_id, "admin", None)
        now, ended = desk.clock.now(), str(len(events))
        audit.record(db, now, "staff.signed_out", account_id=account_id, ended=ended, **who(by))
        if events:
            _tell(db, desk, account, "signed you out on every device", by)
        await db.commit()
    await desk.feed.publish(*events)
    return len(events)


async def sign_out_everybody(desk: Desk, by: Staff) -> tuple[int, bool]:
    """End every session that has begun before now, but the caller's own; how many, and whether some are left.

    In pieces, each a transaction: no lock is held for long, and what ended is told as it goes. After `_LONGEST` it
    stops and says so; asking again goes on.
    """
    began, ended, last = desk.clock.now(), 0, b""
    async with desk.db.writing() as db:
        await challenges.drop_everybodys(db, "session_limit")  # who only has to choose is in, nearly
        audit.record(db, began, "staff.signed_out_everybody", **who(by))
        await db.commit()
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        async with desk.db.writing() as db:
            living = (col(Session.ended_at).is_(None), col(Session.created_at) <= began, Session.id != by.session_id)
            query = select(Session.id).where(*living, col(Session.id) > last).order_by(col(Session.id))
            piece = list(await db.exec(query.limit(_PIECE)))
            if not piece:
                return ended, False
            events = await sessions.end(db, desk, col(Session.id).in_(piece), "admin", None)
            await db.commit()
        await desk.feed.publish(*events)
        ended, last = ended + len(events), piece[-1]
    return ended, True


async def start_reset(desk: Desk, account_id: bytes, by: Staff) -> None:
    """Have the owner sent a link for a new password. Nobody else sees it, and the old password goes on until then.

    Raises NotFound, Forbidden, Conflict (disabled: there would be no mail), RateLimited.
    """
    async with desk.db.reading() as db:
        email = there(await db.get(Account, account_id)).email
    await desk.throttle.mail_by_staff(email)
    async with desk.db.writing() as db:
        roles.require_still(by, await roles.administrators(db))
        account = there(await accounts.locked(db, account_id))
        if account.disabled_at is not None:
            raise Conflict("This account is disabled; enable it first.")
        audit.record(db, desk.clock.now(), "staff.reset_started", account_id=account_id, **who(by))
        await password_reset.post_link(db, desk, account, Origin("", ""))
        await db.commit()


async def note_export(desk: Desk, by: Staff) -> None:
    """Write down that somebody takes events out, before he does."""
    async with desk.db.writing() as db:
        audit.record(db, desk.clock.now(), "audit.exported", **who(by))
        await db.commit()
