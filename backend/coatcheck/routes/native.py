"""The native door: both tokens travel in the body. For mobile and desktop apps, command lines, agents."""

from fastapi import APIRouter

from .. import login
from ..refresh_tokens import Door
from .answers import NativeOut, problems
from .authentication import DeskOf, OriginOf
from .bodies import LoginIn, StrictRoute, VerifyIn

router = APIRouter(prefix="/v1/native", tags=["native door"], route_class=StrictRoute)


@router.post("/login", responses=problems(401, 409, 429))
async def native_login(body: LoginIn, desk: DeskOf, origin: OriginOf) -> NativeOut:
    """Sign in. Keep `refresh_token` and `device_token` in the system's key store."""
    grant = await login.sign_in(desk, Door.NATIVE, body.email, body.password, body.hint(), origin, body.reset_token)
    return NativeOut.of_grant(grant)


@router.post("/login/verify", responses=problems(401, 404, 409, 429))
async def native_verify(body: VerifyIn, desk: DeskOf, origin: OriginOf) -> NativeOut:
    """Go on after `mfa_required` or `session_limit`."""
    grant = await login.verify(desk, Door.NATIVE, body.challenge_token, body.answer(), body.hint(), origin)
    return NativeOut.of_grant(grant)
