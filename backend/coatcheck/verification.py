"""Is an address its account's own? A link by mail says so, together with the password.

A link alone proves the mailbox, not who chose the password. Whoever registers a stranger's address with a password of
his own would otherwise have it confirmed by the stranger's click. So a link asks for the password as well; who does not
know it chooses a new one by mail (password_reset.py), and that first proof wipes whatever was there unproven: password,
sessions, factors (pre-account hijacking).

With REQUIRE_VERIFIED_EMAIL nothing exists before the proof: name and hash wait, sealed, in the link's challenge. A
registration takes the same writes whether or not somebody has the address.
"""

from contextlib import suppress
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, audit, challenges, factors, ids, mail, wrong_passwords
from .challenges import Challenge
from .clock import MINUTE
from .desk import Desk
from .errors import InvalidCredentials, LinkInvalid, RateLimited
from .revocation import Event
from .sessions import Origin
from .tables import Account

VERIFY, REGISTER = "email.verify", "register"
LIFE = 24 * 60 * MINUTE


def post_link(db: AsyncSession, desk: Desk, account: Account, token: str) -> None:
    """Mail the link that confirms an account's address."""
    _post(db, desk, account.email, token, account.id)


def _post(db: AsyncSession, desk: Desk, to: str, token: str, account_id: bytes | None) -> None:
    link = mail.link(desk.settings, "/account/verify", token)
    mail.post(db, desk, to, "verify_address", account_id=account_id, link=link, hours=str(LIFE // (60 * MINUTE)))


async def begin(db: AsyncSession, desk: Desk, account: Account) -> None:
    """Post a link for an account that exists; the one before it is over."""
    await challenges.drop(db, VERIFY, account.id)
    post_link(db, desk, account, await challenges.make(db, desk, VERIFY, account.id, LIFE, email=account.email))


async def again(desk: Desk, account_id: bytes, origin: Origin) -> None:
    """Post another link, unless the address is confirmed already. Raises RateLimited, Unavailable."""
    account = await accounts.get(desk, account_id)
    await desk.throttle.mail("verify", origin.ip, account.email)
    async with desk.db.writing() as db:
        fresh = await accounts.locked(db, account_id)
        if fresh and not fresh.email_verified and fresh.disabled_at is None:
            await begin(db, desk, fresh)
            await db.commit()


def suffices(desk: Desk, account: Account) -> bool:
    """Whether this account may sign in as far as its address goes."""
    return account.email_verified or not desk.settings.require_verified_email


async def remind(desk: Desk, account: Account, origin: Origin) -> None:
    """Who knows the password of an unproved address is refused like anybody, and finds another link in the mail."""
    if not suffices(desk, account):
        with suppress(RateLimited):
            await again(desk, account.id, origin)


async def ask_to_register(desk: Desk, email: str, hashed: str, name: str | None, origin: Origin) -> None:
    """Mail decides: a link to whoever is new, a word to whoever has an account. The same writes for both."""
    async with desk.db.writing() as db:
        account = await accounts.by_email(db, email)
        token = await challenges.make(db, desk, REGISTER, None, LIFE, email=email, hash=hashed, name=name)
        if account is None or (not account.email_verified and account.disabled_at is None):
            _post(db, desk, email, token, None)
        else:
            home = mail.link(desk.settings, "/account/sign-in")
            reset = mail.link(desk.settings, "/account/forgot")
            to = account.email if account.disabled_at is None else None
            mail.post(db, desk, to, "address_known", account_id=account.id, sign_in_link=home, reset_link=reset)
        audit.record(db, desk.clock.now(), "account.asked_for", ip=origin.ip)
        await db.commit()


async def confirm(desk: Desk, token: str, password: str, origin: Origin) -> None:
    """Confirm an address. Guesses at all of an account's links are counted together, and apart from sign-ins.

    Raises LinkInvalid, InvalidCredentials (the link can be used again), RateLimited, Unavailable.
    """
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, VERIFY, token) or await challenges.peek(db, desk, REGISTER, token)
        account = await db.get(Account, found.account_id) if found and found.account_id else None
    if found is None:
        raise LinkInvalid
    hashed = found.data.get("hash") or (account.password_hash if account else None)
    async with desk.throttle.login(origin.ip, found.data["email"], VERIFY) as attempt, desk.hasher.turn() as turn:
        fits, _ = await turn.verify(password, hashed)
        attempt.failed = not fits
    if not fits:
        await wrong_passwords.record(desk, found.account_id, origin, link=VERIFY)
        raise InvalidCredentials("This isn't the password chosen with this address. Try again, or choose a new one.")
    async with desk.db.writing() as db:
        events = await (_proved(db, desk, found, account, origin) if account else _registered(db, desk, found, origin))
        try:
            await db.commit()
        except IntegrityError:  # registered by another link a moment ago
            raise LinkInvalid from None
    await desk.feed.publish(*events)


async def _proved(db: AsyncSession, desk: Desk, found: Challenge, account: Account, origin: Origin) -> list[Event]:
    """The address of an account that is there; who knew its password keeps everything."""
    fresh = await accounts.locked(db, account.id)
    spent = await challenges.take(db, desk, VERIFY, found.key)
    if (
        not spent
        or not fresh
        or fresh.disabled_at
        or (fresh.email, fresh.auth_generation)
        != (
            found.data["email"],
            account.auth_generation,
        )
    ):
        raise LinkInvalid
    fresh.email_verified = True
    _recorded(db, desk, fresh, origin)
    return []


async def _registered(db: AsyncSession, desk: Desk, found: Challenge, origin: Origin) -> list[Event]:
    """The account that a link was waiting for; one that stood there unproven is taken over, emptied."""
    given: dict[str, Any] = found.data
    account = await accounts.locked_by_email(db, given["email"])
    if not await challenges.take(db, desk, REGISTER, found.key) or (
        account and (account.email_verified or account.disabled_at)
    ):
        raise LinkInvalid
    events: list[Event] = []
    now = desk.clock.now()
    if account is None:
        account = Account(id=ids.new(), email=given["email"], password_hash=given["hash"], created_at=now)
        db.add(account)
        audit.record(db, now, "account.registered", account_id=account.id, ip=origin.ip)
    else:
        events = await first_proof(db, desk, account, given["hash"], origin)
    account.name, account.email_verified = given["name"], True
    _recorded(db, desk, account, origin)
    return events


async def first_proof(db: AsyncSession, desk: Desk, account: Account, hashed: str, origin: Origin) -> list[Event]:
    """A new password by proof of the mailbox. What was there before an address was ever proved may be a stranger's."""
    if not account.email_verified:
        await factors.wipe(db, account.id)
    account.email_verified = True
    await challenges.drop(db, VERIFY, account.id)
    return await accounts.start_over(db, desk, account, hashed, origin)


def _recorded(db: AsyncSession, desk: Desk, account: Account, origin: Origin) -> None:
    audit.record(db, desk.clock.now(), "email.verified", account_id=account.id, ip=origin.ip)
