"""Where somebody is signed in, on pages. Ending any of it never asks for a password: a thief is not waited for."""

from fastapi import APIRouter, Request, Response

from .. import devices
from .authentication import DeskOf, OriginOf
from .bodies import DeviceNameIn
from .devices import raw_id
from .forms import TOLD, FormOf
from .pages import PageCallerOf, go, page

router = APIRouter(prefix="/account", include_in_schema=False)


@router.get("/devices")
async def list_devices(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """The tickets; ended ones crossed out, with their reasons."""
    tickets = await devices.tickets(desk, caller.account_id, caller.session_id, ended=True)
    living = [one for one in tickets if any(session.ended_at is None for session in one.sessions)]
    ended = sorted((one for one in tickets if one not in living), key=lambda one: -max(_ends(one)))
    return page(request, "devices.html", living=living, ended=ended)


def _ends(ticket: devices.Ticket) -> list[int]:
    return [session.ended_at or 0 for session in ticket.sessions]


@router.get("/devices/sign-out-others")
async def sign_out_others_page(request: Request, _caller: PageCallerOf) -> Response:
    """Are you sure?"""
    return page(
        request,
        "confirm.html",
        title="Sign out all other devices?",
        text="Each of them has to sign in again. This one stays signed in.",
        action="/account/devices/sign-out-others",
        yes="Sign them out",
        back="/account/devices",
    )


@router.post("/devices/sign-out-others")
async def sign_out_others(
    request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """End every session but this one."""
    await devices.sign_out_everywhere(desk, caller.account_id, caller.session_id, keep=True, origin=origin)
    return go(request, "/account/devices", "others-signed-out")


@router.get("/devices/sign-out-all")
async def sign_out_all_page(request: Request, _caller: PageCallerOf) -> Response:
    """Are you sure?"""
    return page(
        request,
        "confirm.html",
        title="Sign out everywhere?",
        text="Every device has to sign in again, this one too.",
        action="/account/devices/sign-out-all",
        yes="Sign out everywhere",
        back="/account/profile",
    )


@router.post("/devices/sign-out-all")
async def sign_out_all(
    request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """End every session, this one too."""
    await devices.sign_out_everywhere(desk, caller.account_id, caller.session_id, keep=False, origin=origin)
    return go(request, "/account/sign-in", "signed-out-everywhere")


@router.get("/devices/{device_id}")
async def device_page(device_id: str, request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """One ticket, and the form to give it a name."""
    found = await devices.ticket(desk, caller.account_id, caller.session_id, raw_id("dev", device_id))
    return page(request, "device.html", ticket=found, kept={"name": found.device.name})


@router.post("/devices/{device_id}")
async def rename_device(
    device_id: str, request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """A name that stays."""
    target = raw_id("dev", device_id)
    try:
        await devices.rename(desk, caller.account_id, target, form.read(DeviceNameIn).name, origin)
    except TOLD as problem:
        found = await devices.ticket(desk, caller.account_id, caller.session_id, target)
        return page(request, "device.html", problem=problem, ticket=found, kept=form.kept("name"))
    return go(request, "/account/devices", "device-renamed")


@router.post("/devices/{device_id}/sign-out")
async def sign_out_device(
    device_id: str, request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """End every session on a device."""
    await devices.sign_out_device(desk, caller.account_id, caller.session_id, raw_id("dev", device_id), origin)
    return go(request, "/account/devices", "device-signed-out")


@router.post("/sessions/{session_id}/sign-out")
async def sign_out_session(
    session_id: str, request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """End one session; one that has ended already is ended."""
    await devices.sign_out_session(desk, caller.account_id, caller.session_id, raw_id("ses", session_id), origin)
    return go(request, "/account/devices", "session-signed-out")
