"""The journey that ends in a grant: address and password in, a session on a device out.

Order: refuse while the queue for hashing is full, before that costs anything; count the attempt; then take a place in
the queue (so that who is over the limit holds no place), verify (a decoy when there is no such account, so that time
tells nothing), and only then say no. The session is made under the account's lock, after checking that password and
state are still those that were verified.

Where the password is not enough, a pending sign-in (pending.py) is all that is handed out, and `verify` goes on with
it: password or passkey -> account state -> second factor -> session limit (session_limit.py) -> session.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from . import (
    accounts,
    alerts,
    audit,
    devices,
    ids,
    password_reset,
    pending,
    refresh_tokens,
    session_limit,
    sessions,
    verification,
    wrong_passwords,
)
from .access_tokens import Claims
from .desk import Desk
from .devices import Hint
from .errors import InvalidCredentials, MfaRequired, NotFound, Problem, SessionLimit
from .factors import holdings, proofs, second_step
from .factors.proofs import Answer
from .refresh_tokens import Door, RefreshToken
from .revocation import Event
from .sessions import USER_AGENT_LENGTH, Origin, Pair
from .tables import Account, Device, Session


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in hands out; the door decides which parts travel how."""

    pair: Pair
    account: Account
    session: Session
    device_secret: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """Who wants in, where, and with what proved (RFC 8176 values)."""

    door: Door
    hint: Hint
    origin: Origin
    methods: tuple[str, ...]
    proved_at: int


_Outcome = tuple[Grant, list[Event]] | Problem  # a problem that a committed challenge goes with


async def sign_in(
    desk: Desk, door: Door, email: str, password: str, hint: Hint, origin: Origin, reset_token: str | None = None
) -> Grant:
    """Sign in with the password. `reset_token` is the token of the link by which the password was just set.

    Raises InvalidCredentials, InvalidRequest, MfaRequired, SessionLimit, RateLimited, Unavailable.
    """
    email = accounts.normalise_email(email)
    known_by = await _known_by(desk, email, hint, reset_token)
    account, better_hash = await _verify(desk, email, password, known_by, origin)
    now = desk.clock.now()
    async with desk.db.writing() as db:
        current = await accounts.locked(db, account.id)
        if current is None or current.auth_generation != account.auth_generation or current.disabled_at is not None:
            raise InvalidCredentials
        if better_hash:
            current.password_hash = better_hash
        outcome = await _after_password(db, desk, _Entry(door, hint, origin, ("pwd",), now), current)
        await db.commit()
    return await _told(desk, outcome)


async def verify(desk: Desk, door: Door, token: str, answer: Answer, hint: Hint, origin: Origin) -> Grant:
    """Go on with a pending sign-in, or begin and end one with a passkey (`hint` is for that).

    Raises ChallengeExpired, InvalidCredentials, SessionLimit, NotFound, RateLimited, Unavailable.
    """
    if answer.method == "sign_out":
        return await _give_up(desk, door, token, answer.session_id or b"", origin)
    waiting, proof = await second_step.check(desk, "sign_in", door.value, token, answer, hint, origin)
    outcome: _Outcome | None = None
    now = desk.clock.now()
    async with desk.db.writing() as db:
        account = await pending.finish(db, desk, "sign_in", waiting)
        if await proof.spend(db):
            entry = _Entry(door, waiting.hint, origin, proofs.together(waiting.methods, proof.methods), now)
            outcome = await _admit(db, desk, entry, account)
            await db.commit()
    if outcome is None:  # undone: the sign-in is still pending, for the next code
        raise await proofs.failed(desk, waiting.account_id, answer.method, origin.ip)
    return await _told(desk, outcome)


async def _after_password(db: AsyncSession, desk: Desk, entry: _Entry, account: Account) -> _Outcome:
    if methods := await holdings.methods(db, account.id):
        door = entry.door.value
        return MfaRequired(await pending.begin(db, desk, "sign_in", account, door, entry.methods, entry.hint), methods)
    return await _admit(db, desk, entry, account)


async def _admit(db: AsyncSession, desk: Desk, entry: _Entry, account: Account) -> _Outcome:
    """Everything is proved, under the account's lock. Is there room?"""
    if not verification.suffices(desk, account):
        return InvalidCredentials()
    left = await session_limit.make_room(db, desk, account.id, entry.door, entry.hint, entry.origin.ip)
    if left is not None:
        grant, events = await _start(db, desk, entry, account)
        return grant, [*left, *events]
    if desk.settings.session_limit_policy == "refuse":
        return SessionLimit()
    token = await pending.begin(
        db, desk, "session_limit", account, entry.door.value, entry.methods, entry.hint, entry.proved_at
    )
    return SessionLimit(token, account.id)


