"""Migrations: Alembic, run from here only. Several machines starting together migrate once (an advisory lock).

Alembic is loaded only where there is something to migrate: 8 MB and 0.1 s that most starts have no use for.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from .db import make_engine, outage_is_503
from .pool import PATIENCE
from .settings import Settings

_LOCK = 0x_C0A7  # PostgreSQL advisory lock
_SCRIPTS = Path(__file__).parent / "migrations"


async def upgrade(settings: Settings) -> None:
    """Bring the database to this release's tables. Raises Unavailable."""
    engine = make_engine(settings, patience=None).execution_options(begin="BEGIN IMMEDIATE")
    try:
        with outage_is_503():
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if _revision(connection) == _known()[-1]:
        return
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def is_current(settings: Settings) -> bool:
    """Whether the tables are those of this release, or of a later one that it can run on. Raises Unavailable."""
    engine = make_engine(settings, PATIENCE)
    try:
        with outage_is_503():
            async with engine.connect() as connection:
                found = await connection.run_sync(_revision)
    finally:
        await engine.dispose()
    known = _known()
    return found == known[-1] or (found is not None and found not in known)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _known() -> list[str]:
    """The revisions of this release, in order: the numbers that the scripts' names begin with."""
    return sorted(script.name[:4] for script in (_SCRIPTS / "versions").glob("[0-9]*.py"))
