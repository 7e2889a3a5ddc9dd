"""After a new root secret: what an older one wrapped is wrapped anew, so that the older one can leave the list."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, update
from sqlmodel import SQLModel, col, select

from . import challenges, mail, signing_keys
from .db import Database
from .factors import totp
from .secrets import RootSecrets
from .tables import AuditLink, Challenge, Factor, OutgoingMail, Session, SigningKey


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A column that holds wrapped bytes; `key` is the column whose value binds each to its row."""

    table: type[SQLModel]
    key: Any
    column: Any
    purpose: str


WRAPPED = (
    Wrapped(SigningKey, col(SigningKey.kid), col(SigningKey.private_key), signing_keys.PURPOSE),
    Wrapped(Factor, col(Factor.id), col(Factor.seed), totp.PURPOSE),
    Wrapped(Challenge, col(Challenge.key), col(Challenge.data), challenges.PURPOSE),
    Wrapped(OutgoingMail, col(OutgoingMail.id), col(OutgoingMail.sealed), mail.PURPOSE),
)


async def rewrap(db: Database, roots: RootSecrets) -> int:
    """Wrap anew whatever is not under the first root secret; how many rows. Raises CannotUnwrap, Unavailable.

    A row that somebody changes meanwhile is left as it is: what writes, writes under the first secret.
    """
    return sum([await _rewrap(db, roots, what) for what in WRAPPED])


async def _rewrap(db: Database, roots: RootSecrets, what: Wrapped) -> int:
    moved = 0
    async with db.writing() as session:
        for key, old in (await session.exec(select(what.key, what.column).where(what.column.is_not(None)))).all():
            if old and int.from_bytes(old[:4]) != roots.writing:
                record = key.encode() if isinstance(key, str) else key
                new = roots.wrap(what.purpose, record, roots.unwrap(what.purpose, record, old))
                same = (what.key == key) & (what.column == old)
                await session.exec(update(what.table).where(same).values({what.column: new}))
                moved += 1
        await session.commit()
    return moved


async def sessions_under_older(db: Database, roots: RootSecrets, now: int) -> int:
    """How many living sessions hold a refresh token that an older root secret made."""
    living = col(Session.ended_at).is_(None) & (col(Session.idle_expires_at) > now) & (col(Session.expires_at) > now)
    async with db.reading() as session:
        older = select(func.count()).where(living, col(Session.kid) != roots.writing)
        return (await session.exec(older)).one()


async def events_under_older(db: Database, roots: RootSecrets) -> int:
    """How many audit events only an older root secret can verify: they are never written again, so they never move."""
    async with db.reading() as session:
        return (await session.exec(select(func.count()).where(col(AuditLink.kid) != roots.writing))).one()
