"""Find the staff, and accounts by the beginning of an address. Adds indexes; the release before runs on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_STAFF = sa.text("roles <> ''")


def upgrade() -> None:
    op.create_index("account_staff", "account", ["roles"], postgresql_where=_STAFF, sqlite_where=_STAFF)
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("account_email_prefix", "account", [sa.text("email text_pattern_ops")])
