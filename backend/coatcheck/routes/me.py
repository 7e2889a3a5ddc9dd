"""The account: make one, see it, change it, close it, read its own security history."""

from typing import Annotated

from fastapi import APIRouter, Query

from .. import accounts, audit, devices
from ..errors import FieldError, InvalidRequest
from .answers import AccountOut, ActivityOut, EventOut, problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import NameIn, PasswordIn, RegisterIn, StrictRoute

router = APIRouter(prefix="/v1", tags=["account"], route_class=StrictRoute)


@router.post("/accounts", status_code=201, responses=problems(409, 429))
async def register(body: RegisterIn, desk: DeskOf, origin: OriginOf) -> AccountOut:
    """Make an account. It does not sign in."""
    return AccountOut.of(await accounts.register(desk, body.email, body.password, body.name, origin))


@router.get("/me", responses=problems(401))
async def me(caller: CallerOf, desk: DeskOf) -> AccountOut:
    """The caller's account."""
    return AccountOut.of(await accounts.get(desk, caller.account_id))


@router.patch("/me", responses=problems(401, 403))
async def rename_me(body: NameIn, caller: CallerOf, desk: DeskOf) -> AccountOut:
    """Change the display name."""
    return AccountOut.of(await accounts.rename(desk, caller.account_id, body.name))


@router.delete("/me", status_code=204, responses=problems(401, 403))
async def close_me(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """Close the account; needs a fresh proof (`POST /v1/me/reauthenticate`)."""
    await accounts.close(desk, caller, origin)


@router.post("/me/password", status_code=204, responses=problems(401, 403, 429))
async def change_password(body: PasswordIn, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """Change the password; the caller stays signed in, every other session ends."""
    await accounts.change_password(
        desk, caller.account_id, caller.session_id, body.current_password, body.new_password, origin
    )


@router.get("/me/activity", responses=problems(401))
async def activity(
    caller: CallerOf,
    desk: DeskOf,
    after: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> ActivityOut:
    """The account's security events, newest first; pass `next` as `after` for the page that follows."""
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidRequest(errors=(FieldError("after", "invalid", "Pass the `next` of an earlier page."),))
    async with desk.db.reading() as db:
        found = await audit.of_account(db, caller.account_id, int(after) if after else None, limit + 1)
        names = await devices.names(db, caller.account_id)
    page = found[:limit]
    events = [EventOut.of(one, names) for one in page]
    return ActivityOut(events=events, next=str(page[-1].id) if len(found) > limit else None)
