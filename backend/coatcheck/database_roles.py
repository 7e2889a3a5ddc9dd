"""What the server's own database role may do on PostgreSQL: everything it needs and nothing more.

The owner of the tables migrates and prunes the audit log. The server's role changes no table, and can add to the audit
log but never change or remove what is in it.
"""

from sqlalchemy import text

from .db import make_engine, outage_is_503
from .settings import PREFIX, Settings, SettingsError
from .tables import SQLModel

_ADD_ONLY = ("audit_event", "audit_link")
_READ_ONLY = ("audit_anchor", "alembic_version")


def tables() -> list[str]:
    """Those that the server's role must be able to add to."""
    return sorted(set(SQLModel.metadata.tables) - set(_READ_ONLY))


def statements(role: str) -> list[str]:
    """SQL for the owner to run, after each migration; running it again changes nothing."""
    name = '"' + role.replace('"', '""') + '"'
    ordinary = [table for table in tables() if table not in _ADD_ONLY]
    return [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE ALL ON SCHEMA public FROM {name}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}",
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(ordinary)} TO {name}",
        f"GRANT SELECT, INSERT ON {', '.join(_ADD_ONLY)} TO {name}",
        f"GRANT SELECT ON {', '.join(_READ_ONLY)} TO {name}",
    ]


async def grant(settings: Settings, role: str) -> None:
    """Run them, in one transaction. Raises SettingsError, Unavailable."""
    if settings.embedded:
        raise SettingsError(f"Roles are PostgreSQL's; set {PREFIX}DATABASE_URL to the owner's.")
    engine = make_engine(settings, patience=None)
    try:
        with outage_is_503():
            async with engine.begin() as connection:
                for statement in statements(role):
                    await connection.execute(text(statement.replace(":", r"\:")))
    finally:
        await engine.dispose()
