"""Who is calling: from a credential to a Caller, locally.

A credential checked once is remembered under its SHA-256, so the common case is one hash and two dictionary look-ups,
with no signature, no network, no database. A miss verifies it and acknowledges its generation. Either way the feed has
the last word on whether the session has ended; while the feed is not fresh, the session's row is read. Fails closed:
no fresh feed and no database is Unavailable, never a yes.
"""

from dataclasses import asdict

from . import access_tokens, refresh_tokens
from .access_tokens import LEEWAY, UnknownKey
from .clock import SECOND
from .desk import Desk
from .errors import Problem, SessionExpired, SessionRevoked, TokenExpired, TokenInvalid, session_ended
from .refresh_tokens import Door
from .verified_credentials import Caller, key_of

_ENDED = """
SELECT ended_at, end_reason, generation, (SELECT name FROM device WHERE device.id = session.ended_by) AS ended_by
FROM session WHERE session.id = $1
"""
_WEB = """
SELECT session.account_id, nonce_hash, generation, auth_time, auth_methods, idle_expires_at, ended_at, end_reason,
  account.disabled_at, account.roles, (SELECT name FROM device WHERE device.id = session.ended_by) AS ended_by
FROM session JOIN account ON account.id = session.account_id
WHERE session.id = $1
"""
# After a backup was restored; the row catches up with the cookie that was made after it (step_up.py).
_RESTORED = "UPDATE session SET generation = $2 WHERE id = $1 AND generation < $2 RETURNING id"


class Outdated(TokenInvalid):
    """A genuine cookie that a newer one has replaced."""

    advice = "This cookie has been replaced by a newer one."


async def by_access_token(desk: Desk, text: str, ip: str | None) -> Caller:
    """Raises TokenExpired, TokenInvalid, SessionExpired, SessionRevoked, Unavailable.

    `ip` is the owner's; None when somebody else asks.
    """
    now = desk.clock.now()
    key = key_of(text)
    caller = desk.verified_tokens.get(key)
    desk.counts["credential", "remembered" if caller else "verified"] += 1
    if caller is None:
        caller = await _verify(desk, text, now)
        desk.presence.acknowledge(caller.session_id, caller.generation, now)
        desk.verified_tokens.remember(key, caller)
    elif now > caller.until:
        del desk.verified_tokens[key]
        raise _ended(desk, caller.session_id) or TokenExpired()
    await require_living(desk, caller)
    if ip is not None:
        desk.presence.seen(caller.session_id, ip, now)
    return caller


async def by_web_cookie(desk: Desk, text: str, ip: str) -> Caller:
    """Raises TokenInvalid, SessionExpired, SessionRevoked, Unavailable."""
    now = desk.clock.now()
    key = key_of(text)
    caller = desk.verified_cookies.get(key)
    if caller is None or now > caller.until:
        caller = await _look_up(desk, text, now)
        desk.verified_cookies.remember(key, caller)
    await require_living(desk, caller)
    desk.presence.seen(caller.session_id, ip, now)
    return caller


async def _verify(desk: Desk, text: str, now: int) -> Caller:
    try:
        claims = access_tokens.read(desk.settings, desk.keys, text, now)
    except UnknownKey as unknown:  # another worker may have begun to sign with it a moment ago
        await desk.rotation.look_for(unknown.kid)
        claims = access_tokens.read(desk.settings, desk.keys, text, now)
    return Caller(**asdict(claims), until=claims.expires_at + LEEWAY, by_cookie=False)


async def _look_up(desk: Desk, text: str, now: int) -> Caller:
    token = refresh_tokens.read(desk.roots, text, Door.WEB)
    await desk.presence.flush()  # the session may have slid further than the row knows
    row = await desk.db.hot.fetch_one(_WEB, token.session_id)
    if row is None or row["disabled_at"] is not None:
        raise SessionRevoked
    if row["ended_at"] is not None:
        raise session_ended(row["end_reason"], row["ended_by"])
    if row["nonce_hash"] != token.nonce_hash:
        raise TokenInvalid
    if row["generation"] > token.generation:
        raise Outdated
    if now >= row["idle_expires_at"]:
        raise SessionExpired
    if row["generation"] < token.generation:
        await desk.db.hot.fetch_one(_RESTORED, token.session_id, token.generation)
    return Caller(
        row["account_id"],
        token.session_id,
        Door.WEB.value,
        token.generation,
        tuple(row["roles"].split()),
        tuple(row["auth_methods"].split()),
        row["auth_time"],
        row["idle_expires_at"],
        # The feed remembers an ending for as long as an access token lives; a cookie is looked up anew that often.
        until=min(now + desk.settings.access_ttl * SECOND, row["idle_expires_at"] - 1),
        by_cookie=True,
    )


async def require_living(desk: Desk, caller: Caller) -> None:
    """Raises SessionExpired, SessionRevoked, TokenInvalid (a cookie that a newer one replaced), Unavailable."""
    problem = _ended(desk, caller.session_id)
    if problem is None and caller.by_cookie and caller.generation < desk.feed.turned(caller.session_id):
        problem = Outdated()
    # A token that expires later than any we could make now comes from a clock ahead of ours, or ours was set back: the
    # feed may forget its session's ending before it expires.
    from_ahead = caller.until > desk.clock.now() + desk.settings.access_ttl * SECOND + 2 * LEEWAY
    if problem is None and (from_ahead or not desk.feed.is_fresh()):
        row = await desk.db.hot.fetch_one(_ENDED, caller.session_id)
        if row is None or row["ended_at"] is not None:
            problem = session_ended(row["end_reason"], row["ended_by"]) if row else SessionRevoked()
        elif caller.by_cookie and caller.generation < row["generation"]:
            problem = Outdated()
    if problem:
        raise problem


def _ended(desk: Desk, session_id: bytes) -> Problem | None:
    ending = desk.feed.ended(session_id)
    return session_ended(ending.reason, ending.ended_by) if ending else None
