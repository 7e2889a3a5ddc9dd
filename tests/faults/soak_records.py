"""What the server wrote down in a soak, read from its database, on the clock of the soak."""

import json
from math import inf

import asyncpg

from coatcheck import ids
from tests.faults.evidence import Event, Row

_ROWS = "SELECT * FROM session"
_EVENTS = """
SELECT kind, session_id, at, data FROM audit_event
WHERE kind IN ('session.started', 'session.ended', 'token.reused') ORDER BY id
"""


async def rows(url: str, offset: float) -> list[Row]:
    """All sessions; `offset` is the time of day, in seconds, at which the soak began."""
    return [
        Row(
            session=ids.text("ses", row["id"]),
            account=ids.text("acc", row["account_id"]),
            device=ids.text("dev", row["device_id"]),
            door=row["door"],
            generation=row["generation"],
            created=row["created_at"] / 1000 - offset,
            ended=inf if row["ended_at"] is None else row["ended_at"] / 1000 - offset,
            reason=row["end_reason"] or "",
            reused_generation=-1 if row["reused_generation"] is None else row["reused_generation"],
        )
        for row in await _fetch(url, _ROWS)
    ]


async def events(url: str, offset: float) -> list[Event]:
    """What the audit log says of sessions, oldest first."""
    return [
        Event(
            kind=row["kind"],
            session=ids.text("ses", row["session_id"]),
            at=row["at"] / 1000 - offset,
            reason=json.loads(row["data"]).get("reason", ""),
        )
        for row in await _fetch(url, _EVENTS)
    ]


async def _fetch(url: str, sql: str) -> "list[asyncpg.Record]":
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()
