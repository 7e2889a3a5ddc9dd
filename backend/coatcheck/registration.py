"""A new account. Where addresses must be proved first, mail decides (verification.py) and the answer tells nothing."""

from sqlalchemy.exc import IntegrityError

from . import accounts, audit, breaches, ids, passwords, verification
from .desk import Desk
from .errors import EmailTaken
from .sessions import Origin
from .tables import Account


async def register(desk: Desk, email: str, password: str, name: str | None, origin: Origin) -> Account | None:
    """Make an account, or, with REQUIRE_VERIFIED_EMAIL, have a link sent that makes it: None, whoever has the address.

    Raises InvalidRequest, WeakPassword, EmailTaken, RateLimited, Unavailable.
    """
    email = accounts.normalise_email(email)
    passwords.require_strong(password, desk.settings, email=email)
    await desk.throttle.register(origin.ip)
    if desk.settings.require_verified_email:
        await desk.throttle.mail("register", origin.ip, email)
    await breaches.require_unknown(desk, password)
    async with desk.hasher.turn() as turn:
        hashed = await turn.hash(password)
    if desk.settings.require_verified_email:
        await verification.ask_to_register(desk, email, hashed, name, origin)
        return None
    return await _made(desk, Account(id=ids.new(), email=email, name=name, password_hash=hashed, created_at=0), origin)


async def _made(desk: Desk, account: Account, origin: Origin) -> Account:
    account.created_at = now = desk.clock.now()
    may_mail = await desk.throttle.room_for_link(origin.ip, account.email)  # else they ask for one later
    async with desk.db.writing() as db:
        db.add(account)
        audit.record(db, now, "account.registered", account_id=account.id, ip=origin.ip)
        try:
            await db.flush()
            if may_mail:
                await verification.begin(db, desk, account)
            await db.commit()
        except IntegrityError:
            raise EmailTaken from None
    return account
