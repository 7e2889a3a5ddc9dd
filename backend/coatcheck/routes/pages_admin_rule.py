"""What only administrators do, on pages: disable an account and enable it, give it a role, read the audit log."""

from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request, Response

from .. import account_search, administration, audit, audit_reading, ids
from ..desk import Desk
from ..errors import Problem
from ..roles import RANKS, of
from . import admin_audit
from .admin_audit import WantedOf
from .admin_bodies import RoleIn
from .authentication import DeskOf
from .forms import TOLD, FormOf
from .pages import page
from .pages_account import After
from .pages_staff import AdminLooks, AdminRules, facts, go_to_account
from .staff import AccountId

router = APIRouter(prefix="/admin", include_in_schema=False)

_EVENTS = 30  # on a page
_FILTERS = ("kind", "account", "session", "by", "ip", "since", "until")


@router.get("/accounts/{account_id}/disable")
async def disable_page(request: Request, _staff: AdminRules, account_id: AccountId, desk: DeskOf) -> Response:
    """Are you sure?"""
    return await _disable(request, desk, account_id)


@router.post("/accounts/{account_id}/disable")
async def disable(request: Request, staff: AdminRules, account_id: AccountId, _form: FormOf, desk: DeskOf) -> Response:
    """Everything of it ends at once, and nobody signs in to it."""
    try:
        await administration.set_disabled(desk, account_id, True, staff)
    except TOLD as problem:
        return await _disable(request, desk, account_id, problem)
    return go_to_account(request, account_id, "account-disabled")


async def _disable(request: Request, desk: Desk, account_id: bytes, problem: Problem | None = None) -> Response:
    found = await account_search.one(desk, account_id)
    address = f"/admin/accounts/{ids.text('acc', account_id)}"
    return page(
        request,
        "confirm.html",
        problem=problem,
        title="Disable this account?",
        text=f"Every session of {found.account.email} ends at once, and nobody signs in to it until it is enabled.",
        action=f"{address}/disable",
        yes="Disable it",
        back=address,
    )


@router.get("/accounts/{account_id}/enable")
async def enable_page(request: Request, _staff: AdminRules, account_id: AccountId, desk: DeskOf) -> Response:
    """Are you sure?"""
    found = await account_search.one(desk, account_id)
    address = f"/admin/accounts/{ids.text('acc', account_id)}"
    return page(
        request,
        "confirm.html",
        title="Enable this account?",
        text=f"{found.account.email} can sign in again.",
        action=f"{address}/enable",
        yes="Enable it",
        back=address,
    )


@router.post("/accounts/{account_id}/enable")
async def enable(request: Request, staff: AdminRules, account_id: AccountId, _form: FormOf, desk: DeskOf) -> Response:
    """It can sign in again."""
    await administration.set_disabled(desk, account_id, False, staff)
    return go_to_account(request, account_id, "account-enabled")


@router.get("/accounts/{account_id}/role")
async def role_page(request: Request, _staff: AdminRules, account_id: AccountId, desk: DeskOf) -> Response:
    """The roles to choose from."""
    return await _role(request, desk, account_id)


@router.post("/accounts/{account_id}/role")
async def set_role(request: Request, staff: AdminRules, account_id: AccountId, form: FormOf, desk: DeskOf) -> Response:
    """A lower one than before ends the account's sessions."""
    try:
        await administration.set_role(desk, account_id, form.read(RoleIn).role, staff)
    except TOLD as problem:
        return await _role(request, desk, account_id, problem)
    return go_to_account(request, account_id, "role-set")


async def _role(request: Request, desk: Desk, account_id: bytes, problem: Problem | None = None) -> Response:
    account = (await account_search.one(desk, account_id)).account
    return page(request, "admin_role.html", problem=problem, account=account, roles=RANKS, held=of(account.roles))


@router.get("/accounts/{account_id}/reset")
async def reset_page(request: Request, _staff: AdminRules, account_id: AccountId, desk: DeskOf) -> Response:
    """Are you sure?"""
    return await _reset(request, desk, account_id)


@router.post("/accounts/{account_id}/reset")
async def start_reset(
    request: Request, staff: AdminRules, account_id: AccountId, _form: FormOf, desk: DeskOf
) -> Response:
    """A link for the person, by mail."""
    try:
        await administration.start_reset(desk, account_id, staff)
    except TOLD as problem:
        return await _reset(request, desk, account_id, problem)
    return go_to_account(request, account_id, "reset-sent")


async def _reset(request: Request, desk: Desk, account_id: bytes, problem: Problem | None = None) -> Response:
    found = await account_search.one(desk, account_id)
    address = f"/admin/accounts/{ids.text('acc', account_id)}"
    return page(
        request,
        "confirm.html",
        problem=problem,
        title="Send a reset link?",
        text=f"{found.account.email} gets a link to choose a new password. Nobody else sees it.",
        action=f"{address}/reset",
        yes="Send the link",
        back=address,
    )


@router.get("/audit")
async def audit_page(
    request: Request, staff: AdminLooks, desk: DeskOf, wanted: WantedOf, after: After = None
) -> Response:
    """Everybody's security events, newest first, with filters."""
    events = await audit_reading.page(desk, wanted, int(after) if after else None, _EVENTS + 1)
    given = {name: request.query_params.get(name, "") for name in _FILTERS}
    kinds = sorted(get_args(audit.Kind))
    return page(
        request,
        "admin_audit.html",
        staff=staff,
        kinds={"": "Any"} | dict(zip(kinds, kinds, strict=True)),
        events=events[:_EVENTS],
        facts=facts,
        earlier=events[_EVENTS - 1].id if len(events) > _EVENTS else None,
        kept=given,
        given={name: value for name, value in given.items() if value},
    )


@router.get("/audit.csv")
async def audit_file(
    staff: AdminRules, desk: DeskOf, wanted: WantedOf, after: Annotated[str | None, Query()] = None
) -> Response:
    """The same as a file, in which no cell can be run as a formula."""
    return await admin_audit.audit_file(staff, desk, wanted, after)
