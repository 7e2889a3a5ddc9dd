"""Devices: recognise one at sign-in, list them, rename one, sign out one, the others, all.

A device is recognised by a 256-bit secret it keeps (native: `device_token`; browsers: a cookie); the row has its
SHA-256. Nothing else identifies a device: two browsers with the same User-Agent are two devices.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from re import compile as pattern

from sqlalchemy import ColumnElement, and_, func, not_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from ua_parser import BestAvailableResolver, Cache, CachingResolver, Domain, load_lazy_builtins

from . import audit, challenges, ids, refresh_tokens, sessions
from .desk import Desk
from .errors import NotFound
from .refresh_tokens import Door
from .sessions import Actor, Origin
from .tables import Device, Session

_SECRET = pattern(r"cct_d_[A-Za-z0-9_-]{43}")
_MOST_HELD = 5  # accounts for which one browser is remembered
_ENDED_SHOWN = 30 * 86_400_000  # milliseconds
_MOST_LISTED = 500  # sessions, living and ended each: more is no list a person reads
_READ_AT_ONCE = 500  # devices read by one statement
_AGENT_LENGTH = 512  # characters of a User-Agent that are parsed
_KNOWN = """
SELECT device.id FROM device JOIN account ON account.id = device.account_id
WHERE account.email = $1 AND device.secret_hash IN ($2, $3, $4, $5, $6)
"""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a client says of its device at sign-in; `keep`: its owner wants to stay signed in on it (web door)."""

    name: str | None = None
    platform: str | None = None
    secret: str | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """A device with its sessions, as its owner sees it."""

    device: Device
    sessions: list[Session]
    last_seen_at: int
    current: bool
    ended_by: dict[bytes, str]  # name of the device that ended one of these sessions, by session id


async def recognise(
    db: AsyncSession, account_id: bytes, hint: Hint, door: Door, origin: Origin, now: int
) -> tuple[Device, str]:
    """The device's row, made if it is new, and the secret the client shall keep. The caller holds the account's lock.

    Each account has a secret of its own, made at its first sign-in there; a browser's cookie holds those of several.
    Hence nobody can plant one he knows: by signing in on a browser before its owner does, say.
    """
    held = _held(hint)
    family, platform = _agent(origin.user_agent)
    name = hint.name or family or (f"App on {hint.platform}" if hint.platform else "Unknown device")
    if held:
        query = select(Device).where(
            Device.account_id == account_id, col(Device.secret_hash).in_([_hash(secret) for secret in held])
        )
        if device := (await db.exec(query)).first():
            if not device.named_by_person:
                device.name = name
            device.platform = hint.platform or platform
            own = next(secret for secret in held if _hash(secret) == device.secret_hash)
            return device, _kept(door, own, held)
    secret = f"cct_d_{secrets.token_urlsafe(32)}"
    device = Device(
        id=ids.new(),
        account_id=account_id,
        secret_hash=_hash(secret),
        name=name,
        platform=hint.platform or platform,
        created_at=now,
    )
    db.add(device)
    await db.flush()
    return device, _kept(door, secret, held)


def _held(hint: Hint) -> list[str]:
    """The secrets that a client presents: an app its one, a browser's cookie one an account, the last used first."""
    return [secret for secret in (hint.secret or "").split(".")[:_MOST_HELD] if _SECRET.fullmatch(secret)]


def _kept(door: Door, secret: str, held: list[str]) -> str:
    """What the client shall keep now."""
    others = [] if door is Door.NATIVE else [other for other in held if other != secret]
    return ".".join([secret, *others][:_MOST_HELD])


async def known(desk: Desk, account_id: bytes, hint: Hint) -> bytes | None:
    """The id of the account's device that holds this secret."""
    async with desk.db.reading() as db:
        return await known_here(db, account_id, hint)


async def known_here(db: AsyncSession, account_id: bytes, hint: Hint) -> bytes | None:
    """The same, in the caller's transaction."""
    if not (held := _held(hint)):
        return None
    query = select(Device.id).where(
        Device.account_id == account_id, col(Device.secret_hash).in_([_hash(secret) for secret in held])
    )
    return (await db.exec(query)).first()


