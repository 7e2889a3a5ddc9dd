"""Find web sessions whose cookie was renewed by step-up. Adds an index; the release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_RENEWED = sa.text("door = 'web' AND auth_time <> created_at")


def upgrade() -> None:
    op.create_index("session_turned", "session", ["auth_time"], postgresql_where=_RENEWED, sqlite_where=_RENEWED)
