"""The audit log, as administrators read it: with filters, page by page, and as CSV."""

import csv
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from io import StringIO

from sqlalchemy import ColumnElement
from sqlmodel import col, select

from . import ids
from .clock import rfc3339
from .desk import Desk
from .tables import AuditEvent

_AT_ONCE = 100  # rows: others' requests wait for no more than these, and no more are in memory
# What a spreadsheet takes for the start of a formula, wide forms included (CWE-1236, ASVS 1.2.10).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
HEADING = ("id", "at", "kind", "account", "session", "device", "ip", "data")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; None is anything. `by` is an account: acts of that administrator. Moments in milliseconds."""

    kind: str | None = None
    account_id: bytes | None = None
    session_id: bytes | None = None
    by: bytes | None = None
    ip: str | None = None
    since: int | None = None
    until: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a WHERE."""
        found: list[ColumnElement[bool]] = []
        for column, value in (
            (AuditEvent.kind, self.kind),
            (AuditEvent.account_id, self.account_id),
            (AuditEvent.session_id, self.session_id),
            (AuditEvent.ip, self.ip),
        ):
            if value is not None:
                found.append(col(column) == value)
        if self.by is not None:
            found.append(col(AuditEvent.data).contains(f'"by": "{ids.text("acc", self.by)}"', autoescape=True))
        if self.since is not None:
            found.append(col(AuditEvent.at) >= self.since)
        if self.until is not None:
            found.append(col(AuditEvent.at) < self.until)
        return found


async def page(desk: Desk, wanted: Wanted, before: int | None, limit: int) -> list[AuditEvent]:
    """Events, newest first; `before` is the id to continue from."""
    query = select(AuditEvent).where(*wanted.conditions()).order_by(col(AuditEvent.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(AuditEvent.id) < before)
    async with desk.db.reading() as db:
        return list(await db.exec(query))


async def as_csv(desk: Desk, wanted: Wanted, before: int | None, limit: int) -> AsyncIterator[str]:
    """The same as lines of CSV (RFC 4180), heading first, a page at a time: memory stays bounded."""
    yield _lines([HEADING])
    while limit > 0:
        rows = await page(desk, wanted, before, min(limit, _AT_ONCE))
        if not rows:
            return
        yield _lines(cells(row) for row in rows)
        before, limit = rows[-1].id, limit - len(rows)


def cells(event: AuditEvent) -> tuple[str, ...]:
    """One event in the order of HEADING."""
    return (
        str(event.id),
        rfc3339(event.at),
        event.kind,
        ids.text("acc", event.account_id) if event.account_id else "",
        ids.text("ses", event.session_id) if event.session_id else "",
        ids.text("dev", event.device_id) if event.device_id else "",
        event.ip or "",
        json.dumps(json.loads(event.data), ensure_ascii=False, sort_keys=True),
    )


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([[_inert(cell) for cell in row] for row in rows])
    return text.getvalue()


def _inert(cell: str) -> str:
    """Text that no spreadsheet runs: an apostrophe before what looks like a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell
