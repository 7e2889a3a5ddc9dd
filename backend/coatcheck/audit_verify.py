"""`coatcheck audit verify`: whether the audit log is as it was written. One sentence a finding: which event, and what.

Needs the root secrets that made the log, and reads one snapshot of it in pages, however long it takes.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy import RowMapping as Columns
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from . import audit_seal
from .clock import SECOND, Clock, rfc3339
from .db import make_engine, outage_is_503
from .secrets import RootSecrets
from .settings import Settings

_PAGE = 2_000
_MOST = 50  # findings told one by one
_LATE = 10 * SECOND  # an event older than this should have a link
DAY = 86_400 * SECOND

EVENT = "event.id, at, kind, account_id, session_id, device_id, ip, data, seal"
LINKS = f"""
SELECT position, event_id, link.kid AS link_kid, hash, {EVENT}
FROM audit_link AS link LEFT JOIN audit_event AS event ON event.id = link.event_id
WHERE position > :position ORDER BY position LIMIT :page
"""  # noqa: S608  # our own constant
_UNLINKED = f"""
SELECT {EVENT} FROM audit_event AS event WHERE id > :id
AND NOT EXISTS (SELECT 1 FROM audit_link WHERE event_id = event.id) ORDER BY id LIMIT :page
"""  # noqa: S608  # our own constant
_COPIES = """
SELECT min(id) AS first, max(id) AS last FROM audit_event WHERE seal IS NOT NULL
GROUP BY seal HAVING count(*) > 1 ORDER BY 1 LIMIT 50
"""
ANCHORS = text("SELECT position, hash, youngest, kid, mac FROM audit_anchor ORDER BY position DESC LIMIT 1")


@dataclass
class Report:
    """What `verify` found. `head` is the last link, as `position:hash`."""

    events: int = 0
    waiting: int = 0  # events of the last seconds, to be linked in a moment
    head: str = "0:" + audit_seal.START.hex()
    findings: list[str] = field(default_factory=list)
    untold: int = 0  # findings beyond those

    def add(self, finding: str | None) -> None:
        """Keep a finding, if it is one."""
        if finding and len(self.findings) < _MOST:
            self.findings.append(finding)
        elif finding:
            self.untold += 1


class Walk:
    """Follows the chain link by link, from an anchor or from the start."""

    def __init__(self, roots: RootSecrets, anchor: Columns | None) -> None:
        self._roots = roots
        self.position, self.hash, self.oldest = 0, audit_seal.START, 0
        self._sealed = False
        if anchor is not None:
            self.position, self.hash = anchor["position"], bytes(anchor["hash"])
            self.oldest = anchor["youngest"] - DAY
            self._sealed = True

    def step(self, row: Columns) -> str | None:
        """What is wrong with this link or its event; goes on behind it either way."""
        expected, before = self.position + 1, self.hash
        self.position, self.hash = row["position"], bytes(row["hash"])
        if row["position"] != expected:
            return f"links {expected} to {row['position'] - 1} of the chain were removed"
        if row["id"] is None:
            return f"event {row['event_id']} was removed (link {row['position']})"
        try:
            intact = self.hash == audit_seal.link(self._roots, row["link_kid"], before, row["position"], row)
        except KeyError:
            return f"{_named(row)} was linked under a root secret that is not listed: it can't be checked"
        return self.event(row, linked=intact) or (
            None if intact else f"{_named(row)} was put in place of another, or reordered (link {row['position']})"
        )

    def event(self, row: Columns, linked: bool = True) -> str | None:
        """What is wrong with the event itself. `linked`: its link was made over these very columns."""
        if row["seal"] is None:
            return f"{_named(row)} has no seal: inserted by hand" if self._sealed else None
        self._sealed = True
        try:
            if not audit_seal.is_sealed(self._roots, row):
                return f"{_named(row)} was {'inserted' if linked else 'edited'} by hand"
        except KeyError:
            return f"{_named(row)} was sealed under a root secret that is not listed: it can't be checked"
        if row["at"] < self.oldest:
            return f"{_named(row)} was put back after it had been pruned"
        return None


def _named(row: Columns) -> str:
    return f"event {row['id']} ({row['kind']}, {rfc3339(row['at'])})"


def start(roots: RootSecrets, anchor: Columns | None) -> tuple[Walk, str | None]:
    """A walk from the anchor; and what is wrong with that."""
    if anchor is None:
        return Walk(roots, None), None
    try:
        made = audit_seal.anchor(roots, anchor["kid"], anchor["position"], anchor["hash"], anchor["youngest"])
    except KeyError:
        return Walk(roots, anchor), "the anchor was made under a root secret that is not listed: it can't be checked"
    return Walk(roots, anchor), None if made == bytes(anchor["mac"]) else "the anchor of the pruned log was forged"


async def verify(settings: Settings, clock: Clock, noted: str | None = None) -> Report:
    """Check all of the log; `noted` is a head (`position:hash`) that was written down earlier. Raises Unavailable."""
    engine = make_engine(settings, patience=None)
    try:
        with outage_is_503():
            async with engine.connect() as db:
                if not settings.embedded:
                    await db.execution_options(isolation_level="REPEATABLE READ")
                return await _verify(db, RootSecrets(settings.secret_key), clock.now(), noted)
    finally:
        await engine.dispose()


async def _verify(db: AsyncConnection, roots: RootSecrets, now: int, noted: str | None) -> Report:
    report = Report()
    anchor = (await db.execute(ANCHORS)).mappings().first()
    walk, doubt = start(roots, anchor)
    report.add(doubt)
    seen = _Noted(noted, walk)
    async for row in _pages(db, LINKS, "position", walk.position):
        report.events += 1
        report.add(walk.step(row))
        seen.pass_by(walk)
    report.head = f"{walk.position}:{walk.hash.hex()}"
    report.add(seen.finding(walk))
    await _unlinked(db, walk, report, now)
    for row in (await db.execute(text(_COPIES))).mappings():
        report.add(f"event {row['last']} is a copy of event {row['first']}")
    return report


async def _unlinked(db: AsyncConnection, walk: Walk, report: Report, now: int) -> None:
    late: list[Columns] = []
    async for row in _pages(db, _UNLINKED, "id", 0):
        report.events += 1
        report.add(walk.event(row))
        if now - row["at"] <= _LATE:
            report.waiting += 1
        else:
            late.append(row)
    if late:
        report.add(f"{len(late)} events have no link, the first is {_named(late[0])}: does any worker run?")


async def _pages(db: AsyncConnection, sql: str, key: str, after: int) -> AsyncIterator[Columns]:
    while rows := (await db.execute(text(sql), {key: after, "page": _PAGE})).mappings().all():
        for row in rows:
            yield row
        after = rows[-1][key]


class _Noted:
    """A head that was written down, looked for as the walk goes by."""

    def __init__(self, noted: str | None, walk: Walk) -> None:
        position, _, self._hash = (noted or ":").partition(":")
        self._position = int(position or 0)
        self._first = walk.position
        self._found: str | None = None
        self.pass_by(walk)

    def pass_by(self, walk: Walk) -> None:
        if walk.position == self._position:
            self._found = walk.hash.hex()

    def finding(self, walk: Walk) -> str | None:
        if self._position == 0 or self._found == self._hash:
            return None
        if self._position < self._first:
            return f"the noted head {self._position} was pruned since: note a newer one"
        if self._position > walk.position:
            return f"the tail is cut: the log ends at link {walk.position}, and link {self._position} was noted"
        return f"link {self._position} is not the one that was noted: the log was rewritten"
