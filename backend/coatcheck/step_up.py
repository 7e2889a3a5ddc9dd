"""Step-up: a fresh proof of who is there, before what can't be undone (ASVS 7.5.3).

A session keeps when its person last proved who she is, in `auth_time`; whatever needs a fresh proof begins with
`require_fresh`. Ending sessions and devices never does: who fears a thief must not be held up.

A proof renews the credential that brought it, because an attacker may have the old one (ASVS 7.2.4):
  access token  another one, of the generation the caller had, so that nothing is acknowledged that he never got
  cookie        the next generation; the old cookie is dead once the row says so, everywhere once the feed does
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import audit, refresh_tokens, sessions, wrong_passwords
from .access_tokens import LEEWAY, Claims
from .clock import MINUTE
from .desk import Desk
from .errors import Conflict, InvalidCredentials, Problem, ReauthenticationRequired, SessionRevoked
from .refresh_tokens import Door
from .revocation import Event
from .sessions import Origin, Pair
from .tables import Account, Session
from .verified_credentials import Caller

FRESH = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Renewed:
    """The caller's credential from now on. In `pair`, `refresh_token` is the web cookie, empty for the other doors."""

    pair: Pair
    generation: int


def require_fresh(desk: Desk, caller: Caller) -> None:
    """Raises ReauthenticationRequired; for an `auth_time` in the future too, as a clock that was set back leaves it."""
    if not -LEEWAY <= desk.clock.now() - caller.auth_time <= FRESH:
        raise ReauthenticationRequired


async def failed(desk: Desk, caller: Caller, origin: Origin) -> Problem:
    """Record a proof that was wrong; the caller raises what comes back."""
    await wrong_passwords.record(desk, caller.account_id, origin, session_id=caller.session_id)
    return InvalidCredentials("This isn't the right password. Try again.")


async def proved(
    desk: Desk,
    caller: Caller,
    cookie: str | None,
    methods: tuple[str, ...],
    auth_generation: int,
    origin: Origin,
    spend: Callable[[AsyncSession], Awaitable[None]] | None = None,
) -> Renewed:
    """Where every proof ends, whatever it was: `auth_time` is now, and the credential is a new one.

    `methods` are RFC 8176 values; `auth_generation` is the account's when the proof was verified. `spend` uses up what
    was proved with, in the same transaction.
    Raises SessionRevoked, Conflict (proved twice at once, or the password changed meanwhile), Unavailable.
    """
    async with desk.db.writing() as db:
        query = select(Account).where(Account.id == caller.account_id).with_for_update(key_share=True)
        account = (await db.exec(query)).first()
        if account is None or account.auth_generation != auth_generation:
            raise Conflict
        if spend:
            await spend(db)
        standing = await renew(db, desk, caller, account, methods, origin)
        if standing is None:
            raise SessionRevoked if await sessions.has_ended(db, caller.session_id) else Conflict
        await db.commit()
    return await hand_out(desk, caller, cookie, standing)


async def renew(
    db: AsyncSession, desk: Desk, caller: Caller, account: Account, methods: tuple[str, ...], origin: Origin
) -> Claims | None:
    """Write down the proof, and a new generation of the cookie; None if the old one is good no more. The caller has
    locked the account; he commits, then hands it out."""
    now = desk.clock.now()
    known = tuple(dict.fromkeys((*caller.auth_methods, *methods)))
    values: dict[str, Any] = {"auth_time": now, "auth_methods": " ".join(known)}
    own = (col(Session.id) == caller.session_id) & col(Session.ended_at).is_(None)
    generation = caller.generation
    if caller.by_cookie:
        own &= col(Session.generation) <= generation  # behind it only after a backup was restored
        generation += 1
        values |= {"generation": generation, "kid": desk.roots.writing, "rotated_at": now}
    changed = update(Session).where(own).values(values).returning(col(Session.idle_expires_at))
    found = (await db.exec(changed.execution_options(synchronize_session=False))).first()
    if found is None:
        return None
    audit.record(db, now, "step_up.proved", **_who(caller, origin), methods=" ".join(methods))
    roles = tuple(account.roles.split())
    return Claims(caller.account_id, caller.session_id, caller.door, generation, roles, known, now, found[0])


async def hand_out(desk: Desk, caller: Caller, cookie: str | None, claims: Claims) -> Renewed:
    """What was renewed, after the commit; the old cookie dies everywhere."""
    successor = ""
    if caller.by_cookie:
        token = refresh_tokens.read(desk.roots, cookie or "", Door.WEB)
        successor = refresh_tokens.write(desk.roots, token.at(claims.generation, desk.roots.writing))
        data = {"generation": str(claims.generation)}
        turned = Event("session.turned", caller.account_id, caller.session_id, data, claims.auth_time)
        await desk.feed.publish(turned)
    return Renewed(sessions.grant(desk, successor, claims), claims.generation)


def _who(caller: Caller, origin: Origin) -> dict[str, Any]:
    return {"account_id": caller.account_id, "session_id": caller.session_id, "ip": origin.ip}
