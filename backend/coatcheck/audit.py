"""Security events: who did what to which session, when and from where. Written in the transaction of the act itself.

The vocabulary is `Kind`; docs/audit.md explains each. A person reads her own at `GET /v1/me/activity`. Nothing secret
goes in: no credential, no password, and no e-mail address typed by a stranger. Nobody can change or remove one unseen:
each is sealed here (audit_seal.py) and chained a second later (audit_chain.py).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import structlog
from sqlalchemy import Row, insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import audit_seal, ids
from .tables import AuditEvent

Kind = Literal[
    "account.registered",
    "account.closed",
    "account.exported",
    "account.disabled",
    "account.enabled",
    "login.failed",
    "session.started",
    "session.ended",
    "refresh.refused",
    "token.reused",
    "password.changed",
    "step_up.proved",
    "step_up.failed",
    "device.renamed",
    "factor.added",
    "factor.removed",
    "factor.failed",
    "recovery_codes.made",
    "recovery_code.used",
    "role.granted",
    "role.taken",
    "staff.signed_out",
    "staff.reset_started",
    "staff.signed_out_everybody",
    "audit.exported",
    "service.added",
    "service.removed",
    "key.published",
    "key.promoted",
    "key.retired",
    "key.revoked",
    "mail.given_up",
    "audit.pruned",
    "account.asked_for",
    "alert.denied",
    "email.verified",
    "email.change_asked",
    "email.changed",
    "email.restored",
    "password.reset_asked",
    "password.reset",
]

log = structlog.get_logger("audit")


def record(
    db: AsyncSession,
    now: int,
    kind: Kind,
    *,
    account_id: bytes | None = None,
    session_id: bytes | None = None,
    device_id: bytes | None = None,
    ip: str | None = None,
    **data: str | None,
) -> None:
    """Add one event to the caller's transaction, and a line to the log."""
    db.add(AuditEvent(**_sealed(db, now, kind, (account_id, session_id, device_id), ip, data)))


async def record_endings(
    db: AsyncSession, now: int, ip: str | None, ended: Iterable[Row[Any]], ended_by: str | None
) -> None:
    """Add `session.ended` for each of many (session, account, device, reason) by one statement.

    As objects of the ORM they take three times as long, and nobody else is answered meanwhile.
    """
    rows = []
    for session_id, account_id, device_id, reason in map(tuple, ended):
        about = {"reason": reason, "ended_by": ended_by}
        rows.append(_sealed(db, now, "session.ended", (account_id, session_id, device_id), ip, about))
    if rows:
        await db.exec(insert(AuditEvent), params=rows)  # what was added before is written before


def _sealed(
    db: AsyncSession,
    now: int,
    kind: Kind,
    subject: tuple[bytes | None, bytes | None, bytes | None],
    ip: str | None,
    data: Mapping[str, str | None],
) -> dict[str, Any]:
    """The row of an event about an account, a session and a device; and a line in the log."""
    account_id, session_id, device_id = subject
    about = {name: value for name, value in data.items() if value is not None}
    event: dict[str, Any] = {
        "at": now,
        "kind": kind,
        "account_id": account_id,
        "session_id": session_id,
        "device_id": device_id,
        "ip": ip,
        "data": json.dumps(about, ensure_ascii=False),
    }
    log.info(
        kind,
        account=ids.text("acc", account_id) if account_id else None,
        session=ids.text("ses", session_id) if session_id else None,
        ip=ip,
        data=about,
    )
    return event | {"seal": audit_seal.seal(db.info["roots"], event)}


async def of_account(db: AsyncSession, account_id: bytes, before: int | None, limit: int) -> list[AuditEvent]:
    """An account's events, newest first; `before` is the id to continue from."""
    query = select(AuditEvent).where(AuditEvent.account_id == account_id).order_by(col(AuditEvent.id).desc())
    if before is not None:
        query = query.where(col(AuditEvent.id) < before)
    return list(await db.exec(query.limit(limit)))


def told(event: AuditEvent) -> dict[str, str]:
    """What the event says beside who, when and where, to the person it is about: not which administrator it was."""
    return {name: value for name, value in json.loads(event.data).items() if name not in ("by", "by_ip")}
