"""Second factors: authenticator apps (totp.py), passkeys (passkeys.py), recovery codes.

Who has a factor is asked for one at every door: the password alone gives no session (ASVS 6.3.3). `holdings` is what an
account has and how that changes, `proofs` checks what a person answers, `guesses` makes guessing hopeless.
"""

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ..tables import Factor, Guess, RecoveryCode


async def any_of(db: AsyncSession, account_id: bytes) -> bool:
    """Whether the account has a second factor."""
    return (await db.exec(select(Factor.id).where(Factor.account_id == account_id).limit(1))).first() is not None


async def wipe(db: AsyncSession, account_id: bytes) -> None:
    """No factor or code is left: the account is closed, or turns out to be somebody else's. Hold the account's lock."""
    await wipe_since(db, account_id, 0)
    await db.exec(delete(Guess).where(col(Guess.account_id) == account_id))


async def wipe_since(db: AsyncSession, account_id: bytes, moment: int) -> None:
    """What was added then or later is gone: somebody else had the account. Hold the account's lock."""
    await db.exec(delete(Factor).where(col(Factor.account_id) == account_id, col(Factor.created_at) >= moment))
    made = col(RecoveryCode.made_at) >= moment
    await db.exec(delete(RecoveryCode).where(col(RecoveryCode.account_id) == account_id, made))
