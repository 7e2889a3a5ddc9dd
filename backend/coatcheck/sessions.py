"""The life of a session: start, refresh, end. The heart of Coatcheck; read it top to bottom (design.md section 3).

What holds, and where:
  a retry is harmless       the successor is derived from the presented token, so `REPEAT` gives the very same one
  one rotation              `_ADVANCE` is one conditional statement: twenty parallel refreshes change the row once
  a thief is caught         `judge`: a token whose successor was used is dead after the race window; presenting it ends
                            this session, and only this one
  the window never slides   a repeat writes nothing; `window_*` starts anew only after it has run out
  ended means ended         every verdict looks at `ended_at` first, inside the same statement that would rotate
  a restore signs nobody out  a token ahead of its row is genuine (its MAC says so): the row moves forward

Every journey commits once, before it answers, and publishes after the commit (revocation.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import access_tokens, audit, ids, refresh_tokens
from .access_tokens import Claims
from .clock import SECOND
from .db import Row
from .desk import Desk
from .errors import Problem, SessionExpired, SessionRevoked, TokenInvalid, TokenReused, Unavailable
from .judge import Standing, Verdict, judge
from .refresh_tokens import Door, RefreshToken
from .revocation import Event
from .tables import Account, Session

USER_AGENT_LENGTH = 255  # characters kept of a User-Agent


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from."""

    ip: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What a login or a refresh hands out; `expires_in` in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    account_id: bytes
    session_id: bytes


# -- refresh -----------------------------------------------------------------------------------------------------

# $1 session  $2 presented generation  $3 nonce hash  $4 now  $5 root secret  $6 idle end
# $7 a race window begun before this is over  $8 ip  $9 user agent
#
# A new window begins with the generation that is superseded now. If nobody had seen that one used before (this refresh
# is its first use), the one before it was still good a moment ago, so the window begins with that.
_ADVANCE = """
UPDATE session SET
  generation = $2 + 1, kid = $5, rotated_at = $4, acknowledged_at = NULL, last_seen_at = $4, ip = $8, user_agent = $9,
  idle_expires_at = CASE WHEN expires_at < $6 THEN expires_at ELSE $6 END,
  window_generation = CASE WHEN window_started_at > $7 THEN window_generation
    WHEN acknowledged_at IS NULL AND $2 > 0 THEN $2 - 1 ELSE $2 END,
  window_started_at = CASE WHEN window_started_at > $7 THEN window_started_at ELSE $4 END
WHERE id = $1 AND nonce_hash = $3 AND ended_at IS NULL AND idle_expires_at > $4 AND expires_at > $4
  AND EXISTS (SELECT 1 FROM account WHERE account.id = session.account_id AND account.disabled_at IS NULL)
  AND generation {compared} $2
RETURNING account_id, generation, kid, auth_time, auth_methods, idle_expires_at,
  (SELECT roles FROM account WHERE account.id = session.account_id) AS roles
"""
_ADVANCE_CURRENT = _ADVANCE.format(compared="=")
_ADVANCE_RESTORED = _ADVANCE.format(compared="<")

_STANDING = """
SELECT session.account_id, device_id, nonce_hash, kid, generation, acknowledged_at, window_generation,
  window_started_at, idle_expires_at, expires_at, ended_at, end_reason,
  reused_generation, auth_time, auth_methods, account.disabled_at, account.roles, device.name AS ended_by
FROM session JOIN account ON account.id = session.account_id LEFT JOIN device ON device.id = session.ended_by
WHERE session.id = $1
"""

_SUCCESSOR = """
SELECT 1 AS one FROM session AS dead JOIN session AS living
  ON living.device_id = dead.device_id AND living.door = dead.door AND living.ended_at IS NULL
WHERE dead.id = $1
"""


