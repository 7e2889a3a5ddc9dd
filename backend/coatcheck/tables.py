"""The tables. Moments are BIGINT milliseconds (UTC), ids 16 random bytes: the same on PostgreSQL and SQLite.

`session` is one login of an account on a device through one door: one row for ever, whatever its number of refreshes.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

_BIG_KEY = BigInteger().with_variant(Integer, "sqlite")


def _id(**options: object) -> Column[bytes]:
    return Column(LargeBinary(16), primary_key=True, **options)  # type: ignore[arg-type]


def _owner(table: str, index: bool = True) -> Column[bytes]:
    return Column(LargeBinary(16), ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, index=index)


def _moment(nullable: bool = False) -> Column[int]:
    return Column(BigInteger, nullable=nullable)


class Account(SQLModel, table=True):
    """A person who can sign in. `email` is the normalised form and unique."""

    __table_args__ = (
        # The few who have a role (roles.py), and addresses by their beginning (account_search.py).
        Index("account_staff", "roles", postgresql_where=text("roles <> ''"), sqlite_where=text("roles <> ''")),
        Index("account_email_prefix", text("email text_pattern_ops")).ddl_if(dialect="postgresql"),
        # The few that are disabled or closed, for cleanup.
        Index(
            "account_disabled",
            "disabled_at",
            postgresql_where=text("disabled_at IS NOT NULL"),
            sqlite_where=text("disabled_at IS NOT NULL"),
        ),
    )

    id: bytes = Field(sa_column=_id())
    email: str = Field(sa_type=Text, unique=True)
    email_verified: bool = False
    name: str | None = Field(default=None, sa_type=Text)
    password_hash: str = Field(sa_type=Text)
    roles: str = Field(default="", sa_type=Text)  # space-separated; empty for an ordinary account
    auth_generation: int = 0  # raised when password or state change: a sign-in begun before it does not count
    created_at: int = Field(sa_column=_moment())
    disabled_at: int | None = Field(default=None, sa_column=_moment(nullable=True))


class Device(SQLModel, table=True):
    """One installation of a client, recognised by a secret it keeps; only its SHA-256 is here."""

    __table_args__ = (Index("device_of_account", "account_id", "secret_hash", unique=True),)

    id: bytes = Field(sa_column=_id())
    account_id: bytes = Field(sa_column=_owner("account", index=False))
    secret_hash: bytes = Field(sa_type=LargeBinary)
    name: str = Field(sa_type=Text)
    named_by_person: bool = False
    platform: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_column=_moment())


class Session(SQLModel, table=True):
    """One login. `generation` counts rotations; the `window_*` pair is the running race window (sessions.py)."""

    __table_args__ = (
        # One living session a device and door, by construction: two simultaneous logins can't both survive.
        Index(
            "session_living",
            "device_id",
            "door",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
        # What the sweep reads, and the device page's ended tickets.
        Index(
            "session_ended",
            "ended_at",
            postgresql_where=text("ended_at IS NOT NULL"),
            sqlite_where=text("ended_at IS NOT NULL"),
        ),
        Index("session_of_device", "device_id"),  # deleting a device looks for its sessions
        # What the sweep reads of web sessions with a cookie renewed by step-up (revocation.py).
        Index(
            "session_turned",
            "auth_time",
            postgresql_where=text("door = 'web' AND auth_time <> created_at"),
            sqlite_where=text("door = 'web' AND auth_time <> created_at"),
        ),
        # Room in each page, so that a refresh rewrites the row in place and touches no index (PostgreSQL HOT).
        {"postgresql_with": {"fillfactor": 85}},
    )

    id: bytes = Field(sa_column=_id())
    account_id: bytes = Field(sa_column=_owner("account"))
    device_id: bytes = Field(sa_column=_owner("device", index=False))
    door: str = Field(sa_type=Text)
    nonce_hash: bytes = Field(sa_type=LargeBinary)
    kid: int = Field(sa_type=Integer)  # the root secret that made the current generation
    generation: int = Field(default=0, sa_type=Integer)
    rotated_at: int = Field(sa_column=_moment())
    acknowledged_at: int | None = Field(default=None, sa_column=_moment(nullable=True))
    window_generation: int = Field(default=0, sa_type=Integer)
    window_started_at: int = Field(default=0, sa_column=_moment())
    created_at: int = Field(sa_column=_moment())
    auth_time: int = Field(sa_column=_moment())
    auth_methods: str = Field(sa_type=Text)  # RFC 8176 values, space-separated
    last_seen_at: int = Field(sa_column=_moment())
    idle_expires_at: int = Field(sa_column=_moment())  # never later than expires_at
    expires_at: int = Field(sa_column=_moment())
    ip: str = Field(sa_type=Text)
    user_agent: str = Field(sa_type=Text)
    ended_at: int | None = Field(default=None, sa_column=_moment(nullable=True))
    end_reason: str | None = Field(default=None, sa_type=Text)
    ended_by: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16), nullable=True))  # a device
    reused_generation: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))


class SigningKey(SQLModel, table=True):
    """An ES256 key; the private half is wrapped by a root secret."""

    __tablename__ = "signing_key"
    # One current and one next key, whoever is first: the second writer's insert fails and it reads the winner's.
    __table_args__ = (
        Index(
            "signing_key_current",
            "state",
            unique=True,
            postgresql_where=text("state = 'current'"),
            sqlite_where=text("state = 'current'"),
        ),
        Index(
            "signing_key_next",
            "state",
            unique=True,
            postgresql_where=text("state = 'next'"),
            sqlite_where=text("state = 'next'"),
        ),
    )

    kid: str = Field(sa_type=Text, primary_key=True)
    state: str = Field(sa_type=Text)  # next, current, previous (key_rotation.py)
    public_key: bytes = Field(sa_type=LargeBinary)  # SubjectPublicKeyInfo, DER
    private_key: bytes = Field(sa_type=LargeBinary)  # PKCS #8, DER, wrapped
    created_at: int = Field(sa_column=_moment())
    since: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))  # in this state


class Service(SQLModel, table=True):
    """A service that may introspect; of its credential only the SHA-256 is here."""

    name: str = Field(sa_type=Text, primary_key=True)
    secret_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    created_at: int = Field(sa_column=_moment())


class Challenge(SQLModel, table=True):
    """A single-use value (challenges.py): `key` is the SHA-256 of its token, `data` JSON wrapped by a root secret."""

    key: bytes = Field(sa_type=LargeBinary, primary_key=True)
    purpose: str = Field(sa_type=Text)
    account_id: bytes | None = Field(
        default=None,
        sa_column=Column(LargeBinary(16), ForeignKey("account.id", ondelete="CASCADE"), nullable=True, index=True),
    )
    data: bytes = Field(sa_type=LargeBinary)
    attempts: int = Field(default=0, sa_type=Integer)
    created_at: int = Field(sa_column=_moment())
    expires_at: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))


class OutgoingMail(SQLModel, table=True):
    """A mail that waits for delivery (mail.py). Address and words are sealed: they hold links."""

    __tablename__ = "outgoing_mail"

    id: bytes = Field(sa_column=_id())
    sealed: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_column=_moment())
    next_try_at: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
    attempts: int = Field(default=0, sa_type=Integer)


class Factor(SQLModel, table=True):
    """A second factor: an authenticator app (`totp`) or a passkey. What only one of them has is null for the other."""

    id: bytes = Field(sa_column=_id())
    account_id: bytes = Field(sa_column=_owner("account"))
    method: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    created_at: int = Field(sa_column=_moment())
    last_used_at: int | None = Field(default=None, sa_column=_moment(nullable=True))
    seed: bytes | None = Field(default=None, sa_type=LargeBinary)  # of the app, wrapped by a root secret
    last_step: int | None = Field(default=None, sa_column=_moment(nullable=True))  # the app's newest used step
    credential_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True, unique=True))
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary)  # COSE
    sign_count: int | None = Field(default=None, sa_column=_moment(nullable=True))
    synced: bool | None = None  # whether it may leave its device (backup eligible); never changes
    backed_up: bool | None = None
    transports: str | None = Field(default=None, sa_type=Text)  # hints for the browser, space-separated


class RecoveryCode(SQLModel, table=True):
    """One of an account's codes, found by its first character and hashed like a password; gone once used."""

    __tablename__ = "recovery_code"

    account_id: bytes = Field(
        sa_column=Column(LargeBinary(16), ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    )
    slot: str = Field(sa_type=Text, primary_key=True)
    hash: str = Field(sa_type=Text)
    made_at: int = Field(sa_column=_moment())


class Guess(SQLModel, table=True):
    """Codes tried in a row without success, of one account and method, by one known device or all strangers."""

    key: bytes = Field(sa_type=LargeBinary, primary_key=True)
    account_id: bytes = Field(sa_column=_owner("account"))
    failures: int = Field(sa_type=Integer)
    free_at: int = Field(sa_column=_moment())  # when the next may be tried
    last_at: int = Field(sa_column=_moment())


class Chore(SQLModel, table=True):
    """Work that one worker at a time does now and then: when it is due, and how far it has come (cleanup.py)."""

    name: str = Field(sa_type=Text, primary_key=True)
    next_at: int = Field(sa_column=_moment())
    place: str = Field(sa_type=Text)


class AuditEvent(SQLModel, table=True):
    """One security event. Append-only; no foreign keys, so it outlives what it tells about."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("audit_event_of_account", "account_id", "id"),)

    id: int | None = Field(default=None, sa_column=Column(_BIG_KEY, Identity(), primary_key=True))
    at: int = Field(sa_column=_moment())
    kind: str = Field(sa_type=Text)
    account_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16), nullable=True))
    session_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16), nullable=True))
    device_id: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16), nullable=True))
    ip: str | None = Field(default=None, sa_type=Text)
    data: str = Field(default="{}", sa_type=Text)  # JSON object, no secret in it
    seal: bytes | None = Field(default=None, sa_type=LargeBinary)  # audit_seal.py; none: made by an earlier release


class AuditLink(SQLModel, table=True):
    """A link of the chain over the audit log (audit_chain.py). Append-only."""

    __tablename__ = "audit_link"

    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    event_id: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    kid: int = Field(sa_type=Integer)  # the root secret
    hash: bytes = Field(sa_type=LargeBinary)


class AuditAnchor(SQLModel, table=True):
    """Where a pruned audit log begins: the last link that was removed, and proof of it."""

    __tablename__ = "audit_anchor"

    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hash: bytes = Field(sa_type=LargeBinary)
    youngest: int = Field(sa_column=_moment())  # when the youngest event that was pruned happened
    kid: int = Field(sa_type=Integer)
    mac: bytes = Field(sa_type=LargeBinary)


__all__ = [
    "Account",
    "AuditAnchor",
    "AuditEvent",
    "AuditLink",
    "Challenge",
    "Chore",
    "Device",
    "Factor",
    "Guess",
    "OutgoingMail",
    "RecoveryCode",
    "SQLModel",
    "Service",
    "Session",
    "SigningKey",
]
