"""Second factors, recovery codes, and how often they were guessed at. Adds tables; the release before runs on beside.

A person who adds a factor is asked for it by this release only: let no older worker run on for long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

ID = sa.LargeBinary(16)


def _account(**options: object) -> sa.Column[bytes]:
    return sa.Column("account_id", ID, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False, **options)  # type: ignore[arg-type]


def upgrade() -> None:
    op.create_table(
        "factor",
        sa.Column("id", ID, primary_key=True),
        _account(),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("seed", sa.LargeBinary),
        sa.Column("last_step", sa.BigInteger),
        sa.Column("credential_id", sa.LargeBinary, unique=True),
        sa.Column("public_key", sa.LargeBinary),
        sa.Column("sign_count", sa.BigInteger),
        sa.Column("synced", sa.Boolean),
        sa.Column("backed_up", sa.Boolean),
        sa.Column("transports", sa.Text),
    )
    op.create_index("ix_factor_account_id", "factor", ["account_id"])
    op.create_table(
        "recovery_code",
        _account(primary_key=True),
        sa.Column("slot", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "guess",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        _account(),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("free_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_guess_account_id", "guess", ["account_id"])
