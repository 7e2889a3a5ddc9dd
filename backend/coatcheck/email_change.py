"""Another address for an account: asked for with a fresh proof, confirmed at the new address, undone from the old one.

The link at the new address asks for the password too: nobody's click gives his address to a stranger's account. The old
address is told, with a link that is good for a week. It gives the address back and takes away everything a thief might
have: every session, the password, the factors added since (all, if the old address was never proved), an account that
sits on the address unproven; a link for a new password comes with it.
An address that somebody else has is answered like any other; its owner is told.

Whoever holds the link could guess at the password, so guesses are counted for the account, by all of its links together
and apart from sign-ins: neither holds up the other. The link ends with the session that asked for it.
"""

import secrets

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, audit, challenges, factors, mail, password_reset, sessions, step_up, wrong_passwords
from .challenges import Challenge
from .clock import MINUTE
from .desk import Desk
from .errors import EmailTaken, FieldError, InvalidCredentials, InvalidRequest, LinkInvalid, SessionRevoked
from .factors import disputes
from .revocation import Event
from .sessions import Origin
from .tables import Account
from .verified_credentials import Caller

CHANGE, UNDO = "email.change", "email.undo"
LIFE, UNDO_LIFE = 60 * MINUTE, 7 * 24 * 60 * MINUTE


async def ask(desk: Desk, caller: Caller, typed: str, origin: Origin) -> None:
    """Have a link sent to the new address.

    Raises ReauthenticationRequired, InvalidRequest, RateLimited, SessionRevoked, Unavailable.
    """
    step_up.require_fresh(desk, caller)
    email = accounts.normalise_email(typed)
    await desk.throttle.mail("change", origin.ip, email, caller.account_id)
    async with desk.db.writing() as db:
        account = await accounts.locked(db, caller.account_id)
        if account is None or account.disabled_at is not None:
            raise SessionRevoked
        if email == account.email:
            raise InvalidRequest(errors=(FieldError("email", "unchanged", "This is your address already."),))
        await challenges.drop(db, CHANGE, account.id)
        data = {"email": email, "generation": account.auth_generation, "session": caller.session_id.hex()}
        token = await challenges.make(db, desk, CHANGE, account.id, LIFE, **data)
        await _tell_new(db, desk, email, token)
        audit.record(db, desk.clock.now(), "email.change_asked", account_id=account.id, ip=origin.ip)
        await db.commit()


async def _tell_new(db: AsyncSession, desk: Desk, email: str, token: str) -> None:
    owner = await accounts.by_email(db, email)
    if owner is None:
        link = mail.link(desk.settings, "/account/email/confirm", token)
        mail.post(db, desk, email, "confirm_address", link=link, minutes=str(LIFE // MINUTE))
    else:
        mail.post(db, desk, email if owner.disabled_at is None else None, "address_wanted", account_id=owner.id)


async def confirm(desk: Desk, token: str, password: str, origin: Origin) -> None:
    """From now on it is the account's. Raises LinkInvalid, InvalidCredentials (the link is good yet), RateLimited."""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, CHANGE, token)
        account = await db.get(Account, found.account_id) if found and found.account_id else None
        _, account = await _still_good(db, found, account)
    async with desk.throttle.login(origin.ip, account.email, CHANGE) as attempt, desk.hasher.turn() as turn:
        fits, _ = await turn.verify(password, account.password_hash)
        attempt.failed = not fits
    if not fits:
        await wrong_passwords.record(desk, account.id, origin, link=CHANGE)
        raise InvalidCredentials("This isn't the right password. Try again.")
    async with desk.db.writing() as db:
        fresh = await accounts.locked(db, account.id)
        spent, fresh = await _still_good(db, await challenges.take(db, desk, CHANGE, token), fresh)
        try:
            await _change(db, desk, fresh, spent.data["email"], origin)
            await db.commit()
        except IntegrityError:  # somebody has it meanwhile
            raise LinkInvalid from None


async def _still_good(db: AsyncSession, found: Challenge | None, account: Account | None) -> tuple[Challenge, Account]:
    """Raises LinkInvalid for a link that was used, or whose account has changed or whose session has ended since."""
    if not found or not account or account.disabled_at or found.data["generation"] != account.auth_generation:
        raise LinkInvalid
    if await sessions.has_ended(db, bytes.fromhex(found.data.get("session", ""))):
        raise LinkInvalid
    return found, account


async def _change(db: AsyncSession, desk: Desk, account: Account, email: str, origin: Origin) -> None:
    """Links mailed to the old address are over, but for the one that undoes this."""
    now = desk.clock.now()
    since = now if account.email_verified else 0  # what was there before any address was proved may be a stranger's
    old, account.email, account.email_verified = account.email, email, True
    await challenges.drop(db, password_reset.PURPOSE, account.id)
    token = await challenges.make(db, desk, UNDO, account.id, UNDO_LIFE, email=old, since=since)
    link = mail.link(desk.settings, "/account/email/undo", token)
    days = str(UNDO_LIFE // (24 * 60 * MINUTE))
    mail.post(db, desk, old, "address_changed", account_id=account.id, link=link, days=days, when=mail.moment(now))
    audit.record(db, now, "email.changed", account_id=account.id, ip=origin.ip)


async def undo(desk: Desk, token: str, origin: Origin) -> None:
    """Give the old address back. Raises LinkInvalid, EmailTaken (somebody else has proved it by now), Unavailable."""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, UNDO, token)
    if found is None:
        raise LinkInvalid
    async with desk.hasher.turn() as turn:
        hashed = await turn.hash(secrets.token_urlsafe(32))  # nobody's: a new password is chosen by mail
    async with desk.db.writing() as db:
        account = await accounts.locked(db, found.account_id or b"")
        spent = await challenges.take(db, desk, UNDO, token)
        if not spent or not account or not account.password_hash:
            raise LinkInvalid
        left = await _vacated(db, desk, spent.data["email"], origin)
        try:
            account.email, account.email_verified = spent.data["email"], True
            await db.flush()
        except IntegrityError:
            raise EmailTaken from None
        events = await _taken_back(db, desk, account, spent, hashed, origin)
        await db.commit()
    await desk.feed.publish(*left, *events)


async def _vacated(db: AsyncSession, desk: Desk, email: str, origin: Origin) -> list[Event]:
    """Who sits on the address without having proved it gives way: a thief may have registered it, to keep the other."""
    holder = await accounts.locked_by_email(db, email)
    if holder is None or holder.email_verified or holder.roles:
        return []
    events = await accounts.empty(db, desk, holder, origin)
    await db.flush()  # before somebody else gets the address
    return events


async def _taken_back(
    db: AsyncSession, desk: Desk, account: Account, spent: Challenge, hashed: str, origin: Origin
) -> list[Event]:
    """Whoever changed it had the password, and may have asked for more: all of that is over.

    A first factor that he needed for it is disputed, as by "this wasn't me": it goes with the new password.
    """
    await disputes.note(db, desk, account.id)
    await factors.wipe_since(db, account.id, spent.data["since"])
    for purpose in (CHANGE, password_reset.PURPOSE):
        await challenges.drop(db, purpose, account.id)
    await challenges.drop(db, UNDO, account.id, since=spent.created_at)  # from the addresses that came after
    events = await accounts.start_over(db, desk, account, hashed, origin)
    audit.record(db, desk.clock.now(), "email.restored", account_id=account.id, ip=origin.ip)
    await password_reset.post_link(db, desk, account, origin)
    return events
