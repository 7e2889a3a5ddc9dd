"""Who may use the administrators' routes: the role, as the account's row has it now, and for an act a fresh proof.

Looking asks for the role alone; every act, and taking the audit log out as a file, for a fresh proof too.
"""

from typing import Annotated

from fastapi import Depends, Request

from .. import ids, roles, step_up
from ..errors import NotFound
from ..roles import Role, Staff
from .authentication import caller_of, client_ip, desk_of


async def staff_of(request: Request, least: Role, *, fresh: bool) -> Staff:
    """The caller as staff. Raises Forbidden before ReauthenticationRequired: nobody proves himself for nothing."""
    caller, desk = caller_of(request), desk_of(request)
    staff = await roles.require(desk, caller, least, client_ip(request.scope, desk))
    if fresh:
        step_up.require_fresh(desk, caller)
    return staff


async def _looking(request: Request) -> None:
    await staff_of(request, "support", fresh=False)


async def _acting(request: Request) -> Staff:
    return await staff_of(request, "support", fresh=True)


async def _ruling(request: Request) -> Staff:
    return await staff_of(request, "admin", fresh=True)


async def _auditing(request: Request) -> None:
    await staff_of(request, "admin", fresh=False)


# For a route's `dependencies`, which come before anything it asks for itself: who may not look learns nothing.
SUPPORT_LOOKS = [Depends(_looking)]
ADMIN_LOOKS = [Depends(_auditing)]
SupportActs = Annotated[Staff, Depends(_acting)]
AdminActs = Annotated[Staff, Depends(_ruling)]


def account_id_of(account_id: str) -> bytes:
    """The path's account. Raises NotFound for what is no id."""
    raw = ids.raw("acc", account_id)
    if raw is None:
        raise NotFound
    return raw


AccountId = Annotated[bytes, Depends(account_id_of)]