async def _give_up(desk: Desk, door: Door, token: str, session_id: bytes, origin: Origin) -> Grant:
    """End one session of the account for the new one. Should that not be room enough, it goes on with the next."""
    waiting = await pending.peek(desk, "session_limit", token, door.value)
    async with desk.db.writing() as db:
        account = await pending.finish(db, desk, "session_limit", waiting)
        row = await db.get(Session, session_id)
        if row is None or row.account_id != account.id:
            raise NotFound  # undone: the choice is still open
        events = await sessions.end(db, desk, col(Session.id) == session_id, "limit", origin.ip)
        entry = _Entry(door, waiting.hint, origin, waiting.methods, waiting.proved_at)
        outcome = await _admit(db, desk, entry, account)
        await db.commit()
    await desk.feed.publish(*events)
    return await _told(desk, outcome)


async def _told(desk: Desk, outcome: _Outcome) -> Grant:
    if isinstance(outcome, SessionLimit) and outcome.challenge_token:
        outcome.devices = await devices.tickets(desk, outcome.account_id, b"", ended=False)
    if isinstance(outcome, Problem):
        raise outcome
    grant, events = outcome
    await desk.feed.publish(*events)
    return grant


async def _known_by(desk: Desk, email: str, hint: Hint, reset_token: str | None) -> str:
    """What tells this client from strangers: a device of the account, else a reset link just used, else nothing."""
    desk.hasher.require_room()
    if device_id := await devices.known_by_address(desk, email, hint):
        return device_id.hex()
    key = await password_reset.used_link(desk, email, reset_token) if reset_token else None
    return key.hex() if key else ""


async def _verify(desk: Desk, email: str, password: str, known_by: str, origin: Origin) -> tuple[Account, str | None]:
    async with desk.throttle.login(origin.ip, email, known_by) as attempt, desk.hasher.turn() as turn:
        account = await accounts.find(desk, email)
        fits, better_hash = await turn.verify(password, account.password_hash if account else None)
        if account and fits and account.disabled_at is None and verification.suffices(desk, account):
            return account, better_hash
        attempt.failed = True
    if account and fits:
        await verification.remind(desk, account, origin)
    await wrong_passwords.record(desk, account.id if account else None, origin)
    raise InvalidCredentials


async def _start(db: AsyncSession, desk: Desk, entry: _Entry, account: Account) -> tuple[Grant, list[Event]]:
    """The session's row, and the end of the one it replaces: one living session a device and door."""
    now, door, hint, origin = desk.clock.now(), entry.door, entry.hint, entry.origin
    device, device_secret = await devices.recognise(db, account.id, hint, door, origin, now)
    older = (col(Session.device_id) == device.id) & (col(Session.door) == door.value)
    events = await sessions.end(db, desk, older, "replaced", origin.ip)
    nonce = secrets.token_bytes(16)
    session = _new_session(desk, entry, account, device, nonce, now)
    db.add(session)
    audit.record(
        db,
        now,
        "session.started",
        account_id=account.id,
        session_id=session.id,
        device_id=device.id,
        ip=origin.ip,
        door=door.value,
        device=device.name,
    )
    await alerts.new_device(db, desk, device, session.id, origin)
    data = {"session_id": ids.text("ses", session.id), "device": device.name, "door": door.value}
    events.append(Event("session.started", account.id, session.id, data))
    return Grant(_first_pair(desk, door, account, session, nonce), account, session, device_secret), events


def _new_session(desk: Desk, entry: _Entry, account: Account, device: Device, nonce: bytes, now: int) -> Session:
    door, origin = entry.door, entry.origin
    idle, longest = desk.settings.lives_ms(door, entry.hint.keep)
    return Session(
        id=ids.new(),
        account_id=account.id,
        device_id=device.id,
        door=door.value,
        nonce_hash=sha256(nonce).digest(),
        kid=desk.roots.writing,
        rotated_at=now,
        created_at=now,
        auth_time=entry.proved_at,
        auth_methods=" ".join(entry.methods),
        last_seen_at=now,
        idle_expires_at=now + min(idle, longest),
        expires_at=now + longest,
        ip=origin.ip,
        user_agent=origin.user_agent[:USER_AGENT_LENGTH],
    )


def _first_pair(desk: Desk, door: Door, account: Account, session: Session, nonce: bytes) -> Pair:
    token = RefreshToken(door, session.kid, session.id, session.generation, nonce)
    claims = Claims(
        account_id=account.id,
        session_id=session.id,
        door=door.value,
        generation=session.generation,
        roles=tuple(account.roles.split()),
        auth_methods=tuple(session.auth_methods.split()),
        auth_time=session.auth_time,
        expires_at=session.idle_expires_at,
    )
    return sessions.grant(desk, refresh_tokens.write(desk.roots, token), claims)
