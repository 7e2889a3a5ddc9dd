"""The life of a session: start, refresh, end. The heart of Coatcheck; read it top to bottom (ADR 0001).

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
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, case, update
from sqlalchemy import Row as RowOf
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import access_tokens, alerts, audit, ids, refresh_tokens
from .access_tokens import Claims
from .clock import SECOND
from .db import Row
from .desk import Desk
from .errors import Problem, SessionExpired, SessionRevoked, TokenInvalid, TokenReused, Unavailable
from .judge import Standing, Verdict, judge
from .origin import Origin as Origin  # noqa: PLC0414  # the journeys' name for it
from .refresh_tokens import Door, RefreshToken
from .revocation import Event
from .tables import Account, Session

_MOST_REFUSED = 10_000  # dead sessions remembered
_LOCKED_AT_ONCE = 5_000  # sessions locked by one statement, well within the time that one may take
_AT_ONCE = 100  # sessions ended by one statement: some 8 ms of work in which this worker answers nobody else
USER_AGENT_LENGTH = 255  # characters kept of a User-Agent


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
# $7 $10 a race window begun between these is running  $8 ip  $9 user agent
#
# A new window begins with the generation that is superseded now. If nobody had seen that one used before (this refresh
# is its first use), the one before it was still good a moment ago, so the window begins with that.
_ADVANCE = """
UPDATE session SET
  generation = $2 + 1, kid = $5, rotated_at = $4, acknowledged_at = NULL, last_seen_at = $4, ip = $8, user_agent = $9,
  idle_expires_at = CASE WHEN expires_at < $6 THEN expires_at ELSE $6 END,
  window_generation = CASE WHEN window_started_at > $7 AND window_started_at < $10 THEN window_generation
    WHEN acknowledged_at IS NULL AND $2 > 0 THEN $2 - 1 ELSE $2 END,
  window_started_at = CASE WHEN window_started_at > $7 AND window_started_at < $10 THEN window_started_at ELSE $4 END
WHERE id = $1 AND nonce_hash = $3 AND ended_at IS NULL AND idle_expires_at > $4 AND expires_at > $4
  AND EXISTS (SELECT 1 FROM account WHERE account.id = session.account_id AND account.disabled_at IS NULL)
  AND generation {compared} $2
RETURNING account_id, generation, kid, auth_time, auth_methods, idle_expires_at,
  (SELECT roles FROM account WHERE account.id = session.account_id) AS roles
"""
_ADVANCE_CURRENT = _ADVANCE.format(compared="=")
_ADVANCE_RESTORED = _ADVANCE.format(compared="<")

_STANDING = """
SELECT session.account_id, device_id, nonce_hash, kid, generation, acknowledged_at, window_generation, auth_methods,
  window_started_at, idle_expires_at, expires_at, ended_at, end_reason, reused_generation, auth_time, disabled_at,
  roles, (SELECT name FROM device WHERE device.id = session.ended_by) AS ended_by
FROM session JOIN account ON account.id = session.account_id
WHERE session.id = $1
"""


async def refresh(desk: Desk, door: Door, text: str, origin: Origin) -> Pair:
    """Rotate, or repeat an answer already given.

    Raises TokenInvalid, SessionExpired, SessionRevoked, TokenReused, RateLimited, Unavailable. RFC 9700 section 4.14.2.
    """
    token = refresh_tokens.read(desk.roots, text, door)
    desk.throttle.refresh(token.session_id)
    if row := await _advance(desk, token, _ADVANCE_CURRENT, origin):
        desk.counts["refresh", "current"] += 1
    return _pair(desk, token, row or await _explain(desk, token, origin))


def _race_window(desk: Desk) -> int:
    """In milliseconds; wider while the moments it is measured by may be wrong: never to a guest's harm."""
    return desk.settings.race_window * SECOND + desk.clock.doubt()


