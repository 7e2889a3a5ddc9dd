"""What `coatcheck doctor` finds out from the stores: database, its role, clock, keys, audit log, Redis."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from . import database_roles, migrate, signing_keys
from . import db as databases
from .clock import MINUTE, SECOND, Clock, rfc3339
from .db import Database
from .errors import Unavailable
from .key_rotation import PUBLISHED_FIRST
from .redis_down import RedisDown
from .secrets import CannotUnwrap, RootSecrets
from .settings import PREFIX, Settings

_DAY = 1_440 * MINUTE
_OLDEST_POSTGRES = 140_000  # as server_version_num
_OLDEST_REDIS = (6, 2)
_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_APART = MINUTE  # between clocks: workers go by the database's, others by their own

_SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_setting('max_connections')::int AS connections,
  current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS durable,
  (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
"""
_ROLE = """
SELECT current_user AS name, has_schema_privilege('public', 'CREATE') AS ddl,
  has_table_privilege('audit_event', 'UPDATE, DELETE, TRUNCATE')
    OR has_table_privilege('audit_link', 'UPDATE, DELETE, TRUNCATE') AS rewrites
"""
_LACKS = "SELECT has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'INSERT') AS adds"
_TRIGGERS = """
SELECT tgname AS name FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid IN ('audit_event'::regclass, 'audit_link'::regclass)
"""
_SQLITE_TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit_%'"
_UNLINKED = """
SELECT at FROM audit_event WHERE id > (SELECT coalesce(max(event_id), 0) FROM audit_link) ORDER BY id LIMIT 1
"""
_FIRST = "SELECT at FROM audit_event ORDER BY id LIMIT 1"


