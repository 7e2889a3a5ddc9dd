"""`coatcheck why EMAIL`: why a person was signed out, told from the audit log in plain sentences."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, audit
from .clock import rfc3339
from .db import Database
from .errors import InvalidRequest, NotFound
from .tables import Account, AuditEvent, Device

_REASONS = {
    "signed_out": "the person signed out there",
    "signed_out_elsewhere": "it was signed out from another device",
    "replaced": "a new sign-in on the same device took its place",
    "idle": "nobody used it for too long (COATCHECK_IDLE_TTL, COATCHECK_WEB_IDLE_TTL)",
    "expired": "its longest life was over (COATCHECK_ABSOLUTE_TTL, COATCHECK_WEB_ABSOLUTE_TTL)",
    "reused": "an old refresh token was presented after its successor had been used",
    "password_changed": "the password was changed, which ends every other session",
    "password_reset": "the password was reset by mail, which ends every session",
    "factor_changed": "a second factor was changed, which ends every other session",
    "limit": "the account had more sessions than it may, and this one made room",
    "admin": "an administrator ended it, or disabled the account",
    "account_closed": "the person closed the account",
}
_HINTS = {
    "reused": (
        "Somebody has a copy of that token. It may be a thief; it may be the person's own app, put back from a backup "
        "or copied to a second device. If the address below is not the person's, let her change the password and look "
        "through her devices. If it happens to many people after a release of your client, that client forgets to "
        "keep its new refresh token."
    ),
    "expired": "This is by the calendar: signing in again is all there is to do.",
    "idle": "An app that is opened daily should never see this: if it does, it fails to refresh or to keep its token.",
    "replaced": "If the person signs in again and again, her client fails to keep what it was given.",
}


async def explain(db: Database, email: str, last: int = 5) -> list[str]:
    """The last endings, newest first, a paragraph of lines each. Raises NotFound, Unavailable."""
    async with db.reading() as session:
        account = await _account(session, email)
        own = col(AuditEvent.account_id) == account.id
        query = select(AuditEvent).where(own, AuditEvent.kind == "session.ended").order_by(col(AuditEvent.id).desc())
        endings = list(await session.exec(query.limit(last)))
        lines = [f"{account.email}: {_times(len(endings), last)}"]
        if account.disabled_at is not None:
            lines.append(f"The account is disabled since {_when(account.disabled_at)}: nobody can sign in to it.")
        for ending in endings:
            lines += ["", *await _paragraph(session, ending)]
        failed = await _failed_since(session, account.id, endings[0].id if endings else 0)
    # Names and User-Agents are strangers' words: nothing in them moves a terminal's cursor.
    return [
        "".join(c if c.isprintable() else "?" for c in line) for line in [*lines, *(["", failed] if failed else [])]
    ]


async def _account(db: AsyncSession, email: str) -> Account:
    try:
        account = await accounts.by_email(db, accounts.normalise_email(email))
    except InvalidRequest:
        account = None
    if account is None:
        raise NotFound("There is no account with this address.")
    return account


def _times(found: int, last: int) -> str:
    if found == 0:
        return "no session of this account has ever ended, as far as the audit log goes back."
    return f"how its sessions ended, newest first{f' (the last {last})' if found == last else ''}; times are UTC."


async def _paragraph(db: AsyncSession, ending: AuditEvent) -> list[str]:
    query = select(AuditEvent).where(
        AuditEvent.account_id == ending.account_id, AuditEvent.session_id == ending.session_id
    )
    history = list(await db.exec(query.order_by(col(AuditEvent.id))))
    device = await db.get(Device, ending.device_id) if ending.device_id else None
    reason = audit.told(ending).get("reason", "")
    lines = [f"{_when(ending.at)}  {_place(history, device)}: {_REASONS.get(reason, reason)}{_actor(ending)}."]
    for event in history:
        told = audit.told(event)
        if event.kind == "token.reused":
            lines.append(f"    It was presented from {event.ip} by “{told.get('user_agent', '')}”.")
        if event.kind == "refresh.refused":
            lines.append(f"    Its app came back {_when(event.at)} from {event.ip} and was told {told.get('code')}.")
    if reason in _HINTS:
        lines.append(f"    {_HINTS[reason]}")
    return lines


def _place(history: Sequence[AuditEvent], device: Device | None) -> str:
    """The device by its present name, and how that session began."""
    started = next((event for event in history if event.kind == "session.started"), None)
    told = audit.told(started) if started else {}
    name = (device.name if device else "") or told.get("device", "a device that is gone")
    since = f" ({told.get('door')}, signed in {_when(started.at)} from {started.ip})" if started else ""
    return f"{name}{since}"


def _actor(ending: AuditEvent) -> str:
    told = audit.told(ending)
    if told.get("reason") in ("idle", "expired"):
        return ""  # nobody ended it; the address is of who asked later
    by = told.get("ended_by")
    return (f", by “{by}”" if by else "") + (f", from {ending.ip}" if ending.ip else "")


async def _failed_since(db: AsyncSession, account_id: bytes, event_id: int | None) -> str | None:
    query = select(AuditEvent).where(
        AuditEvent.account_id == account_id, AuditEvent.kind == "login.failed", col(AuditEvent.id) > (event_id or 0)
    )
    failed = list(await db.exec(query.order_by(col(AuditEvent.id).desc()).limit(100)))
    if not failed:
        return None
    places = ", ".join(sorted({event.ip or "" for event in failed}))
    return f"Since then {len(failed)} sign-ins failed, the last one {_when(failed[0].at)}, from {places}."


def _when(moment: int) -> str:
    return rfc3339(moment)[:19].replace("T", " ")