async def _advance(desk: Desk, token: RefreshToken, statement: str, origin: Origin) -> Row | None:
    now, window = desk.clock.now(), _race_window(desk)
    return await desk.db.hot.fetch_one(
        statement,
        token.session_id,
        token.generation,
        token.nonce_hash,
        now,
        desk.roots.writing,
        now + desk.settings.idle_ms(token.door),
        now - window,
        origin.ip,
        origin.user_agent[:USER_AGENT_LENGTH],
        now + window,
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
        verdict = judge(token.generation, Standing.of(row), desk.clock.now(), _race_window(desk))
        desk.counts["refresh", verdict.name.lower()] += 1
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
        if not events and _first_refusal(desk, token.session_id):
            audit.record(db, now, "refresh.refused", **who, ip=origin.ip, code=problem.code)
        if events and verdict is Verdict.REUSED:
            audit.record(db, now, "token.reused", **who, ip=origin.ip, user_agent=origin.user_agent[:USER_AGENT_LENGTH])
            data = {"session_id": ids.text("ses", token.session_id), "ip": origin.ip}
            await alerts.tell(db, desk, row["account_id"], "token_reused", origin, token.session_id)
            events.insert(0, Event("token.reused", row["account_id"], token.session_id, data))
        await db.commit()
    await desk.feed.publish(*events)
    return problem


def _first_refusal(desk: Desk, session_id: bytes) -> bool:
    """A client that keeps knocking with a dead token is written down once a worker, or it would bury all else."""
    if session_id in desk.refused:
        return False
    if len(desk.refused) >= _MOST_REFUSED:
        del desk.refused[next(iter(desk.refused))]
    desk.refused[session_id] = None
    return True


async def _end_if_due(
    db: AsyncSession, desk: Desk, verdict: Verdict, token: RefreshToken, origin: Origin
) -> list[Event]:
    """The endings this verdict brings about; none if somebody, of several at once, was quicker."""
    own = col(Session.id) == token.session_id
    match verdict:
        case Verdict.REUSED:
            return await end(db, desk, own, "reused", origin.ip, reused_generation=token.generation)
        case Verdict.EXPIRED:
            return await end(db, desk, own, "expired", origin.ip)
        case _:
            return []


async def described(desk: Desk, account_id: bytes, session_id: bytes) -> tuple[Account, Session]:
    """The rows of who is signed in. Raises SessionRevoked."""
    async with desk.db.reading() as db:
        account, session = await db.get(Account, account_id), await db.get(Session, session_id)
    if account is None or session is None:
        raise SessionRevoked
    return account, session


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
    signed = access_tokens.write(desk.settings, desk.keys, replace(claims, expires_at=expires_at), now)
    expires_in = max(0, expires_at // SECOND - now // SECOND)
    return Pair(signed, refresh_token, expires_in, claims.account_id, claims.session_id)


# -- end -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """The session that ends others, or itself, and the device it is on."""

    session_id: bytes
    device_id: bytes
    device_name: str


async def end(
    db: AsyncSession,
    desk: Desk,
    which: ColumnElement[bool] | bool,
    reason: str,
    ip: str | None,
    *,
    actor: Actor | None = None,
    reused_generation: int | None = None,
) -> list[Event]:
    """End the living sessions among `which`; the caller commits, then publishes the events given back.

    However many there are: `_AT_ONCE` at a time, named by their ids, so that no plan of the database makes it long.
    Rows are locked in the order of their ids, as presence does: no deadlock. An actor's own session is `signed_out`,
    and one already past its life is written down as that, whatever ended it now.
    """
    now = desk.clock.now()
    living = col(Session.ended_at).is_(None)
    locked = select(Session.id).where(which, living).order_by(col(Session.id)).limit(_LOCKED_AT_ONCE).with_for_update()
    why = case(
        (col(Session.expires_at) <= now, "expired"),
        (col(Session.idle_expires_at) <= now, "idle"),
        (col(Session.id) == (actor.session_id if actor else b""), "signed_out"),
        else_=reason,
    )
    values = {"ended_at": now, "end_reason": why, "reused_generation": reused_generation}
    statement = (
        update(Session)
        .where(living)
        .values(**values, ended_by=actor.device_id if actor else None)
        .returning(col(Session.id), col(Session.account_id), col(Session.device_id), col(Session.end_reason))
        .execution_options(synchronize_session=False)
    )
    events: list[Event] = []
    by = actor.device_name if actor else None
    while found := list(await db.exec(locked)):
        for start in range(0, len(found), _AT_ONCE):
            piece = found[start : start + _AT_ONCE]
            ended = (await db.exec(statement.where(col(Session.id).in_(piece)))).all()
            await audit.record_endings(db, now, ip, ended, by)
            events += _events(now, ended, by)
        if len(found) < _LOCKED_AT_ONCE:
            break
    return events


async def has_ended(db: AsyncSession, session_id: bytes) -> bool:
    """Whether a session has ended, as this transaction sees it."""
    query = select(Session.id).where(Session.id == session_id, col(Session.ended_at).is_(None))
    return (await db.exec(query)).first() is None


def _events(now: int, ended: Sequence[RowOf[Any]], ended_by: str | None) -> list[Event]:
    events = []
    for session_id, account_id, _, reason in map(tuple, ended):
        data = {"session_id": ids.text("ses", session_id), "reason": reason, "ended_by": ended_by}
        events.append(Event("session.ended", account_id, session_id, data, now))
    return events
