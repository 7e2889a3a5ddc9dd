"""Accounts: make one, find one, change its name or password, close it.

An e-mail address is normalised once, here: NFC, casefolded local part, IDNA domain; that form is stored, looked up and
mailed to, and unique in the database. Two spellings of one address are one account.
"""

import unicodedata
from typing import Any

import email_validator
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import alerts, audit, breaches, factors, passwords, roles, sessions, step_up
from .access_tokens import Claims
from .db import Row
from .desk import Desk
from .errors import (
    FieldError,
    InvalidCredentials,
    InvalidRequest,
    SessionRevoked,
    Unauthenticated,
)
from .revocation import Event
from .sessions import Origin
from .tables import Account, Device, Session
from .verified_credentials import Caller

_BY_ID = "SELECT * FROM account WHERE id = $1"
_BY_EMAIL = "SELECT * FROM account WHERE email = $1"
_NOBODYS: Row = dict.fromkeys(Account.model_fields, "")  # read where there is none: the time tells nobody's

# Which names are routable is the network's matter: an intranet signs in too.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normalise_email(typed: str) -> str:
    """The one form of an address. Raises InvalidRequest."""
    try:
        found = email_validator.validate_email(typed, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        message = "This does not look like an e-mail address."
        raise InvalidRequest(errors=(FieldError("email", "invalid_email", message),)) from None
    local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", found.local_part).casefold())
    return f"{local}@{(found.ascii_domain or found.domain).lower()}"


async def by_email(db: AsyncSession, email: str) -> Account | None:
    """The account of a normalised address."""
    return (await db.exec(select(Account).where(Account.email == email))).first()


async def locked_by_email(db: AsyncSession, email: str) -> Account | None:
    """The account of a normalised address, locked like `locked`."""
    query = select(Account).where(Account.email == email).with_for_update(key_share=True)
    return (await db.exec(query)).first()


async def locked(db: AsyncSession, account_id: bytes) -> Account | None:
    """The account, locked until the transaction ends: sign-in and password change of one account take turns."""
    query = select(Account).where(Account.id == account_id).with_for_update(key_share=True)
    return (await db.exec(query.execution_options(populate_existing=True))).first()


async def get(desk: Desk, account_id: bytes) -> Account:
    """The caller's own account. Raises Unauthenticated when it has just been closed."""
    account = _account(await desk.db.hot.fetch_one(_BY_ID, account_id))
    if account is None:
        raise Unauthenticated
    return account


async def find(desk: Desk, email: str) -> Account | None:
    """The account of a normalised address, to look at: no session of the ORM knows it. None takes as long."""
    row = await desk.db.hot.fetch_one(_BY_EMAIL, email)
    account = _account(row or _NOBODYS)
    return account if row else None


def _account(row: Row | None) -> Account | None:
    return Account(**{**row, "email_verified": bool(row["email_verified"])}) if row else None


async def rename(desk: Desk, account_id: bytes, name: str | None) -> Account:
    """Change the display name."""
    async with desk.db.writing() as db:
        account = _there(await locked(db, account_id))
        account.name = name
        await db.commit()
        return account


async def change_password(desk: Desk, caller: Caller, current: str, new: str, origin: Origin) -> Claims | None:
    """Change the password; the caller stays, every other session ends. What to hand out, where a cookie is renewed.

    Raises ReauthenticationRequired (the password alone proves nobody who has a second factor), InvalidCredentials,
    WeakPassword, RateLimited.

    One transaction under the account's lock: a sign-in that verified the old password meanwhile finds a new
    `auth_generation`, and a refresh in flight finds its row ended (or ended its rotation before, and is ended with it).
    """
    account_id, session_id = caller.account_id, caller.session_id
    account = await get(desk, account_id)
    async with desk.db.reading() as db:
        if await factors.any_of(db, account_id):
            step_up.require_fresh(desk, caller)
    passwords.require_strong(new, desk.settings, "new_password", account.email)
    async with desk.throttle.login(origin.ip, account.email, session_id.hex()) as attempt, desk.hasher.turn() as turn:
        fits, _ = await turn.verify(current, account.password_hash)
        attempt.failed = not fits
        hashed = await turn.hash(new) if fits else ""
    if not fits:
        await step_up.failed(desk, caller, origin)
        raise InvalidCredentials("The current password is not right.")
    await breaches.require_unknown(desk, new, "new_password")  # not before: nobody makes us ask for nothing
    now = desk.clock.now()
    async with desk.db.writing() as db:
        fresh = _there(await locked(db, account_id))
        if fresh.auth_generation != account.auth_generation:
            raise InvalidCredentials("The password was changed meanwhile.")
        fresh.password_hash, fresh.auth_generation = hashed, fresh.auth_generation + 1
        if await sessions.has_ended(db, session_id):  # meanwhile: an ended session changes no password
            raise SessionRevoked
        own = col(Session.account_id) == account_id
        # Its own row too is about to be written: all are locked in the order of their ids, so no deadlock.
        living = select(Session.id).where(own, col(Session.ended_at).is_(None))
        await db.exec(living.order_by(col(Session.id)).with_for_update())
        who: dict[str, Any] = {"account_id": account_id, "session_id": session_id, "ip": origin.ip}
        audit.record(db, now, "password.changed", **who)
        await alerts.tell(db, desk, account_id, "password_changed", origin, session_id)
        others = own & (col(Session.id) != session_id)
        events = await sessions.end(db, desk, others, "password_changed", origin.ip)
        # A copy of the cookie may be why. In this transaction, or the copy would outlive an answer that gets lost.
        renewed = await step_up.renew(db, desk, caller, fresh, ("pwd",), origin) if caller.by_cookie else None
        await db.commit()
    await desk.feed.publish(*events)
    return renewed


async def start_over(db: AsyncSession, desk: Desk, account: Account, hashed: str, origin: Origin) -> list[Event]:
    """Another password, and whoever was signed in is not. The caller has locked the row; he commits, then publishes.

    A sign-in under way, pending or half-way through its second factor, finds another `auth_generation`.
    """
    account.password_hash, account.auth_generation = hashed, account.auth_generation + 1
    return await sessions.end(db, desk, col(Session.account_id) == account.id, "password_reset", origin.ip)


async def close(desk: Desk, caller: Caller, origin: Origin) -> None:
    """Close the account: every session ends, the address is free again.

    Raises ReauthenticationRequired, Conflict (the last administrator).

    What identifies the person goes at once. The emptied row stays behind its ended sessions for a while, so that every
    worker's sweep still finds them.
    """
    step_up.require_fresh(desk, caller)
    async with desk.db.writing() as db:
        roles.require_another(await roles.administrators(db), caller.account_id)
        events = await empty(db, desk, _there(await locked(db, caller.account_id)), origin)
        await db.commit()
    await desk.feed.publish(*events)


async def empty(db: AsyncSession, desk: Desk, account: Account, origin: Origin) -> list[Event]:
    """Nothing is left of an account but its emptied row. The caller has locked it; he commits, then publishes."""
    now = desk.clock.now()
    traces = col(Session.account_id) == account.id
    events = await sessions.end(db, desk, traces, "account_closed", origin.ip)
    audit.record(db, now, "account.closed", account_id=account.id, ip=origin.ip)
    account.email, account.name, account.password_hash = f"closed {account.id.hex()}", None, ""
    account.roles = ""
    account.disabled_at, account.auth_generation = now, account.auth_generation + 1
    await factors.wipe(db, account.id)
    own = col(Device.account_id) == account.id
    await db.exec(update(Device).where(own).values(name="", platform=None, secret_hash=Device.id))
    await db.exec(update(Session).where(traces).values(ip="", user_agent=""))
    return events


def _there(account: Account | None) -> Account:
    if account is None or not account.password_hash:  # gone, or closed a moment ago
        raise Unauthenticated
    return account