async def known_by_address(desk: Desk, email: str, hint: Hint) -> bytes | None:
    """The id of the device that holds this secret, of the account with this address."""
    if not (held := _held(hint)):
        return None
    held += held[:1] * (_MOST_HELD - len(held))
    row = await desk.db.hot.fetch_one(_KNOWN, email, *map(_hash, held))
    return bytes(row["id"]) if row else None


async def of_session(desk: Desk, session_id: bytes) -> bytes | None:
    """The id of the device that a session is on."""
    async with desk.db.reading() as db:
        return (await db.exec(select(Session.device_id).where(Session.id == session_id))).first()


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _agent(user_agent: str) -> tuple[str | None, str | None]:
    """`Firefox on Linux` and `linux`, as far as the User-Agent tells."""
    parsed = _parser()(user_agent[:_AGENT_LENGTH], Domain.USER_AGENT | Domain.OS)
    browser = parsed.user_agent.family if parsed.user_agent else None
    system = parsed.os.family if parsed.os else None
    label = " on ".join(part for part in (browser, system) if part) or None
    return label, system.lower() if system else None


@cache
def _parser() -> CachingResolver:
    """Without the names of phone models, which nobody asks for: 6 MB instead of 27 (measured)."""
    browsers, systems, _ = load_lazy_builtins()
    return CachingResolver(BestAvailableResolver((browsers, systems, [])), Cache(200))


async def tickets(
    desk: Desk, account_id: bytes, session_id: bytes, ended: bool, device_id: bytes | None = None
) -> list[Ticket]:
    """The account's devices, current first, then by last seen; with `ended`, ended sessions and their devices too."""
    await desk.presence.flush()
    now = desk.clock.now()
    async with desk.db.reading() as db:
        query = select(Session).where(Session.account_id == account_id).order_by(col(Session.last_seen_at).desc())
        if device_id:
            query = query.where(Session.device_id == device_id)
        living = (col(Session.ended_at).is_(None), col(Session.idle_expires_at) > now)
        rows = list(await db.exec(query.where(*living).limit(_MOST_LISTED)))
        if ended:
            recent = func.coalesce(Session.ended_at, Session.idle_expires_at) > now - _ENDED_SHOWN
            rows += list(await db.exec(query.where(not_(and_(*living)), recent).limit(_MOST_LISTED)))
        # After the sessions: somebody may sign in on a new device between the two.
        devices = {row.id: row for row in await _read(db, account_id, {row.device_id for row in rows})}
        actors = await names(db, account_id, (row.ended_by for row in rows))
    ended_by = {row.id: actors[row.ended_by] for row in rows if row.ended_by in actors}
    held: dict[bytes, list[Session]] = {}
    for row in rows:
        held.setdefault(row.device_id, []).append(_with_end(row, now))
    # Without those that cleanup has deleted between the two reads.
    found = [_ticket(devices[one], own, session_id, ended_by) for one, own in held.items() if one in devices]
    return sorted(found, key=lambda ticket: (not ticket.current, -ticket.last_seen_at))


async def ticket(desk: Desk, account_id: bytes, session_id: bytes, device_id: bytes) -> Ticket:
    """One device with its living sessions. Raises NotFound."""
    if found := await tickets(desk, account_id, session_id, ended=False, device_id=device_id):
        return found[0]
    async with desk.db.reading() as db:
        device = await _own(db, account_id, device_id)
    return Ticket(device, [], device.created_at, False, {})


async def names(db: AsyncSession, account_id: bytes, wanted: Iterable[bytes | None]) -> dict[bytes, str]:
    """Names of those devices of the account, by id; None and what is gone are left out."""
    return {row.id: row.name for row in await _read(db, account_id, {one for one in wanted if one})}


async def _read(db: AsyncSession, account_id: bytes, wanted: set[bytes]) -> list[Device]:
    """Those devices and no others: an account may have very many."""
    found: list[Device] = []
    ordered = sorted(wanted)
    for start in range(0, len(ordered), _READ_AT_ONCE):
        piece = col(Device.id).in_(ordered[start : start + _READ_AT_ONCE])
        found += await db.exec(select(Device).where(Device.account_id == account_id, piece))
    return found


