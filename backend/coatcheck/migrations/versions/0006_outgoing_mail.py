"""Mails that wait for delivery. Adds a table; the release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "outgoing_mail",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("next_try_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("ix_outgoing_mail_next_try_at", "outgoing_mail", ["next_try_at"])
