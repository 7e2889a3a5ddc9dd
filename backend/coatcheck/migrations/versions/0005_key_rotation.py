"""Signing keys that follow one another. Adds a column and an index; the release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("signing_key", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE signing_key SET since = created_at")
    one = sa.text("state = 'next'")
    op.create_index("signing_key_next", "signing_key", ["state"], unique=True, postgresql_where=one, sqlite_where=one)
