"""The account's second factors: see them, add and remove one, make recovery codes. Changes want a fresh proof."""

from fastapi import APIRouter

from ..factors import enrolment, holdings
from . import devices
from .answers import problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import AppIn, DeviceNameIn, StrictRoute
from .factor_answers import AddedOut, CodesOut, FactorOut, FactorsOut, SeedOut

router = APIRouter(prefix="/v1/me", tags=["second factors"], route_class=StrictRoute)


@router.get("/factors", responses=problems(401))
async def list_factors(caller: CallerOf, desk: DeskOf) -> FactorsOut:
    """What the account asks for beside its password; nothing listed means the password alone signs in."""
    return FactorsOut.of(await holdings.list_all(desk, caller.account_id))


@router.post("/factors/totp", responses=problems(401, 403))
async def begin_app(caller: CallerOf, desk: DeskOf) -> SeedOut:
    """Begin to add an authenticator app. Show `qr_svg` (or `secret`), then confirm with a code from the app."""
    seed = await enrolment.begin_app(desk, caller)
    return SeedOut(challenge_token=seed.token, secret=seed.seed, uri=seed.uri, qr_svg=seed.qr_svg)


@router.post("/factors/totp/confirm", status_code=201, responses=problems(401, 403, 409))
async def confirm_app(body: AppIn, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> AddedOut:
    """Add it. Every other session ends. `recovery_codes` come with the first factor, once: show them."""
    name = body.name or "Authenticator app"
    factor, codes = await enrolment.confirm_app(desk, caller, body.challenge_token, body.code, name, origin)
    return AddedOut(factor=FactorOut.of(factor), recovery_codes=codes)


@router.patch("/factors/{factor_id}", responses=problems(401, 403, 404))
async def rename_factor(factor_id: str, body: DeviceNameIn, caller: CallerOf, desk: DeskOf) -> FactorOut:
    """Name a factor."""
    return FactorOut.of(await holdings.rename(desk, caller, devices.raw_id("fac", factor_id), body.name))


@router.delete("/factors/{factor_id}", status_code=204, responses=problems(401, 403, 404))
async def remove_factor(factor_id: str, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> None:
    """Remove a factor; every other session ends. The last one takes the recovery codes along."""
    await holdings.remove(desk, caller, devices.raw_id("fac", factor_id), origin)


@router.post("/recovery-codes", status_code=201, responses=problems(401, 403, 409))
async def new_recovery_codes(caller: CallerOf, desk: DeskOf, origin: OriginOf) -> CodesOut:
    """Ten new recovery codes, shown once; the old ones are dead and every other session ends."""
    return CodesOut(recovery_codes=await holdings.new_codes(desk, caller, origin))
