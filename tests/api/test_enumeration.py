"""Nobody learns from how long an answer takes whether an address has an account.

Each pair is asked 250 times a side, in random order, and the process's processor time is ranked (Mann-Whitney):
other processes don't count, hashing threads do. The statistic's standard deviation is 0.026; the four measured were off
the middle by 0.06 and less, so 0.2 is five deviations from a false alarm. A password not hashed moves it by 0.36.
`--asked 500 -s` asks more often and prints U and p, of the processor's time and of the clock's, which a stranger sees
(docs/performance.md).
"""

import gc
import math
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from coatcheck.passwords import Turn
from tests.conftest import OpenHouse
from tests.house import PASSWORD, House

WRONG = "four wise monkeys dancing"
WARM = 25
MOST = 0.2
OFF = {"limit_login": "off", "limit_register": "off", "limit_mail": "off", "argon2_memory_kib": 2_048}

Ask = Callable[[], Awaitable[int]]


@dataclass(frozen=True)
class Ranks:
    """Mann-Whitney: `u` says how often one of the first side is above one of the second; ties count half."""

    u: float
    off: float  # the middle: of the chance that it is above, from a half
    p: float  # that two equal sides are so far off, by the normal approximation


def ranked(first: Sequence[float], second: Sequence[float]) -> Ranks:
    values = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    total, at, ties, n, m = 0.0, 0, 0.0, len(first), len(second)
    while at < n + m:
        end = at
        while end < n + m and values[end][0] == values[at][0]:
            end += 1
        total += sum((at + end + 1) / 2 for _, side in values[at:end] if side == 0)
        ties += (end - at) ** 3 - (end - at)
        at = end
    u = total - n * (n + 1) / 2
    deviation = math.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    z = (u - n * m / 2) / deviation if deviation else 0.0
    return Ranks(u, u / (n * m) - 0.5, math.erfc(abs(z) / math.sqrt(2)))


async def compared(first: Ask, second: Ask, asked: int) -> float:
    """Ask both, interleaved at random: how far off the middle the processor's time is."""
    cpu: tuple[list[float], list[float]] = ([], [])
    wall: tuple[list[float], list[float]] = ([], [])
    order = [0, 1] * asked
    random.shuffle(order)
    for _ in range(WARM):
        assert await first() == await second()
    gc.collect()
    gc.disable()  # a collection would fall on whoever happens to be asked
    try:
        for side in order:
            began, since = time.process_time(), time.perf_counter()
            await (first, second)[side]()
            cpu[side].append(time.process_time() - began)
            wall[side].append(time.perf_counter() - since)
    finally:
        gc.enable()
    for name, times in (("processor", cpu), ("clock", wall)):
        medians = [1000 * sorted(side)[asked // 2] for side in times]
        found = ranked(*times)
        print(f"{name}: U {found.u:.0f} of {asked**2}, p {found.p:.2f}, medians {medians[0]:.2f} {medians[1]:.2f} ms")
    return ranked(*cpu).off


def asking(house: House, path: str, email: Callable[[], str], **more: str) -> Ask:
    client = house.http()

    async def ask() -> int:
        return (await client.post(path, json={"email": email()} | more)).status_code

    return ask


def nobody() -> str:
    return f"{secrets.token_hex(4)}@example.test"


def ada() -> str:
    return "ada0@example.test"


def test_ranks_tell_a_shift_from_noise() -> None:
    """The statistic is exact on small cases, near nought for one distribution, and a half for two that don't meet."""
    assert ranked([1, 2], [3, 4]).off == -0.5
    assert ranked([3, 4], [1, 2]).off == 0.5
    assert ranked([1, 1], [1, 1]) == Ranks(2, 0, 1)
    assert ranked([1, 3], [2, 4]).off == -0.25
    noise = random.Random(1)
    first, second = ([noise.gauss(10, 1) for _ in range(250)] for _ in range(2))
    assert abs(ranked(first, second).off) < MOST
    assert ranked(first, second).p > 0.01
    assert ranked([one + 1 for one in first], second).off > MOST
    assert ranked([one + 1 for one in first], second).p < 0.000_001


@pytest.mark.parametrize("state", ["wrong password", "disabled"])
async def test_enumeration_by_the_time_of_a_sign_in(open_house: OpenHouse, asked: int, state: str) -> None:
    """A wrong password, or a disabled account's right one, takes as long as an address nobody has."""
    async with open_house(**OFF) as house:
        await house.register(ada())
        password = WRONG
        if state == "disabled":
            password = PASSWORD
            await house.rows("UPDATE account SET disabled_at = 1 RETURNING id")
        path = "/v1/native/login"
        known, unknown = asking(house, path, ada, password=password), asking(house, path, nobody, password=password)
        assert abs(await compared(known, unknown, asked)) < MOST


async def test_enumeration_by_the_time_of_a_reset(open_house: OpenHouse, asked: int) -> None:
    """Asking for a new password takes as long for an address nobody has."""
    async with open_house(**OFF) as house:
        await house.register(ada())
        path = "/v1/password-reset"
        assert abs(await compared(asking(house, path, ada), asking(house, path, nobody), asked)) < MOST


async def test_enumeration_by_the_time_of_a_registration(open_house: OpenHouse, asked: int) -> None:
    """Where addresses must be proved, registering takes as long for one that has an account."""
    async with open_house() as house:
        await house.register(ada())
        await house.rows("UPDATE account SET email_verified = $1 RETURNING id", True)
    async with open_house(require_verified_email=True, **OFF) as house:
        path = "/v1/accounts"
        known, unknown = asking(house, path, ada, password=WRONG), asking(house, path, nobody, password=WRONG)
        assert abs(await compared(known, unknown, asked)) < MOST


async def test_enumeration_by_a_decoy_left_out_is_seen(
    open_house: OpenHouse, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same measurement goes red when an address that nobody has is not hashed against."""
    whole = Turn.verify

    async def lazy(turn: Turn, password: str, hashed: str | None) -> tuple[bool, str | None]:
        return await whole(turn, password, hashed) if hashed else (False, None)

    monkeypatch.setattr(Turn, "verify", lazy)
    async with open_house(**OFF) as house:
        await house.register(ada())
        path = "/v1/native/login"
        known, unknown = asking(house, path, ada, password=WRONG), asking(house, path, nobody, password=WRONG)
        assert await compared(known, unknown, asked) > MOST