async def refresh(desk: Desk, door: Door, text: str, origin: Origin) -> Pair:
    """Rotate, or repeat an answer already given.

    Raises TokenInvalid, SessionExpired, SessionRevoked, TokenReused, RateLimited, Unavailable. RFC 9700 section 4.14.2.
    """
    token = refresh_tokens.read(desk.roots, text, door)
    desk.throttle.refresh(token.session_id)
    row = await _advance(desk, token, _ADVANCE_CURRENT, origin)
    if row is None:
        row = await _explain(desk, token, origin)
    return _pair(desk, token, row)


async def _advance(desk: Desk, token: RefreshToken, statement: str, origin: Origin) -> Row | None:
    now = desk.clock.now()
    return await desk.db.hot.fetch_one(
        statement,
        token.session_id,
        token.generation,
        token.nonce_hash,
        now,
        desk.roots.writing,
        now + desk.settings.idle_ms(token.door),
        now - desk.settings.race_window * SECOND,
        origin.ip,
        origin.user_agent[:USER_AGENT_LENGTH],
    )


async def _explain(desk: Desk, token: RefreshToken, origin: Origin) -> Row:
    """No row was rotated. Find out why: the row to repeat an answer from, or a refusal."""
    await desk.presence.flush()  # what this worker has seen used counts, even if it is not written yet
    for _ in range(3):
        row = await desk.db.hot.fetch_one(_STANDING, token.session_id)
        if row is None:
            raise SessionRevoked  # pruned long ago, or its account is gone
        if row["nonce_hash"] != token.nonce_hash:
            raise TokenInvalid
        verdict = judge(token.generation, Standing.of(row), desk.clock.now(), desk.settings.race_window * SECOND)
        match verdict:
            case Verdict.REPEAT:
                return row
            case Verdict.AHEAD | Verdict.CURRENT:  # CURRENT: another request moved the restored row under our feet
                ahead = _ADVANCE_RESTORED if verdict is Verdict.AHEAD else _ADVANCE_CURRENT
                if moved := await _advance(desk, token, ahead, origin):
                    return moved
            case _:
                raise await _refuse(desk, verdict, token, row, origin)
    raise Unavailable


async def _refuse(desk: Desk, verdict: Verdict, token: RefreshToken, row: Row, origin: Origin) -> Problem:
    """Write down what happened, commit, tell everybody; the caller raises what comes back."""
    match verdict:
        case Verdict.EXPIRED:
            problem: Problem = SessionExpired()
        case Verdict.ENDED:
            problem = SessionRevoked(row["end_reason"], row["ended_by"])
        case _:
            problem = TokenReused()
    who = {"account_id": row["account_id"], "session_id": token.session_id, "device_id": row["device_id"]}
    async with desk.db.writing() as db:
        events = await _end_if_due(db, desk, verdict, token, origin)
        now = desk.clock.now()
        if not events:
            audit.record(db, now, "refresh.refused", **who, ip=origin.ip, code=problem.code)
        elif verdict is Verdict.REUSED:
            audit.record(db, now, "token.reused", **who, ip=origin.ip, user_agent=origin.user_agent[:USER_AGENT_LENGTH])
            data = {"session_id": ids.text("ses", token.session_id), "ip": origin.ip}
            events.insert(0, Event("token.reused", row["account_id"], token.session_id, data))
        await db.commit()
    await desk.feed.publish(*events)
    return problem


async def _end_if_due(
    db: AsyncSession, desk: Desk, verdict: Verdict, token: RefreshToken, origin: Origin
) -> list[Event]:
    """The endings this verdict brings about; none if somebody, of several at once, was quicker."""
    match verdict:
        case Verdict.REUSED:
            return await end(db, desk, [token.session_id], "reused", origin.ip, reused_generation=token.generation)
        case Verdict.EXPIRED:
            return await end(db, desk, [token.session_id], "expired", origin.ip)
        case _:
            return []


