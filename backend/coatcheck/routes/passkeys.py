"""Passkeys: begin a sign-in or go on with one, and register another."""

from fastapi import APIRouter, Request

from ..factors import ceremonies
from . import csrf
from .answers import problems
from .authentication import CallerOf, DeskOf, OriginOf
from .bodies import ChallengeIn, PasskeyIn, StrictRoute
from .factor_answers import AddedOut, FactorOut, PublicKeyOut

router = APIRouter(prefix="/v1", tags=["passkeys"], route_class=StrictRoute)


@router.post("/passkeys/options", responses=problems(401, 403, 429))
async def begin_passkey(
    request: Request, desk: DeskOf, origin: OriginOf, body: ChallengeIn | None = None
) -> PublicKeyOut:
    """For `navigator.credentials.get()`, then the door's `login/verify` (or `/v1/me/reauthenticate`).

    With the `challenge_token` of `mfa_required` the answer names that account's passkeys. Without one it is the same
    for everybody: any passkey of this site may answer, and signs in by itself.
    """
    csrf.require_no_stranger(request, desk)
    await desk.throttle.challenge(origin.ip)
    begun = await ceremonies.begin(desk, body.challenge_token if body else None)
    return PublicKeyOut(challenge_token=begun.token, public_key=begun.public_key)


@router.post("/me/passkeys/options", responses=problems(401, 403))
async def begin_registration(caller: CallerOf, desk: DeskOf) -> PublicKeyOut:
    """For `navigator.credentials.create()`; needs a fresh proof."""
    begun = await ceremonies.begin_registration(desk, caller)
    return PublicKeyOut(challenge_token=begun.token, public_key=begun.public_key)


@router.post("/me/passkeys", status_code=201, responses=problems(401, 403, 409))
async def register_passkey(body: PasskeyIn, caller: CallerOf, desk: DeskOf, origin: OriginOf) -> AddedOut:
    """Add it. Every other session ends. `recovery_codes` come with the first factor, once: show them."""
    name = body.name or "Passkey"
    factor, codes = await ceremonies.register(desk, caller, body.challenge_token, body.credential, name, origin)
    return AddedOut(factor=FactorOut.of(factor), recovery_codes=codes)
