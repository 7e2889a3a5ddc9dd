"""Something half proved: a sign-in, or a step-up, whose password was right and whose second factor is still awaited.

It is a challenge, never a session: it opens no other route, and it dies when the password or the account's state
changes, after ten minutes, and after five wrong codes. A sign-in's is bound to its door, a step-up's to its session.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from . import accounts, challenges
from .challenges import Challenge
from .clock import MINUTE
from .desk import Desk
from .devices import Hint
from .errors import ChallengeExpired
from .tables import Account

_LIFE = 10 * MINUTE
_MOST_TRIES = 5  # codes; a passkey's signature can't be guessed


@dataclass(frozen=True, slots=True)
class Pending:
    """What has been proved so far, of whom, and for what. `place` is a door, or a session's id in hex.

    `key` is empty where nothing was pending: a passkey alone begins and ends it.
    """

    key: bytes
    account_id: bytes
    auth_generation: int
    place: str
    methods: tuple[str, ...]
    hint: Hint
    proved_at: int = 0  # of a `session_limit`: when all was proved; choosing a device makes no proof younger


async def begin(
    db: AsyncSession,
    desk: Desk,
    purpose: str,
    account: Account,
    place: str,
    methods: tuple[str, ...],
    hint: Hint,
    proved_at: int = 0,
) -> str:
    """The token to go on with; the caller commits. `purpose` is `sign_in`, `step_up` or `session_limit`.

    They are apart: who has proved a password can't go on where all that is missing is room.
    """
    data: dict[str, Any] = {
        "generation": account.auth_generation,
        "place": place,
        "methods": methods,
        "proved_at": proved_at,
    }
    return await challenges.make(db, desk, purpose, account.id, _LIFE, **data, hint=asdict(hint))


async def tried(desk: Desk, purpose: str, token: str, place: str) -> Pending:
    """Count a code that has not been looked at yet. Raises ChallengeExpired."""
    async with desk.db.writing() as db:
        found = await challenges.attempt(db, desk, purpose, token, _MOST_TRIES)
        opened = await _opened(db, found, place)
        await db.commit()
    return opened


async def peek(desk: Desk, purpose: str, token: str | bytes, place: str | None = None) -> Pending:
    """Look without counting. Raises ChallengeExpired."""
    async with desk.db.reading() as db:
        return await _opened(db, await challenges.peek(db, desk, purpose, token), place)


async def finish(db: AsyncSession, desk: Desk, purpose: str, pending: Pending) -> Account:
    """Spend it, under the account's lock; the account as it is now. Raises ChallengeExpired."""
    account = _still(await accounts.locked(db, pending.account_id), pending.auth_generation)
    if pending.key and await challenges.take(db, desk, purpose, pending.key) is None:
        raise ChallengeExpired
    return account


async def _opened(db: AsyncSession, found: Challenge | None, place: str | None) -> Pending:
    if found is None or found.account_id is None or place not in (None, found.data["place"]):
        raise ChallengeExpired
    data = found.data
    _still(await db.get(Account, found.account_id), data["generation"])  # who was shut out sees no devices either
    methods, hint = tuple(data["methods"]), Hint(**data["hint"])
    return Pending(
        found.key, found.account_id, data["generation"], data["place"], methods, hint, data.get("proved_at", 0)
    )


def _still(account: Account | None, auth_generation: int) -> Account:
    """Raises ChallengeExpired when password or state are not those that were proved."""
    if account is None or account.disabled_at is not None or account.auth_generation != auth_generation:
        raise ChallengeExpired
    return account