def _with_end(row: Session, now: int) -> Session:
    """A session that ran out is over, whether or not somebody has written it down yet."""
    if row.ended_at is None and now >= row.idle_expires_at:
        row.ended_at = row.idle_expires_at
        row.end_reason = "expired" if row.idle_expires_at >= row.expires_at else "idle"
    return row


def _ticket(device: Device, own: Sequence[Session], session_id: bytes, names: dict[bytes, str]) -> Ticket:
    current = any(row.id == session_id for row in own)
    ordered = sorted(own, key=lambda row: (row.id != session_id, row.ended_at is not None, -row.last_seen_at))
    return Ticket(device, ordered, max(row.last_seen_at for row in own), current, names)


async def rename(desk: Desk, account_id: bytes, device_id: bytes, name: str, origin: Origin) -> None:
    """Give a device a name that stays whatever later sign-ins send. Raises NotFound."""
    async with desk.db.writing() as db:
        device = await _own(db, account_id, device_id)
        device.name, device.named_by_person = name, True
        who = {"account_id": account_id, "device_id": device_id, "ip": origin.ip}
        audit.record(db, desk.clock.now(), "device.renamed", **who, name=name)  # type: ignore[arg-type]
        await db.commit()


async def sign_out_device(desk: Desk, account_id: bytes, session_id: bytes, device_id: bytes, origin: Origin) -> None:
    """End every session on one device. Raises NotFound for another account's."""
    async with desk.db.writing() as db:
        await _own(db, account_id, device_id)
        await _end(desk, db, session_id, col(Session.device_id) == device_id, origin)


async def sign_out_session(desk: Desk, account_id: bytes, session_id: bytes, target: bytes, origin: Origin) -> None:
    """End one session; one that has ended already is no error. Raises NotFound for another account's."""
    async with desk.db.writing() as db:
        row = await db.get(Session, target)
        if row is None or row.account_id != account_id:
            raise NotFound
        await _end(desk, db, session_id, col(Session.id) == target, origin)


async def sign_out_everywhere(desk: Desk, account_id: bytes, session_id: bytes, keep: bool, origin: Origin) -> int:
    """End all sessions of the account, but the caller's own if `keep`; how many ended."""
    which = col(Session.account_id) == account_id
    async with desk.db.writing() as db:
        await challenges.drop(
            db, "session_limit", account_id
        )  # who has proved all and only has to choose is in, nearly
        return await _end(desk, db, session_id, which & (col(Session.id) != session_id) if keep else which, origin)


async def sign_out_self(desk: Desk, session_id: bytes, origin: Origin) -> None:
    """End the caller's own session."""
    async with desk.db.writing() as db:
        await _end(desk, db, session_id, col(Session.id) == session_id, origin)


async def sign_out(desk: Desk, door: Door, refresh_token: str, origin: Origin) -> None:
    """End the session a refresh token belongs to, whatever its generation. Raises TokenInvalid."""
    token = refresh_tokens.read(desk.roots, refresh_token, door)
    async with desk.db.writing() as db:
        row = await db.get(Session, token.session_id)
        if row is not None and row.nonce_hash == token.nonce_hash:
            await _end(desk, db, row.id, col(Session.id) == row.id, origin)


async def _end(desk: Desk, db: AsyncSession, by: bytes, which: ColumnElement[bool], origin: Origin) -> int:
    caller = await db.get(Session, by)
    device = await db.get(Device, caller.device_id) if caller else None
    actor = Actor(by, device.id, device.name) if device else None
    events = await sessions.end(db, desk, which, "signed_out_elsewhere", origin.ip, actor=actor)
    await db.commit()
    await desk.feed.publish(*events)
    if caller and not events:
        await desk.feed.tell_again(caller.account_id)
    return len(events)


async def _own(db: AsyncSession, account_id: bytes, device_id: bytes) -> Device:
    device = await db.get(Device, device_id)
    if device is None or device.account_id != account_id:
        raise NotFound
    return device
