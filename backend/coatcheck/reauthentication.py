"""The journey that ends in a fresh proof (step_up.py): the password, and the second factor of who has one.

Like a sign-in: the right password of an account with a factor gives a challenge, not a proof. A passkey that verifies
its user is both at once.
"""

from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, devices, pending, step_up
from .desk import Desk
from .devices import Hint
from .errors import MfaRequired, Unauthenticated
from .factors import holdings, proofs, second_step
from .factors.proofs import Answer, Proof
from .pending import Pending
from .sessions import Origin
from .step_up import Renewed
from .tables import Account
from .verified_credentials import Caller


async def by_password(desk: Desk, caller: Caller, cookie: str | None, password: str, origin: Origin) -> Renewed:
    """Prove it with the password; `cookie` is the web door's. Counted and written down like a sign-in.

    Raises InvalidCredentials, MfaRequired, RateLimited, SessionRevoked, Conflict, Unavailable.
    """
    async with desk.db.reading() as db:
        account = await db.get(Account, caller.account_id)
    if account is None or not account.password_hash:  # closed a moment ago
        raise Unauthenticated
    async with (
        desk.throttle.login(origin.ip, account.email, caller.session_id.hex()) as attempt,
        desk.hasher.turn() as turn,
    ):
        fits, _ = await turn.verify(password, account.password_hash)
        attempt.failed = not fits
    if not fits:
        raise await step_up.failed(desk, caller, origin)
    async with desk.db.writing() as db:
        if methods := await holdings.methods(db, account.id):
            place = caller.session_id.hex()
            token = await pending.begin(db, desk, "step_up", account, place, ("pwd",), Hint())
            await db.commit()
            raise MfaRequired(token, methods)
    return await step_up.proved(desk, caller, cookie, ("pwd",), account.auth_generation, origin)


async def by_factor(
    desk: Desk, caller: Caller, cookie: str | None, token: str, answer: Answer, origin: Origin
) -> Renewed:
    """Prove it with the second factor, after the password; or with a passkey alone that verifies its user.

    Raises ChallengeExpired, InvalidCredentials, RateLimited, SessionRevoked, Conflict, Unavailable.
    """
    place = caller.session_id.hex()
    device_id = await devices.of_session(desk, caller.session_id)
    waiting, proof = await second_step.check(desk, "step_up", place, token, answer, Hint(), origin, device_id)
    if waiting.account_id != caller.account_id:  # somebody else's passkey
        raise await proofs.failed(desk, caller.account_id, answer.method, origin.ip)
    methods = proofs.together(waiting.methods, proof.methods)
    spend = partial(_spend, desk=desk, waiting=waiting, proof=proof, method=answer.method)
    return await step_up.proved(desk, caller, cookie, methods, waiting.auth_generation, origin, spend)


async def by_changing_password(
    desk: Desk, caller: Caller, cookie: str | None, current: str, new: str, origin: Origin
) -> Renewed | None:
    """Change the password. The web door's cookie is renewed, and the old one dies like other sessions.

    None for the other doors, whose refresh tokens are renewed at each use anyway, and where the cookie has been renewed
    by somebody else at the same moment: the old one is dead. Raises what `accounts.change_password` raises.
    """
    renewed = await accounts.change_password(desk, caller, current, new, origin)
    return await step_up.hand_out(desk, caller, cookie, renewed) if renewed else None


async def _spend(db: AsyncSession, *, desk: Desk, waiting: Pending, proof: Proof, method: str) -> None:
    await pending.finish(db, desk, "step_up", waiting)
    if not await proof.spend(db):
        raise proofs.refused(method)
