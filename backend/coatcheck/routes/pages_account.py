"""Somebody's own account, on pages."""

from fastapi import APIRouter, Request, Response

from .. import accounts
from .authentication import DeskOf
from .pages import PageCallerOf, page

router = APIRouter(prefix="/account", include_in_schema=False)

MENU = (("/account", "Home"),)


@router.get("")
async def home(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """Who is signed in, where, and what happened lately."""
    account = await accounts.get(desk, caller.account_id)
    return page(request, "home.html", here="/account", menu=MENU, account=account)
