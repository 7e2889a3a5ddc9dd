"""Removing what is older than AUDIT_RETENTION from the audit log, in such a way that the rest can still be verified.

Links go from the front, with their events, up to the first one that is young enough. An anchor with a MAC under the
root secret takes the place of what went. Each batch is one transaction of its own; stopped anywhere, the log verifies.
Whatever does not verify is not removed: pruning destroys no evidence.

The anchor also tells from which moment on events are left, so that one put back from a dump is found. Where a clock was
days wrong, events are left that are older than some that go, and the anchor must not call them put back.
"""

from sqlalchemy import delete, text
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from . import audit, audit_seal, audit_verify
from .audit_verify import ANCHORS, DAY, LINKS, Walk
from .clock import Clock
from .db import Database
from .errors import Conflict
from .secrets import RootSecrets
from .settings import Settings
from .tables import AuditAnchor, AuditEvent, AuditLink

_AT_ONCE = 1_000  # links removed by one transaction


async def prune(settings: Settings, db: Database, roots: RootSecrets, clock: Clock) -> int:
    """Remove old events; how many. Raises Conflict where the log does not verify, Unavailable.

    On PostgreSQL only the tables' owner may.
    """
    before = clock.now() - settings.audit_retention * DAY
    removed = 0
    while True:
        async with db.writing() as session:
            count = await _prune_batch(session, roots, before)
            removed += count
            if count < _AT_ONCE and removed:
                audit.record(session, clock.now(), "audit.pruned", events=str(removed))
            await session.commit()
        if count < _AT_ONCE:
            return removed


async def _prune_batch(db: AsyncSession, roots: RootSecrets, before: int) -> int:
    connection = await db.connection()
    anchor = (await connection.execute(ANCHORS)).mappings().first()
    walk, wrong = audit_verify.start(roots, anchor)
    _refuse(wrong)
    # Links beyond those that are removed: the last one of all stays, as the place to go on from.
    rows = (await connection.execute(text(LINKS), {"position": walk.position, "page": 2 * _AT_ONCE})).mappings().all()
    moments = [row["at"] for row in rows if row["at"] is not None]
    gone: list[int] = []
    for row in rows[:-1][:_AT_ONCE]:
        if row["at"] is not None and row["at"] >= before:
            break
        _refuse(walk.step(row))
        gone.append(row["id"])
    if gone:
        youngest = min(max(moments[: len(gone)]), min(moments[len(gone) :], default=before) + DAY)
        await _remove(db, roots, gone, walk, max(youngest, anchor["youngest"] if anchor else 0))
    return len(gone)


def _refuse(wrong: str | None) -> None:
    if wrong:
        raise Conflict(f"Nothing is removed from a log that does not verify: {wrong}. See: coatcheck audit verify")


async def _remove(db: AsyncSession, roots: RootSecrets, events: list[int], walk: Walk, youngest: int) -> None:
    position, kid = walk.position, roots.writing
    mac = audit_seal.anchor(roots, kid, position, walk.hash, youngest)
    db.add(AuditAnchor(position=position, hash=walk.hash, youngest=youngest, kid=kid, mac=mac))
    await db.flush()
    await db.exec(delete(AuditAnchor).where(col(AuditAnchor.position) < position))
    await db.exec(delete(AuditLink).where(col(AuditLink.position) <= position))
    await db.exec(delete(AuditEvent).where(col(AuditEvent.id).in_(events)))
