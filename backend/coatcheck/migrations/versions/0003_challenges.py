"""Single-use, short-lived values. Adds a table; the release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "challenge",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("account_id", sa.LargeBinary(16), sa.ForeignKey("account.id", ondelete="CASCADE")),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_challenge_account_id", "challenge", ["account_id"])
    op.create_index("ix_challenge_expires_at", "challenge", ["expires_at"])
