"""Who may use the administrators' pages: the same as behind `/v1/admin` (staff.py), known by the page's cookie."""

import json
from typing import Annotated

from fastapi import Depends, Request, Response

from .. import ids, roles, step_up
from ..roles import Role, Staff
from ..tables import AuditEvent
from .authentication import client_ip, desk_of
from .pages import caller_of_page, go


async def _staff(request: Request, least: Role, *, fresh: bool) -> Staff:
    """Raises Forbidden before ReauthenticationRequired: nobody proves himself for nothing."""
    caller, desk = caller_of_page(request), desk_of(request)
    staff = await roles.require(desk, caller, least, client_ip(request.scope, desk))
    if fresh:
        step_up.require_fresh(desk, caller)
    return staff


async def _looking(request: Request) -> Staff:
    return await _staff(request, "support", fresh=False)


async def _acting(request: Request) -> Staff:
    return await _staff(request, "support", fresh=True)


async def _ruling(request: Request) -> Staff:
    return await _staff(request, "admin", fresh=True)


async def _auditing(request: Request) -> Staff:
    return await _staff(request, "admin", fresh=False)


SupportLooks = Annotated[Staff, Depends(_looking)]
SupportActs = Annotated[Staff, Depends(_acting)]
AdminRules = Annotated[Staff, Depends(_ruling)]
AdminLooks = Annotated[Staff, Depends(_auditing)]


def go_to_account(request: Request, account_id: bytes, notice: str) -> Response:
    """Back to the account's page, with what was done."""
    return go(request, f"/admin/accounts/{ids.text('acc', account_id)}", notice)


def facts(event: AuditEvent) -> list[tuple[str, str]]:
    """What an event says beside who, when and where; who acted, too."""
    return list(json.loads(event.data).items())
