"""Migrations: Alembic, run from here only. Several machines starting together migrate once (an advisory lock)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from .db import make_engine, outage_is_503
from .settings import Settings

_LOCK = 0x_C0A7  # PostgreSQL advisory lock


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


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
    command.upgrade(_config(connection), "head")


async def is_current(settings: Settings) -> bool:
    """Whether the tables are those of this release, or of a later one that it can run on. Raises Unavailable."""
    engine = make_engine(settings)
    try:
        with outage_is_503():
            async with engine.connect() as connection:
                found = await connection.run_sync(_revision)
    finally:
        await engine.dispose()
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    return found == scripts.get_current_head() or (found is not None and found not in known)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
