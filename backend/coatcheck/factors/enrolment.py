"""Adding an authenticator app: a seed is shown, a code from it proves that the app has it.

Between the two steps the seed is a challenge of the caller's session, wrapped like any other; nothing of it is a factor
yet. The step of the proving code is spent with it: it signs nobody in.
"""

from dataclasses import dataclass
from io import BytesIO

from .. import challenges, ids, step_up
from ..clock import MINUTE
from ..desk import Desk
from ..errors import Conflict, FieldError, InvalidRequest, SessionRevoked
from ..sessions import Origin
from ..tables import Account, Factor
from ..verified_credentials import Caller
from . import holdings, totp

_LIFE = 10 * MINUTE
_MOST_TRIES = 5
_BEGIN_AGAIN = "This took too long, or something changed meanwhile. Begin again."


@dataclass(frozen=True, slots=True)
class Seed:
    """What the person's app takes, as text, as a link and as a picture; `token` goes on."""

    token: str
    seed: str
    uri: str
    qr_svg: str


async def begin_app(desk: Desk, caller: Caller) -> Seed:
    """Raises ReauthenticationRequired, SessionRevoked."""
    step_up.require_fresh(desk, caller)
    seed = totp.new_seed()
    async with desk.db.writing() as db:
        account = await db.get(Account, caller.account_id)
        if account is None:
            raise SessionRevoked
        data = {"seed": seed, "session": caller.session_id.hex(), "generation": account.auth_generation}
        token = await challenges.make(db, desk, "totp", account.id, _LIFE, **data)
        await db.commit()
    return _told(desk, token, seed, account)


async def shown(desk: Desk, caller: Caller, token: str) -> Seed | None:
    """The same once more, after a wrong code; None when it can't be gone on with."""
    async with desk.db.reading() as db:
        account = await db.get(Account, caller.account_id)
        found = await challenges.peek(db, desk, "totp", token)
    if account is None or found is None or found.data["session"] != caller.session_id.hex():
        return None
    return _told(desk, token, found.data["seed"], account)


def _told(desk: Desk, token: str, seed: str, account: Account) -> Seed:
    uri = totp.uri(seed, desk.settings.public_url.partition("://")[2], account.email)
    return Seed(token, seed, uri, _qr(uri))


async def confirm_app(
    desk: Desk, caller: Caller, token: str, code: str, name: str, origin: Origin
) -> tuple[Factor, list[str]]:
    """The new factor, and recovery codes if it is the first. Raises InvalidRequest (wrong code), Conflict."""
    async with desk.db.writing() as db:
        found = await challenges.attempt(db, desk, "totp", token, _MOST_TRIES)
        await db.commit()
    if found is None or found.data["session"] != caller.session_id.hex():
        raise Conflict(_BEGIN_AGAIN)
    step = totp.step(found.data["seed"], code, desk.clock.now())
    if step is None:
        message = "This is not the code that the app shows now. Try the next one."
        raise InvalidRequest(errors=(FieldError("code", "wrong_code", message),))
    codes, hashes = await holdings.first_codes(desk, caller.account_id)
    factor_id = ids.new()
    factor = Factor(
        id=factor_id,
        account_id=caller.account_id,
        method="totp",
        name=name,
        created_at=desk.clock.now(),
        seed=desk.roots.wrap(totp.PURPOSE, factor_id, found.data["seed"].encode()),
        last_step=step,
    )
    async with desk.db.writing() as db:
        if await challenges.take(db, desk, "totp", token) is None:
            raise Conflict(_BEGIN_AGAIN)
        events = await holdings.add(db, desk, caller, factor, hashes, found.data["generation"], origin)
        await db.commit()
    await desk.feed.publish(*events)
    return factor, codes


def _qr(uri: str) -> str:
    """The link as a picture, an `<svg>` element without script or style."""
    import segno  # noqa: PLC0415  # 100 ms that a worker may never need

    written = BytesIO()
    segno.make(uri, error="m", micro=False).save(
        written, kind="svg", xmldecl=False, svgclass=None, lineclass=None, omitsize=True, border=4, light="#fff"
    )
    return written.getvalue().decode().strip()
