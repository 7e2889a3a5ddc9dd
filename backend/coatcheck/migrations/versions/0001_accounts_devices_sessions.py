"""Accounts, devices, sessions, signing keys and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.LargeBinary(16)
BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
LIVING = sa.text("ended_at IS NULL")
ENDED = sa.text("ended_at IS NOT NULL")
CURRENT = sa.text("state = 'current'")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", ID, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("email_verified", sa.Boolean, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("auth_generation", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
    )
    op.create_table(
        "device",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("named_by_person", sa.Boolean, nullable=False),
        sa.Column("platform", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("device_of_account", "device", ["account_id", "secret_hash"], unique=True)
    op.create_table(
        "session",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("device_id", ID, sa.ForeignKey("device.id", ondelete="CASCADE"), nullable=False),
        sa.Column("door", sa.Text, nullable=False),
        sa.Column("nonce_hash", sa.LargeBinary, nullable=False),
        sa.Column("kid", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("rotated_at", sa.BigInteger, nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger),
        sa.Column("window_generation", sa.Integer, nullable=False),
        sa.Column("window_started_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("auth_time", sa.BigInteger, nullable=False),
        sa.Column("auth_methods", sa.Text, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("idle_expires_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ip", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("end_reason", sa.Text),
        sa.Column("ended_by", ID),
        sa.Column("reused_generation", sa.Integer),
        postgresql_with={"fillfactor": 85},
    )
    op.create_index("ix_session_account_id", "session", ["account_id"])
    op.create_index(
        "session_living", "session", ["device_id", "door"], unique=True, postgresql_where=LIVING, sqlite_where=LIVING
    )
    op.create_index("session_ended", "session", ["ended_at"], postgresql_where=ENDED, sqlite_where=ENDED)
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "signing_key_current", "signing_key", ["state"], unique=True, postgresql_where=CURRENT, sqlite_where=CURRENT
    )
    op.create_table(
        "audit_event",
        sa.Column("id", BIG_KEY, sa.Identity(), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account_id", ID),
        sa.Column("session_id", ID),
        sa.Column("device_id", ID),
        sa.Column("ip", sa.Text),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("audit_event_of_account", "audit_event", ["account_id", "id"])
