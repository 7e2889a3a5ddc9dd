"""What goes out: the shapes that the contract promises, and nothing beside them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from .. import audit, ids
from ..clock import rfc3339
from ..devices import Ticket
from ..login import Grant
from ..sessions import Pair
from ..tables import Account, AuditEvent, Session


class AccountOut(BaseModel):
    """`Account` of the contract."""

    id: str
    email: str
    email_verified: bool
    name: str | None
    roles: list[str]
    created_at: str

    @classmethod
    def of(cls, account: Account) -> "AccountOut":
        """From the row."""
        return cls(
            id=ids.text("acc", account.id),
            email=account.email,
            email_verified=account.email_verified,
            name=account.name,
            roles=account.roles.split(),
            created_at=rfc3339(account.created_at),
        )


class SessionOut(BaseModel):
    """`Session` of the contract; `expires_at` is when it ends if it is not used again."""

    id: str
    door: str
    created_at: str
    last_seen_at: str
    expires_at: str
    ip: str
    user_agent: str
    auth_methods: list[str]
    current: bool
    key_bound: bool
    ended_at: str | None
    end_reason: str | None
    ended_by: str | None = Field(description="Name of the device that ended it, when another session did.")

    @classmethod
    def of(cls, session: Session, current: bool, ended_by: str | None = None) -> "SessionOut":
        """From the row."""
        return cls(
            id=ids.text("ses", session.id),
            door=session.door,
            created_at=rfc3339(session.created_at),
            last_seen_at=rfc3339(session.last_seen_at),
            expires_at=rfc3339(session.idle_expires_at),
            ip=session.ip,
            user_agent=session.user_agent,
            auth_methods=session.auth_methods.split(),
            current=current,
            key_bound=False,
            ended_at=rfc3339(session.ended_at) if session.ended_at is not None else None,
            end_reason=session.end_reason,
            ended_by=ended_by,
        )


class DeviceOut(BaseModel):
    """`Device` of the contract."""

    id: str
    name: str
    platform: str | None
    created_at: str
    last_seen_at: str
    current: bool
    sessions: list[SessionOut]

    @classmethod
    def of(cls, ticket: Ticket, session_id: bytes) -> "DeviceOut":
        """From the device and its sessions."""
        return cls(
            id=ids.text("dev", ticket.device.id),
            name=ticket.device.name,
            platform=ticket.device.platform,
            created_at=rfc3339(ticket.device.created_at),
            last_seen_at=rfc3339(ticket.last_seen_at),
            current=ticket.current,
            sessions=[SessionOut.of(one, one.id == session_id, ticket.ended_by.get(one.id)) for one in ticket.sessions],
        )


class DevicesOut(BaseModel):
    """Where the account is signed in."""

    devices: list[DeviceOut]


class EndedOut(BaseModel):
    """How many sessions ended."""

    ended: int


class SpaOut(BaseModel):
    """What the spa door hands out; the refresh token travels in a cookie."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    account: AccountOut
    session: SessionOut

    @classmethod
    def of(cls, pair: Pair, account: Account, session: Session) -> "SpaOut":
        """From a grant's parts."""
        return cls(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            account=AccountOut.of(account),
            session=SessionOut.of(session, current=True),
        )


class NativeOut(SpaOut):
    """What the native door hands out."""

    refresh_token: str
    device_token: str

    @classmethod
    def of_grant(cls, grant: Grant) -> "NativeOut":
        """From a sign-in."""
        spa = SpaOut.of(grant.pair, grant.account, grant.session)
        return cls(**dict(spa), refresh_token=grant.pair.refresh_token, device_token=grant.device_secret)


class WebOut(BaseModel):
    """What the web door hands out; the credential travels in a cookie."""

    account: AccountOut
    session: SessionOut
    csrf_token: str


class RenewedTokenOut(BaseModel):
    """After a step-up: the access token from now on. The refresh token stays as it is."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int


class RenewedCookieOut(BaseModel):
    """After a step-up at the web door: the CSRF token of the new cookie."""

    csrf_token: str


class CredentialOut(BaseModel):
    """What the caller's credential says; nothing was looked up."""

    account_id: str
    session_id: str
    door: str
    roles: list[str]
    auth_methods: list[str]
    auth_time: str
    expires_at: str


class EventOut(BaseModel):
    """One security event of the caller's own account."""

    id: str
    at: str
    kind: str
    ip: str | None
    device: str | None
    data: dict[str, str]

    @classmethod
    def of(cls, event: AuditEvent, names: dict[bytes, str]) -> "EventOut":
        """From the row; `names` are those of the account's devices."""
        return cls(
            id=str(event.id),
            at=rfc3339(event.at),
            kind=event.kind,
            ip=event.ip,
            device=names.get(event.device_id) if event.device_id else None,
            data=audit.told(event),
        )


class ActivityOut(BaseModel):
    """Events, newest first; `next` is the `after` of the following page."""

    events: list[EventOut]
    next: str | None


class ExportOut(BaseModel):
    """All that is held about one account, for its owner."""

    exported_at: str
    account: AccountOut
    devices: list[DeviceOut]
    activity: list[EventOut]
    activity_complete: bool = Field(description="False when there were more than the newest 10,000 events.")


class TokenOut(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str


class FieldErrorOut(BaseModel):
    """What is wrong with one field."""

    field: str
    code: str
    message: str


class ProblemOut(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldErrorOut] | None = None
    more_errors: bool | None = Field(None, description="True when more than the 20 fields in `errors` were wrong.")
    reason: str | None = Field(None, description="With `session_revoked`: the session's `end_reason`.")
    ended_by: str | None = Field(None, description="With `session_revoked`: the device that ended it, if one did.")
    challenge_token: str | None = Field(
        None, description="With `mfa_required` and `session_limit`: goes on at the door's `login/verify`."
    )
    methods: list[str] | None = Field(None, description="With `mfa_required`: `passkey`, `totp`, `recovery_code`.")
    devices: list[DeviceOut] | None = Field(
        None, description="With `session_limit`: choose a session of these to give up."
    )


class IntrospectionOut(BaseModel):
    """RFC 7662 section 2.2. Of a token that is not good nothing but that is told."""

    active: bool
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    sid: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    auth_time: int | None = None
    amr: list[str] | None = None
    roles: list[str] | None = None


class OAuthErrorOut(BaseModel):
    """RFC 6749 section 5.2, with our code."""

    error: str
    error_description: str
    code: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the refusals it can give; malformed requests and outages are always among them."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    every = sorted({*statuses, 400, 405, 413, 415, 422, 431, 500, 503})
    return {status: {"description": "A problem", "content": content} for status in every}
