"""Recovery codes: ten for an account, 75 random bits each, hashed like a password, each good once.

A code's first character says which row it could be, so checking one costs one Argon2 run, not ten (ASVS 6.5.2).
Making new ones ends the old ones.
"""

import secrets

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ..desk import Desk
from ..tables import RecoveryCode

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: none that looks like another
_SLOTS = _LETTERS[:10]
_LENGTH = 16
_READ_AS = str.maketrans("oil", "011", " -")


def new() -> list[str]:
    """Ten codes, `0abc-defg-hjkm-npqr`."""
    codes = [slot + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH - 1)) for slot in _SLOTS]
    return ["-".join(code[at : at + 4] for at in range(0, _LENGTH, 4)) for code in codes]


async def hashed(desk: Desk, codes: list[str]) -> dict[str, str]:
    """What to store of each, by slot. Raises Unavailable."""
    async with desk.hasher.turn() as turn:
        return {code[0]: await turn.hash(_plain(code) or "") for code in codes}


async def replace(db: AsyncSession, account_id: bytes, hashes: dict[str, str], now: int) -> None:
    """These are an account's codes from now on."""
    await drop(db, account_id)
    db.add_all(RecoveryCode(account_id=account_id, slot=slot, hash=phc, made_at=now) for slot, phc in hashes.items())


async def drop(db: AsyncSession, account_id: bytes) -> None:
    """None of them counts any more."""
    await db.exec(delete(RecoveryCode).where(col(RecoveryCode.account_id) == account_id))


async def matching(desk: Desk, account_id: bytes, code: str) -> RecoveryCode | None:
    """The row of this code. Takes the same time for a slot that is used up. Raises Unavailable."""
    plain = _plain(code)
    if plain is None:
        return None
    async with desk.db.reading() as db:
        row = await db.get(RecoveryCode, (account_id, plain[0]))
    async with desk.hasher.turn() as turn:
        fits, _ = await turn.verify(plain, row.hash if row else None)
    return row if fits else None


async def spend(db: AsyncSession, row: RecoveryCode) -> bool:
    """Use it up: False when somebody was quicker, or new ones were made."""
    own = (col(RecoveryCode.account_id) == row.account_id) & (col(RecoveryCode.slot) == row.slot)
    same = own & (col(RecoveryCode.hash) == row.hash)
    gone = await db.exec(delete(RecoveryCode).where(same).returning(col(RecoveryCode.slot)))
    return gone.first() is not None


async def left(db: AsyncSession, account_id: bytes) -> list[RecoveryCode]:
    """Those not used yet."""
    return list(await db.exec(select(RecoveryCode).where(RecoveryCode.account_id == account_id)))


def _plain(typed: str) -> str | None:
    """As it was made, whatever the case, dashes and look-alikes; None when it can't be one."""
    plain = typed.lower().translate(_READ_AS)
    return plain if len(plain) == _LENGTH and plain[0] in _SLOTS and set(plain) <= set(_LETTERS) else None
