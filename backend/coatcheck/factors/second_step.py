"""The second step of a sign-in or a step-up: from what was answered to whose it is and that it is right."""

from .. import devices, pending
from ..desk import Desk
from ..devices import Hint
from ..pending import Pending
from ..sessions import Origin
from . import ceremonies, proofs
from .proofs import Answer, Proof


async def check(
    desk: Desk,
    purpose: str,
    place: str,
    token: str,
    answer: Answer,
    hint: Hint,
    origin: Origin,
    device_id: bytes | None = None,
) -> tuple[Pending, Proof]:
    """`purpose` and `place` as in pending.py; `hint` is for a sign-in that begins with a passkey.

    `device_id` is a device that the account knows.

    Raises ChallengeExpired, InvalidCredentials, RateLimited, Unavailable.
    """
    if answer.method == "passkey":
        return await ceremonies.finish(desk, purpose, place, token, answer.credential or {}, hint, origin.ip)
    waiting = await pending.tried(desk, purpose, token, place)
    device_id = device_id or await devices.known(desk, waiting.account_id, waiting.hint)
    return waiting, await proofs.by_code(desk, waiting.account_id, answer, device_id, origin.ip)
