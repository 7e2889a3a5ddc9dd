"""A forgotten password: a link by mail, and a new password by that link. It never signs in.

The link is good for 15 minutes, once, and only the newest; the database has its hash. Asking takes the same writes for
an address that nobody has, so neither the answer nor its time tells. What the link proves is the mailbox, and no more:
the second factor stays as it is
(ASVS 6.4.3; the exception: factors/disputes.py), every session ends, what was pending dies with `auth_generation`.

For 15 minutes after its use the link's token still proves one thing: a sign-in with it comes from the person who has
the mailbox, so failures of unknown devices don't hold it up (ADR 0014).
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, alerts, audit, breaches, challenges, mail, passwords, verification
from .clock import MINUTE
from .desk import Desk
from .errors import LinkInvalid
from .factors import disputes
from .sessions import Origin
from .tables import Account

PURPOSE, USED = "password.reset", "password.reset_used"
LIFE, USED_LIFE = 15 * MINUTE, 15 * MINUTE


async def ask(desk: Desk, email: str, origin: Origin) -> None:
    """Have a link sent, if there is somebody to send it to. Raises InvalidRequest, RateLimited, Unavailable."""
    email = accounts.normalise_email(email)
    await desk.throttle.mail("reset", origin.ip, email)
    async with desk.db.writing() as db:
        await post_link(db, desk, await accounts.locked_by_email(db, email), origin)
        await db.commit()


async def post_link(db: AsyncSession, desk: Desk, account: Account | None, origin: Origin) -> None:
    """Post the newest link, the only one that counts. The caller has locked the account, so that only one is newest."""
    owner = account if account and account.disabled_at is None else None
    owner_id = owner.id if owner else None
    await challenges.drop(db, PURPOSE, owner_id or b"")
    generation = owner.auth_generation if owner else 0
    token = await challenges.make(db, desk, PURPOSE, owner_id, LIFE, generation=generation)
    link = mail.link(desk.settings, "/account/reset", token)
    to = owner.email if owner else None
    mail.post(db, desk, to, "password_reset", account_id=owner_id, link=link, minutes=str(LIFE // MINUTE))
    audit.record(db, desk.clock.now(), "password.reset_asked", account_id=owner_id, ip=origin.ip)


async def confirm(desk: Desk, token: str, new: str, origin: Origin) -> None:
    """Set a new password; every session ends. Raises LinkInvalid, WeakPassword (the link is good yet), Unavailable."""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, PURPOSE, token)
        account = await db.get(Account, found.account_id) if found and found.account_id else None
    if account is None:
        raise LinkInvalid
    passwords.require_strong(new, desk.settings, "new_password", account.email)
    await breaches.require_unknown(desk, new, "new_password")
    async with desk.hasher.turn() as turn:
        hashed = await turn.hash(new)
    async with desk.db.writing() as db:
        fresh = await accounts.locked(db, account.id)
        spent = await challenges.take(db, desk, PURPOSE, token)
        if not spent or not fresh or fresh.disabled_at or spent.data["generation"] != fresh.auth_generation:
            raise LinkInvalid
        audit.record(db, desk.clock.now(), "password.reset", account_id=fresh.id, ip=origin.ip)
        await alerts.tell(db, desk, fresh.id, "password_was_reset", origin)
        events = await verification.first_proof(db, desk, fresh, hashed, origin)
        await disputes.settle(db, desk, fresh.id, origin)
        await challenges.reissue(db, desk, spent, USED, USED_LIFE, generation=fresh.auth_generation)
        await db.commit()
    await desk.feed.publish(*events)
    await desk.throttle.renew_spare_attempts(account.email)


async def used_link(desk: Desk, email: str, token: str) -> bytes | None:
    """The key of the link by which this account's password was set a moment ago, if `token` is that link's."""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, USED, token)
        account = await db.get(Account, found.account_id) if found and found.account_id else None
    if not found or not account or account.email != email or account.auth_generation != found.data["generation"]:
        return None
    return found.key
