"""Where the account is signed in, and the end of any of it, at once, everywhere."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from .. import devices, ids
from ..clock import rfc3339
from ..errors import NotFound
from .answers import CredentialOut, DeviceOut, DevicesOut, EndedOut, problems
from .authentication import CallerOf, DeskOf, OriginOf, caller_of
from .bodies import DeviceNameIn, StrictRoute
from .direct import DirectRoute

router = APIRouter(prefix="/v1", tags=["devices and sessions"], route_class=StrictRoute)
busiest = APIRouter(prefix="/v1", tags=["devices and sessions"], route_class=DirectRoute)


@busiest.get("/sessions/current", response_model=CredentialOut, responses=problems(401))
async def current_session(request: Request) -> Response:
    """What the caller's credential says. No I/O: the cheapest authenticated request there is."""
    caller = caller_of(request)
    told = CredentialOut(
        account_id=ids.text("acc", caller.account_id),
        session_id=ids.text("ses", caller.session_id),
        door=caller.door,
        roles=list(caller.roles),
        auth_methods=list(caller.auth_methods),
        auth_time=rfc3339(caller.auth_time),
        expires_at=rfc3339(caller.expires_at),
    )
    return Response(told.model_dump_json(), media_type="application/json")


@router.get("/devices", responses=problems(401))
async def list_devices(caller: CallerOf, desk: DeskOf, ended: Annotated[bool, Query()] = False) -> DevicesOut:
    """Devices with a living session, current first; with `ended=true` the ended sessions too, with their reasons."""
    found = await devices.tickets(desk, caller.account_id, caller.session_id, ended)
    return DevicesOut(devices=[DeviceOut.of(ticket, caller.session_id) for ticket in found])


@router.patch("/devices/{device_id}", responses=problems(401, 403, 404))
async def rename_device(
    device_id: str, body: DeviceNameIn, caller: CallerOf, desk: DeskOf, origin: OriginOf
) -> DeviceOut:
    """Name a device; the name stays whatever later sign-ins send."""
    target = raw_id("dev", device_id)
    await devices.rename(desk, caller.account_id, target, body.name, origin)
    return DeviceOut.of(await devices.ticket(desk, caller.account_id, caller.session_id, target), caller.session_id)


@router.delete("/devices/{device_id}", status_code=204, responses=problems(401, 403, 404))
async def sign_out_device(device_id: str, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """End every session on a device."""
    await devices.sign_out_device(desk, caller.account_id, caller.session_id, raw_id("dev", device_id), origin)


@router.post("/devices/logout-others", responses=problems(401, 403))
async def logout_others(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> EndedOut:
    """End every session but the caller's."""
    return EndedOut(
        ended=await devices.sign_out_everywhere(desk, caller.account_id, caller.session_id, keep=True, origin=origin)
    )


@router.post("/devices/logout-all", responses=problems(401, 403))
async def logout_all(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> EndedOut:
    """End every session, the caller's too."""
    return EndedOut(
        ended=await devices.sign_out_everywhere(desk, caller.account_id, caller.session_id, keep=False, origin=origin)
    )


@router.delete("/sessions/current", status_code=204, responses=problems(401, 403))
async def sign_out(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """End the caller's own session."""
    await devices.sign_out_self(desk, caller.session_id, origin)


@router.delete("/sessions/{session_id}", status_code=204, responses=problems(401, 403, 404))
async def sign_out_session(session_id: str, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """End one session of the account; one that has ended already is 204 too."""
    await devices.sign_out_session(desk, caller.account_id, caller.session_id, raw_id("ses", session_id), origin)


def raw_id(kind: ids.Kind, public: str) -> bytes:
    """Raises NotFound: a malformed id, a missing one and somebody else's look the same."""
    raw = ids.raw(kind, public)
    if raw is None:
        raise NotFound
    return raw
