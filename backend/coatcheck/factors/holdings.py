"""The factors an account has: list, rename, add, remove. Each change is under the account's lock.

A change ends every other session, and every sign-in that is half-way: whoever was in by less is out (ASVS 7.4.3). The
first factor brings ten recovery codes, so that a lost phone locks nobody out; the last one takes them along, because
codes alone are no second factor.
"""

from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .. import accounts, alerts, audit, challenges, factors, mail, sessions, step_up
from ..desk import Desk
from ..errors import Conflict, NotFound, SessionRevoked
from ..revocation import Event
from ..sessions import Origin
from ..tables import Account, Factor, RecoveryCode, Session
from ..verified_credentials import Caller
from . import disputes, recovery_codes

MOST = 20  # factors of an account


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account has."""

    factors: list[Factor]
    codes: list[RecoveryCode]


async def of(db: AsyncSession, account_id: bytes) -> Holdings:
    """Oldest first."""
    query = select(Factor).where(Factor.account_id == account_id).order_by(col(Factor.created_at), col(Factor.id))
    return Holdings(list(await db.exec(query)), await recovery_codes.left(db, account_id))


async def methods(db: AsyncSession, account_id: bytes) -> tuple[str, ...]:
    """How this account can prove itself beside its password; empty when it has no second factor."""
    found = set(await db.exec(select(Factor.method).where(Factor.account_id == account_id)))
    if found and await recovery_codes.left(db, account_id):
        found.add("recovery_code")
    return tuple(method for method in ("passkey", "totp", "recovery_code") if method in found)


async def list_all(desk: Desk, account_id: bytes) -> Holdings:
    """For the account's own page."""
    async with desk.db.reading() as db:
        return await of(db, account_id)


async def rename(desk: Desk, caller: Caller, factor_id: bytes, name: str) -> Factor:
    """Raises NotFound."""
    async with desk.db.writing() as db:
        factor = await _own(db, caller.account_id, factor_id)
        factor.name = name
        await db.commit()
        return factor


async def first_codes(desk: Desk, account_id: bytes) -> tuple[list[str], dict[str, str]]:
    """Recovery codes for an account that adds its first factor, and their hashes; none for another."""
    async with desk.db.reading() as db:
        if (await of(db, account_id)).factors:
            return [], {}
    codes = recovery_codes.new()
    return codes, await recovery_codes.hashed(desk, codes)


async def add(
    db: AsyncSession,
    desk: Desk,
    caller: Caller,
    factor: Factor,
    hashes: dict[str, str],
    generation: int,
    origin: Origin,
) -> list[Event]:
    """Put a proved factor in; the caller commits, then publishes. `generation` is the account's when it was asked for.

    Raises Conflict (something changed meanwhile, or there are too many), SessionRevoked.
    """
    account = await _locked(db, caller)
    held = await of(db, account.id)
    if account.auth_generation != generation or len(held.factors) >= MOST or bool(held.factors) == bool(hashes):
        raise Conflict
    disputable = not held.factors and await disputes.disputable(db, desk, caller)
    db.add(factor)
    if hashes:
        await recovery_codes.replace(db, account.id, hashes, desk.clock.now())
    who = _who(caller, origin)
    audit.record(db, desk.clock.now(), "factor.added", **who, method=factor.method, name=factor.name)
    return await _changed(db, desk, account, caller, origin, since=factor.created_at if disputable else None)


async def remove(desk: Desk, caller: Caller, factor_id: bytes, origin: Origin) -> None:
    """Raises ReauthenticationRequired, NotFound, SessionRevoked."""
    step_up.require_fresh(desk, caller)
    async with desk.db.writing() as db:
        account = await _locked(db, caller)
        factor = await _own(db, account.id, factor_id)
        await db.delete(factor)
        await db.flush()
        if not (await of(db, account.id)).factors:
            await recovery_codes.drop(db, account.id)
        who = _who(caller, origin)
        audit.record(db, desk.clock.now(), "factor.removed", **who, method=factor.method, name=factor.name)
        events = await _changed(db, desk, account, caller, origin)
        await db.commit()
    await desk.feed.publish(*events)


async def new_codes(desk: Desk, caller: Caller, origin: Origin) -> list[str]:
    """Ten new recovery codes; the old ones are dead. Raises ReauthenticationRequired, Conflict (there is no factor)."""
    step_up.require_fresh(desk, caller)
    codes = recovery_codes.new()
    hashes = await recovery_codes.hashed(desk, codes)
    async with desk.db.writing() as db:
        account = await _locked(db, caller)
        if not (await of(db, account.id)).factors:
            raise Conflict("Recovery codes stand in for a second factor. Add a passkey or an authenticator app first.")
        await recovery_codes.replace(db, account.id, hashes, desk.clock.now())
        audit.record(db, desk.clock.now(), "recovery_codes.made", **_who(caller, origin))
        events = await _changed(db, desk, account, caller, origin)
        await db.commit()
    await desk.feed.publish(*events)
    return codes


async def clear(desk: Desk, account_id: bytes) -> int:
    """Take every factor and code away, for somebody who lost them all (the operator does); how many sessions ended."""
    now = desk.clock.now()
    async with desk.db.writing() as db:
        account = await accounts.locked(db, account_id)
        if account is None:
            raise NotFound
        for factor in (await of(db, account_id)).factors:
            whose: dict[str, Any] = {"account_id": account_id}
            audit.record(db, now, "factor.removed", **whose, method=factor.method, name=factor.name)
        await factors.wipe(db, account_id)
        for purpose in (alerts.PURPOSE, disputes.PURPOSE):  # else an old link would take what is added next
            await challenges.drop(db, purpose, account_id)
        account.auth_generation += 1
        what, when = "took away every second step of your account", mail.moment(now)
        mail.post(db, desk, account.email, "staff_acted", account_id=account_id, what=what, when=when)
        events = await sessions.end(db, desk, col(Session.account_id) == account_id, "admin", None)
        await db.commit()
    await desk.feed.publish(*events)
    return len(events)


async def _locked(db: AsyncSession, caller: Caller) -> Account:
    account = await accounts.locked(db, caller.account_id)
    if account is None or account.disabled_at is not None or await sessions.has_ended(db, caller.session_id):
        raise SessionRevoked
    return account


async def _own(db: AsyncSession, account_id: bytes, factor_id: bytes) -> Factor:
    found = await db.get(Factor, factor_id)
    if found is None or found.account_id != account_id:
        raise NotFound
    return found


async def _changed(
    db: AsyncSession, desk: Desk, account: Account, caller: Caller, origin: Origin, since: int | None = None
) -> list[Event]:
    account.auth_generation += 1
    others = (col(Session.account_id) == account.id) & (col(Session.id) != caller.session_id)
    await alerts.tell(db, desk, account.id, "factor_changed", origin, caller.session_id, since)
    return await sessions.end(db, desk, others, "factor_changed", origin.ip)


def _who(caller: Caller, origin: Origin) -> dict[str, Any]:
    return {"account_id": caller.account_id, "session_id": caller.session_id, "ip": origin.ip}
