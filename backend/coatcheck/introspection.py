"""Asking about an access token (RFC 7662), for services that hold a credential; and those credentials.

A credential is `cct_s_` and 256 random bits, shown once when it is made; the database keeps its SHA-256. Whoever asks
learns whether the token is good here and now, and what it says. Of any other token, dead, foreign, of another kind or
made up, the answer is the same and says nothing. Without the database it is Unavailable: never a wrong yes or no.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from re import compile as pattern

from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from . import audit, callers
from .desk import Desk
from .errors import Conflict, InvalidCredentials, NotFound, Problem, Unavailable
from .tables import Service
from .verified_credentials import Caller

PREFIX = "cct_s_"
_NAME = pattern(r"[a-z0-9][a-z0-9-]{0,62}")
_CREDENTIAL = pattern(PREFIX + r"[A-Za-z0-9_-]{43}")
_HOLDER = "SELECT name FROM service WHERE secret_hash = $1"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a service shows: its credential, and its name if the scheme has a place for it."""

    credential: str
    name: str | None = None


async def add(desk: Desk, name: str) -> str:
    """A new service; its credential, which nobody can show again. Raises Conflict: a bad name, or one that is taken."""
    if not _NAME.fullmatch(name):
        raise Conflict("A service's name has small letters, digits and hyphens, 63 at most.")
    credential = PREFIX + secrets.token_urlsafe(32)
    now = desk.clock.now()
    try:
        async with desk.db.writing() as db:
            db.add(Service(name=name, secret_hash=_hash(credential), created_at=now))
            audit.record(db, now, "service.added", name=name)
            await db.commit()
    except IntegrityError:
        raise Conflict(f"There is a service {name} already; remove it first to give it a new credential.") from None
    return credential


async def services(desk: Desk) -> list[Service]:
    """All services, by name."""
    async with desk.db.reading() as db:
        return list(await db.exec(select(Service).order_by(Service.name)))


async def remove(desk: Desk, name: str) -> None:
    """Take a service's credential back; its next question is refused. Raises NotFound."""
    async with desk.db.writing() as db:
        found = await db.get(Service, name)
        if found is None:
            raise NotFound(f"There is no service {name}.")
        await db.delete(found)
        audit.record(db, desk.clock.now(), "service.removed", name=name)
        await db.commit()


async def identify(desk: Desk, shown: Shown, ip: str) -> str:
    """The name of the service that holds this credential. Raises InvalidCredentials, RateLimited, Unavailable."""
    row = None
    if _CREDENTIAL.fullmatch(shown.credential):
        row = await desk.db.hot.fetch_one(_HOLDER, _hash(shown.credential))
    if row is None or shown.name not in (None, row["name"]):
        await desk.throttle.wrong_service(ip)
        raise InvalidCredentials("This service credential is not known here.")
    return str(row["name"])


async def examine(desk: Desk, token: str) -> Caller | None:
    """Whose access token this is; None for whatever is no good one. Raises Unavailable.

    A service that holds a token has had it from its owner, so its generation counts as used; the owner's address stays
    as it was, for what calls is the service.
    """
    try:
        return await callers.by_access_token(desk, token, None)
    except Unavailable:
        raise
    except Problem:
        return None


def _hash(credential: str) -> bytes:
    return sha256(credential.encode()).digest()
