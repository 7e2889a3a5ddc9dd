"""What cleaning up needs: whose turn it is, and two indexes. The release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

DISABLED = sa.text("disabled_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "chore",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
    )
    op.create_index("session_of_device", "session", ["device_id"])
    op.create_index("account_disabled", "account", ["disabled_at"], postgresql_where=DISABLED, sqlite_where=DISABLED)