Level = Literal["ok", "warn", "mend"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it was about, how it stands, and what to do if it is not fine."""

    about: str
    level: Level
    advice: str


async def examine(configured: Settings) -> list[Finding]:
    """Every store, whichever of them answers."""
    found = await _redis(configured)
    try:
        if not configured.embedded and not await migrate.is_current(configured):
            return [Finding("database", "mend", "not migrated; run: coatcheck migrate"), *found]
        if configured.embedded:
            await migrate.upgrade(configured)
        db = await databases.connect(configured)
    except Unavailable:
        return [Finding("database", "mend", f"does not answer; check {PREFIX}DATABASE_URL"), *found]
    try:
        return [*await _database(configured, db), *await _keys(configured, db), *await _audit(configured, db), *found]
    finally:
        await db.close()


async def _database(configured: Settings, db: Database) -> list[Finding]:
    if configured.embedded:
        return [sqlite_version(sqlite3.sqlite_version_info)]
    row = await db.hot.fetch_one(_SERVER)
    assert row is not None  # noqa: S101  # it selects without a table
    return [*postgres(configured, row), clock("database", row["now"]), *await _role(db)]


def sqlite_version(version: tuple[int, ...]) -> Finding:
    """The embedded database is as old as this Python's library."""
    if version < _OLDEST_SQLITE:
        return Finding("database", "mend", f"SQLite {'.'.join(map(str, version))} is too old; 3.35 or newer is needed")
    return Finding("database", "ok", "SQLite, embedded")


def postgres(configured: Settings, row: Any) -> list[Finding]:
    """What the server says of itself."""
    found = []
    if row["version"] < _OLDEST_POSTGRES:
        found.append(Finding("database", "mend", f"PostgreSQL {row['version'] // 10_000} is too old; use 14 or newer"))
    if row["fsync"] == "off" or row["durable"] == "off":
        advice = "turn on fsync and synchronous_commit: after a power cut ended sessions could live again"
        found.append(Finding("database", "warn", advice))
    if 2 * configured.database_pool > row["connections"]:
        advice = (
            f"a worker may hold {2 * configured.database_pool} connections, max_connections is {row['connections']}: "
            f"lower {PREFIX}DATABASE_POOL"
        )
        found.append(Finding("database", "mend", advice))
    return found or [Finding("database", "ok", f"PostgreSQL {row['version'] // 10_000} answers")]


async def _role(db: Database) -> list[Finding]:
    role = await db.hot.fetch_one(_ROLE)
    assert role is not None  # noqa: S101  # it selects without a table
    lacks = [table for table in database_roles.tables() if not (await _adds(db, table))]
    if lacks:
        advice = (
            f"{role['name']} lacks rights on {lacks[0]}; run as the owner: coatcheck migrate --grant {role['name']}"
        )
        return [Finding("database role", "mend", advice)]
    if role["rewrites"] or role["ddl"]:
        advice = (
            f"{role['name']} could rewrite the audit log and change tables; give the server a role of its own "
            "(coatcheck migrate --grant ROLE, docs/audit.md)"
        )
        return [Finding("database role", "warn", advice)]
    return [Finding("database role", "ok", f"{role['name']} can only add to the audit log")]


async def _adds(db: Database, table: str) -> bool:
    row = await db.hot.fetch_one(_LACKS, table)
    return bool(row and row["adds"])


def clock(of: str, theirs: int) -> Finding:
    """This machine's clock against another's, milliseconds."""
    apart = abs(Clock().now() - theirs)
    if apart > _APART:
        return Finding("clock", "mend", f"{apart // SECOND} s apart from the {of}'s; let both follow NTP")
    if apart > 2 * SECOND:
        return Finding("clock", "warn", f"{apart // SECOND} s apart from the {of}'s; does NTP run?")
    return Finding("clock", "ok", f"as the {of}'s")


async def _keys(configured: Settings, db: Database) -> list[Finding]:
    roots, now = RootSecrets(configured.secret_key), Clock().now()
    rows = await signing_keys.rows(db)
    for row in rows:
        try:
            roots.unwrap(signing_keys.PURPOSE, row.kid.encode(), row.private_key)
        except CannotUnwrap:
            advice = f"{PREFIX}SECRET_KEY does not open key {row.kid}; list the earlier secret after it"
            return [Finding("keys", "mend", advice)]
    current = next((row for row in rows if row.state == "current"), None)
    if current is None:
        return [Finding("keys", "ok", "none yet; the first start makes one")]
    since = rfc3339(current.since)
    if now - current.since > configured.key_ttl * SECOND + PUBLISHED_FIRST + _DAY:
        return [Finding("keys", "warn", f"{current.kid} is old, since {since}; run: coatcheck keys rotate")]
    return [Finding("keys", "ok", f"{current.kid} signs since {since}")]


async def _audit(configured: Settings, db: Database) -> list[Finding]:
    now = Clock().now()
    found = []
    if triggers := await db.hot.fetch(_SQLITE_TRIGGERS if configured.embedded else _TRIGGERS):
        found.append(Finding("audit log", "mend", f"drop trigger {triggers[0]['name']}: nothing of ours needs one"))
    waiting = await db.hot.fetch_one(_UNLINKED)
    if waiting and now - waiting["at"] > MINUTE:
        advice = f"events since {rfc3339(waiting['at'])} are not linked: start a worker; see: coatcheck audit verify"
        found.append(Finding("audit log", "warn", advice))
    first = await db.hot.fetch_one(_FIRST)
    if first and now - first["at"] > (configured.audit_retention + 7) * _DAY:
        advice = f"it goes back further than {PREFIX}AUDIT_RETENTION; run as the tables' owner: coatcheck audit prune"
        found.append(Finding("audit log", "warn", advice))
    return found or [Finding("audit log", "ok", "linked")]


async def _redis(configured: Settings) -> list[Finding]:
    if configured.redis_url is None:
        return [Finding("redis", "ok", "none: one worker only")]
    from .redis_client import RedisClient  # noqa: PLC0415  # see redis_down.py

    client = RedisClient(configured.redis_url)
    try:
        told = await client.examine()
    except RedisDown:
        return [Finding("redis", "mend", f"does not answer; everything works, slower. Check {PREFIX}REDIS_URL")]
    finally:
        await client.close()
    return [*redis(told), clock("Redis server", told["now"])]


def redis(told: dict[str, Any]) -> list[Finding]:
    """What the server says of itself; it may keep back some of it."""
    found = []
    version = tuple(int(part) for part in str(told.get("redis_version", "")).split(".")[:2] if part.isdigit())
    if version and version < _OLDEST_REDIS:
        found.append(Finding("redis", "mend", f"{told['redis_version']} is too old; use 6.2 or newer"))
    if told.get("maxmemory") and told.get("maxmemory_policy", "noeviction") != "noeviction":
        advice = f"set maxmemory-policy noeviction: by {told['maxmemory_policy']} news of sign-outs may be evicted"
        found.append(Finding("redis", "warn", advice))
    if not told.get("aof_enabled", 1):
        found.append(Finding("redis", "warn", "appendonly is off: a restart forgets the counters of limits"))
    if told.get("loading"):
        found.append(Finding("redis", "warn", "it is still loading its data"))
    return found or [Finding("redis", "ok", f"{told.get('redis_version', 'it')} answers")]
