"""What a person answers when asked for a second factor: checked first, spent afterwards.

Checking is costly and needs no lock. Spending is one conditional write in the transaction that grants what the factor
was asked for, under the account's lock: of fifty equal answers one is granted, and none is used up for nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from .. import audit
from ..desk import Desk
from ..errors import InvalidCredentials, Problem
from ..tables import Factor
from . import guesses, recovery_codes, totp


@dataclass(frozen=True, slots=True)
class Answer:
    """A code, what an authenticator signed, or (method `sign_out`) the session to give up for the new one."""

    method: str
    code: str | None = None
    credential: dict[str, Any] | None = None
    session_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """A right answer. `methods` are RFC 8176 values; `spend` says False when it was used up meanwhile."""

    methods: tuple[str, ...]
    spend: Callable[[AsyncSession], Awaitable[bool]]


async def by_code(desk: Desk, account_id: bytes, answer: Answer, device_id: bytes | None, ip: str) -> Proof:
    """A code of the account's app, or one of its recovery codes; counted before it is looked at.

    `device_id` is a device that this account knows. Raises InvalidCredentials, RateLimited, Unavailable.
    """
    await guesses.count(desk, account_id, answer.method, device_id)
    check = _recovery_code if answer.method == "recovery_code" else _totp
    proof = await check(desk, account_id, answer.code or "", device_id)
    if proof is None:
        raise await failed(desk, account_id, answer.method, ip)
    return proof


def together(*proved: tuple[str, ...]) -> tuple[str, ...]:
    """The RFC 8176 values of two proofs that count as two."""
    return tuple(dict.fromkeys((*(method for methods in proved for method in methods), "mfa")))


async def failed(desk: Desk, account_id: bytes | None, method: str, ip: str) -> Problem:
    """Write down a wrong answer; the caller raises what comes back."""
    async with desk.db.writing() as db:
        audit.record(db, desk.clock.now(), "factor.failed", account_id=account_id, ip=ip, method=method)
        await db.commit()
    return refused(method)


def refused(method: str) -> Problem:
    """What a wrong answer is told; a used one too."""
    if method == "passkey":
        return InvalidCredentials("This passkey can't be used here. Try again, or choose another way.")
    return InvalidCredentials("This code is not right, or was used already. Wait for the next one and try again.")


async def _totp(desk: Desk, account_id: bytes, code: str, device_id: bytes | None) -> Proof | None:
    async with desk.db.reading() as db:
        apps = list(await db.exec(select(Factor).where(Factor.account_id == account_id, Factor.method == "totp")))
    found = totp.matching(desk, apps, code)
    if found is None:
        return None
    app, step = found

    async def spend(db: AsyncSession) -> bool:
        await guesses.forget(db, account_id, "totp", device_id)
        return await totp.spend(db, desk, app.id, step)

    return Proof(("otp",), spend)


async def _recovery_code(desk: Desk, account_id: bytes, code: str, device_id: bytes | None) -> Proof | None:
    row = await recovery_codes.matching(desk, account_id, code)
    if row is None:
        return None

    async def spend(db: AsyncSession) -> bool:
        if not await recovery_codes.spend(db, row):
            return False
        await guesses.forget(db, account_id, "recovery_code", device_id)
        left = len(await recovery_codes.left(db, account_id))
        audit.record(db, desk.clock.now(), "recovery_code.used", account_id=account_id, left=str(left))
        return True

    return Proof(("otp",), spend)
