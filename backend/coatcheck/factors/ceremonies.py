"""The two ceremonies of a passkey: registering one, and signing with one; each begins with a challenge of ours.

A challenge is deleted when it is first read, whatever comes of it, so nothing signed is ever looked at twice. One that
goes on with a pending sign-in or step-up takes only that account's passkeys; one that begins a sign-in takes any, says
nothing of any account beforehand, and wants user verification.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from .. import challenges, ids, pending, step_up
from ..challenges import Challenge
from ..desk import Desk
from ..devices import Hint
from ..errors import ChallengeExpired, Conflict, FieldError, InvalidRequest, SessionRevoked
from ..pending import Pending
from ..sessions import Origin
from ..tables import Account, Factor
from ..verified_credentials import Caller
from . import holdings, passkeys, proofs
from .passkeys import NotAccepted, Signed
from .proofs import Proof


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What the browser is given; `token` goes on."""

    token: str
    public_key: dict[str, Any]


async def begin_registration(desk: Desk, caller: Caller) -> Ceremony:
    """Raises ReauthenticationRequired, SessionRevoked."""
    step_up.require_fresh(desk, caller)
    challenge = passkeys.new_challenge()
    async with desk.db.writing() as db:
        account = await db.get(Account, caller.account_id)
        if account is None:
            raise SessionRevoked
        held = await holdings.of(db, account.id)
        data = {"challenge": challenge, "session": caller.session_id.hex(), "generation": account.auth_generation}
        token = await challenges.make(db, desk, "passkey.new", account.id, passkeys.LIFE, **data)
        await db.commit()
    return Ceremony(token, passkeys.creation_options(desk.settings, account, challenge, held.factors))


async def register(
    desk: Desk, caller: Caller, token: str, credential: dict[str, Any], name: str, origin: Origin
) -> tuple[Factor, list[str]]:
    """The new passkey, and recovery codes if it is the first factor. Raises InvalidRequest, Conflict."""
    found = await _taken(desk, "passkey.new", token)
    if found is None or found.data["session"] != caller.session_id.hex():
        raise Conflict("This took too long, or something changed meanwhile. Begin again.")
    try:
        columns = await passkeys.verify_new(desk.settings, credential, found.data["challenge"])
    except NotAccepted:
        message = "This passkey can't be used here. Try again, or use another one."
        raise InvalidRequest(errors=(FieldError("credential", "not_accepted", message),)) from None
    codes, hashes = await holdings.first_codes(desk, caller.account_id)
    now = desk.clock.now()
    own: dict[str, Any] = {
        "id": ids.new(),
        "account_id": caller.account_id,
        "method": "passkey",
        "name": name,
        "created_at": now,
    }
    factor = Factor(**own, **columns)
    async with desk.db.writing() as db:
        try:
            events = await holdings.add(db, desk, caller, factor, hashes, found.data["generation"], origin)
            await db.commit()
        except IntegrityError:
            raise Conflict("This passkey is in use already.") from None
    await desk.feed.publish(*events)
    return factor, codes


async def begin(desk: Desk, token: str | None) -> Ceremony:
    """Go on with something pending, or begin a sign-in with a passkey. Raises ChallengeExpired."""
    challenge = passkeys.new_challenge()
    waiting, purpose = await _waiting(desk, token) if token else (None, "sign_in")
    async with desk.db.writing() as db:
        held = (await holdings.of(db, waiting.account_id)).factors if waiting else None
        data = {"challenge": challenge, "after": purpose, "pending": waiting.key.hex() if waiting else None}
        account_id = waiting.account_id if waiting else None
        made = await challenges.make(db, desk, "passkey", account_id, passkeys.LIFE, **data)
        await db.commit()
    return Ceremony(made, passkeys.request_options(desk.settings, challenge, held))


async def finish(
    desk: Desk, purpose: str, place: str, token: str, credential: dict[str, Any], hint: Hint, ip: str
) -> tuple[Pending, Proof]:
    """What was pending (or begins with this passkey), and the proof. Raises ChallengeExpired, InvalidCredentials."""
    found = await _taken(desk, "passkey", token)
    if found is None:
        raise ChallengeExpired
    key = found.data["pending"]
    if key and found.data["after"] != purpose:
        raise ChallengeExpired
    waiting = await pending.peek(desk, purpose, bytes.fromhex(key), place) if key else None
    factor, account = await _holder(desk, credential)
    account_id = waiting.account_id if waiting else (account.id if account else None)
    try:
        if factor is None or account is None or account.id != account_id:
            raise NotAccepted
        if passkeys.user_of(credential) not in ((account.id,) if waiting is None else (None, account.id)):
            raise NotAccepted
        signed = await passkeys.verify(desk.settings, credential, found.data["challenge"], factor)
        if waiting is None and not signed.user_verified:
            raise NotAccepted
    except NotAccepted:
        raise await proofs.failed(desk, account_id, "passkey", ip) from None
    waiting = waiting or Pending(b"", account.id, account.auth_generation, place, (), hint)
    return waiting, _proof(desk, factor, signed)


async def _taken(desk: Desk, purpose: str, token: str) -> Challenge | None:
    async with desk.db.writing() as db:
        found = await challenges.take(db, desk, purpose, token)
        await db.commit()
    return found


async def _waiting(desk: Desk, token: str) -> tuple[Pending, str]:
    try:
        return await pending.peek(desk, "sign_in", token), "sign_in"
    except ChallengeExpired:
        return await pending.peek(desk, "step_up", token), "step_up"


async def _holder(desk: Desk, credential: dict[str, Any]) -> tuple[Factor | None, Account | None]:
    try:
        wanted = passkeys.id_of(credential)
    except NotAccepted:
        return None, None
    async with desk.db.reading() as db:
        factor = (await db.exec(select(Factor).where(Factor.credential_id == wanted))).first()
        return factor, await db.get(Account, factor.account_id) if factor else None


def _proof(desk: Desk, factor: Factor, signed: Signed) -> Proof:
    """Spending it moves the counter. One that stands still or goes back was copied, or its copy was used."""

    async def spend(db: AsyncSession) -> bool:
        counts = col(Factor.sign_count)
        fits = (counts < signed.sign_count) | ((counts == 0) & (signed.sign_count == 0)) | col(Factor.synced).is_(True)
        values = {"sign_count": signed.sign_count, "backed_up": signed.backed_up, "last_used_at": desk.clock.now()}
        moved = update(Factor).where(col(Factor.id) == factor.id, fits).values(values).returning(col(Factor.id))
        done = await db.exec(moved.execution_options(synchronize_session=False))
        return done.first() is not None

    return Proof(passkeys.methods(factor, signed), spend)
