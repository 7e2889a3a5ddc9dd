"""The audit log for administrators: page by page, and as a file."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from .. import administration, audit_reading, ids
from ..audit_reading import Wanted
from ..errors import FieldError, InvalidRequest
from .admin import audit_page, event_id
from .admin_answers import AuditOut
from .answers import problems
from .authentication import DeskOf
from .bodies import StrictRoute
from .staff import ADMIN_LOOKS, AdminActs

router = APIRouter(prefix="/v1/admin", tags=["administration"], route_class=StrictRoute)

_Text = Annotated[str | None, Query(max_length=64)]
After = Annotated[str | None, Query(max_length=20)]


async def _wanted(
    kind: _Text = None,
    account: _Text = None,
    session: _Text = None,
    by: _Text = None,
    ip: _Text = None,
    since: _Text = None,
    until: _Text = None,
) -> Wanted:
    return Wanted(
        _plain("kind", kind),
        _id("account", "acc", account),
        _id("session", "ses", session),
        _id("by", "acc", by),
        _plain("ip", ip),
        _moment("since", since),
        _moment("until", until),
    )


WantedOf = Annotated[Wanted, Depends(_wanted)]


@router.get("/audit", dependencies=ADMIN_LOOKS, responses=problems(401, 403))
async def audit_log(
    desk: DeskOf,
    wanted: WantedOf,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> AuditOut:
    """Security events, newest first; `since` and `until` are RFC 3339, `by` the account of who acted."""
    return await audit_page(desk, wanted, after, limit)


@router.get(
    "/audit.csv",
    response_class=StreamingResponse,
    responses=problems(401, 403) | {200: {"content": {"text/csv": {}}}},
)
async def audit_file(
    staff: AdminActs,
    desk: DeskOf,
    wanted: WantedOf,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100_000,
) -> StreamingResponse:
    """The same as a file (CSV), in which no cell can be run as a formula."""
    before = event_id(after)
    await administration.note_export(desk, staff)
    headers = {"Content-Disposition": 'attachment; filename="coatcheck-audit.csv"'}
    rows = audit_reading.as_csv(desk, wanted, before, limit)
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8; header=present", headers=headers)


def _plain(field: str, given: str | None) -> str | None:
    if given and not given.isprintable():
        raise _invalid(field, "This holds characters that are not text.")
    return given or None


def _id(field: str, kind: ids.Kind, given: str | None) -> bytes | None:
    raw = ids.raw(kind, given) if given else None
    if given and raw is None:
        raise _invalid(field, "This is not an id.")
    return raw


def _moment(field: str, given: str | None) -> int | None:
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise _invalid(field, "Give a moment such as 2026-11-23T18:00:00Z.") from None


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=(FieldError(field, "invalid", message),))
