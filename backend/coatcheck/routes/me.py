"""The account: make one, see it, change it, close it, read its own security history."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from .. import accounts, audit, devices, reauthentication, registration
from ..errors import FieldError, InvalidRequest
from . import cookies, csrf
from .answers import AccountOut, ActivityOut, EventOut, problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import NameIn, PasswordIn, RegisterIn, StrictRoute

router = APIRouter(prefix="/v1", tags=["account"], route_class=StrictRoute)


_MAILED: dict[int | str, dict[str, Any]] = {202: {"description": "With REQUIRE_VERIFIED_EMAIL: mail decides"}}


@router.post("/accounts", status_code=201, response_model=AccountOut, responses=problems(409, 429) | _MAILED)
async def register(body: RegisterIn, desk: DeskOf, origin: OriginOf) -> AccountOut | Response:
    """Make an account. It does not sign in. Where addresses must be proved, the answer is 202 for every address."""
    made = await registration.register(desk, body.email, body.password, body.name, origin)
    return AccountOut.of(made) if made else Response(status_code=202)


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
async def change_password(
    body: PasswordIn, request: Request, response: Response, caller: CallerOf, desk: DeskOf, origin: OriginOf
) -> None:
    """Change the password; the caller stays signed in, every other session ends.

    Who has a second factor needs a fresh proof. The web door gets another cookie, and its token as `X-CSRF-Token`.
    """
    cookie = cookies.of(request, desk.settings, "session") if caller.by_cookie else None
    renewed = await reauthentication.by_changing_password(
        desk, caller, cookie, body.current_password, body.new_password, origin
    )
    if renewed:
        cookies.write_session(response, desk.settings, renewed.pair.refresh_token, caller.expires_at - desk.clock.now())
        response.headers["X-CSRF-Token"] = csrf.token(desk, caller.session_id, renewed.generation)


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
        page = found[:limit]
        names = await devices.names(db, caller.account_id, (one.device_id for one in page))
    events = [EventOut.of(one, names) for one in page]
    return ActivityOut(events=events, next=str(page[-1].id) if len(found) > limit else None)