async def described(desk: Desk, pair: Pair) -> tuple[Account, Session]:
    """The rows a grant is about, for the doors that tell who is signed in."""
    async with desk.db.reading() as db:
        account, session = await db.get(Account, pair.account_id), await db.get(Session, pair.session_id)
    if account is None or session is None:
        raise SessionRevoked
    return account, session


async def has_successor(desk: Desk, door: Door, text: str) -> bool:
    """Whether the device of a dead session has a living one at the same door."""
    token = refresh_tokens.read(desk.roots, text, door)
    return await desk.db.hot.fetch_one(_SUCCESSOR, token.session_id) is not None


def _pair(desk: Desk, token: RefreshToken, row: Row) -> Pair:
    """The grant at the row's generation. Its root secret is the one that generation was made under, so that a repeat
    is the same to the letter even while root secrets change."""
    kid = row["kid"] if row["kid"] in desk.roots else desk.roots.writing
    successor = refresh_tokens.write(desk.roots, token.at(row["generation"], kid))
    return grant(
        desk,
        successor,
        Claims(
            account_id=row["account_id"],
            session_id=token.session_id,
            door=token.door,
            generation=row["generation"],
            roles=tuple(row["roles"].split()),
            auth_methods=tuple(row["auth_methods"].split()),
            auth_time=row["auth_time"],
            expires_at=row["idle_expires_at"],
        ),
    )


def grant(desk: Desk, refresh_token: str, claims: Claims) -> Pair:
    """An access token beside a refresh token; it never outlives the session (`claims.expires_at`)."""
    now = desk.clock.now()
    expires_at = min(now + desk.settings.access_ttl * SECOND, claims.expires_at)
    signed = access_tokens.write(desk.settings, desk.keys, _until(claims, expires_at), now)
    expires_in = max(0, expires_at // SECOND - now // SECOND)
    return Pair(signed, refresh_token, expires_in, claims.account_id, claims.session_id)


def _until(claims: Claims, expires_at: int) -> Claims:
    return Claims(
        claims.account_id,
        claims.session_id,
        claims.door,
        claims.generation,
        claims.roles,
        claims.auth_methods,
        claims.auth_time,
        expires_at,
    )


# -- end -----------------------------------------------------------------------------------------------------------


async def end(
    db: AsyncSession,
    desk: Desk,
    session_ids: Sequence[bytes],
    reason: str,
    ip: str | None,
    *,
    by_device: bytes | None = None,
    by_name: str | None = None,
    reused_generation: int | None = None,
) -> list[Event]:
    """End those of these sessions that live; the caller commits, then publishes the events given back.

    A session already past its idle or absolute life is written down as such, whatever ended it now.
    """
    if not session_ids:
        return []
    now = desk.clock.now()
    # Locked in the order of ids, as presence does: no deadlock.
    living = select(Session).where(col(Session.id).in_(session_ids), col(Session.ended_at).is_(None))
    events = []
    for row in await db.exec(living.order_by(col(Session.id)).with_for_update()):
        over = "expired" if now >= row.expires_at else "idle" if now >= row.idle_expires_at else None
        row.ended_at, row.end_reason, row.ended_by = now, over or reason, None if over else by_device
        row.reused_generation = reused_generation
        audit.record(
            db,
            now,
            "session.ended",
            account_id=row.account_id,
            session_id=row.id,
            device_id=row.device_id,
            ip=ip,
            reason=row.end_reason,
            ended_by=None if over else by_name,
        )
        data = {"session_id": ids.text("ses", row.id), "reason": row.end_reason, "ended_by": None if over else by_name}
        events.append(Event("session.ended", row.account_id, row.id, data, now))
    await db.flush()
    return events


async def living_of_account(db: AsyncSession, account_id: bytes) -> list[bytes]:
    """Ids of the account's sessions that have not ended."""
    query = select(Session.id).where(Session.account_id == account_id, col(Session.ended_at).is_(None))
    return list(await db.exec(query))
