"""Authenticator apps (RFC 6238): six digits, 30 s, one step of tolerance each way. The only `pyotp` import.

A step counts once: the newest used one is kept, and only a later one is taken, by one conditional write (ASVS 6.5.1).
Server time alone decides (6.5.8). The seed is 160 bits, wrapped by the root secret with the factor's id.
"""

import unicodedata
from re import compile as pattern

from sqlalchemy import update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ..clock import SECOND
from ..desk import Desk
from ..secrets import CannotUnwrap
from ..tables import Factor

PURPOSE = "totp"  # of the key that wraps the seeds
_DIGITS = pattern(r"[0-9]{6}")
_TOLERANCE = 1  # steps of 30 s, each way


def new_seed() -> str:
    """160 random bits in base32, as an app takes it."""
    import pyotp  # noqa: PLC0415  # 35 ms that a worker may never need

    return pyotp.random_base32()


def uri(seed: str, issuer: str, email: str) -> str:
    """What the QR code says (`otpauth://totp/…`); names are escaped."""
    import pyotp  # noqa: PLC0415

    return pyotp.TOTP(seed).provisioning_uri(name=email, issuer_name=issuer)


def step(seed: str, code: str, now: int) -> int | None:
    """The time step that this code is of; None when it fits none that is near. Spaces and other digits are forgiven."""
    import pyotp  # noqa: PLC0415

    typed = "".join(unicodedata.normalize("NFKC", code).split())
    if not _DIGITS.fullmatch(typed):
        return None
    try:
        found: int = pyotp.TOTP(seed).verify_and_get_timecode(typed, for_time=now // SECOND, valid_window=_TOLERANCE)
    except pyotp.OTPVerificationError:
        return None
    return found


def matching(desk: Desk, apps: list[Factor], code: str) -> tuple[Factor, int] | None:
    """The app that shows this code now, and the step it is of. A used one still matches: `spend` decides."""
    for app in apps:
        try:
            seed = desk.roots.unwrap(PURPOSE, app.id, app.seed or b"").decode()
        except CannotUnwrap:
            continue
        found = step(seed, code, desk.clock.now())
        if found is not None:
            return app, found
    return None


async def spend(db: AsyncSession, desk: Desk, app_id: bytes, used: int) -> bool:
    """Use up a step: False when it, or a later one, was used before."""
    free = (col(Factor.id) == app_id) & (col(Factor.last_step) < used)
    statement = update(Factor).where(free).values(last_step=used, last_used_at=desk.clock.now())
    done = await db.exec(statement.returning(col(Factor.id)).execution_options(synchronize_session=False))
    return done.first() is not None
