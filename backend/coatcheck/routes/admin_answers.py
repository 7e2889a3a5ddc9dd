"""What goes out to those who look after accounts."""

import json

from pydantic import BaseModel, Field

from .. import ids
from ..account_search import Found
from ..clock import rfc3339
from ..tables import AuditEvent
from .answers import AccountOut


class AdminAccountOut(AccountOut):
    """An account as those who look after it see it. Nothing of its password or factors."""

    disabled_at: str | None
    sessions: int = Field(description="Living ones.")

    @classmethod
    def of_found(cls, found: Found) -> "AdminAccountOut":
        """From a search."""
        account = found.account
        disabled_at = rfc3339(account.disabled_at) if account.disabled_at is not None else None
        return cls(**dict(AccountOut.of(account)), disabled_at=disabled_at, sessions=found.sessions)


class AdminAccountsOut(BaseModel):
    """Accounts by address; `next` is the `after` of the following page."""

    accounts: list[AdminAccountOut]
    next: str | None


class EverybodyOut(BaseModel):
    """How many sessions ended; with `more`, ask again: some are left."""

    ended: int
    more: bool


class AuditEventOut(BaseModel):
    """One security event, whoever it is about; `data` names the administrator who acted as `by`."""

    id: str
    at: str
    kind: str
    account_id: str | None
    session_id: str | None
    device_id: str | None
    ip: str | None
    data: dict[str, str]

    @classmethod
    def of(cls, event: AuditEvent) -> "AuditEventOut":
        """From the row."""
        return cls(
            id=str(event.id),
            at=rfc3339(event.at),
            kind=event.kind,
            account_id=ids.text("acc", event.account_id) if event.account_id else None,
            session_id=ids.text("ses", event.session_id) if event.session_id else None,
            device_id=ids.text("dev", event.device_id) if event.device_id else None,
            ip=event.ip,
            data=json.loads(event.data),
        )


class AuditOut(BaseModel):
    """Events, newest first; `next` is the `after` of the following page."""

    events: list[AuditEventOut]
    next: str | None
