"""Nobody learns from how long an answer takes whether an address has an account.

Each pair is asked 250 times a side, in random order, and the process's processor time is ranked (Mann-Whitney):
other processes don't count, hashing threads do. The statistic's standard deviation is 0.026; the four measured were off
the middle by 0.06 and less, so 0.2 is five deviations from a false alarm. A password not hashed moves it by 0.36.
"""

import gc
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from coatcheck.passwords import Turn
from tests.conftest import OpenHouse
from tests.house import PASSWORD, House

WRONG = "four wise monkeys dancing"
ASKED, WARM = 250, 25
MOST = 0.2
OFF = {"limit_login": "off", "limit_register": "off", "limit_mail": "off", "argon2_memory_kib": 2_048}

Ask = Callable[[], Awaitable[int]]


def off_the_middle(first: Sequence[float], second: Sequence[float]) -> float:
    """How far the chance that one of `first` is above one of `second` is from a half; ties count half."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    total, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        total += sum((at + end + 1) / 2 for value, side in ranked[at:end] if side == 0)
        at = end
    above = total - len(first) * (len(first) + 1) / 2
    return above / (len(first) * len(second)) - 0.5


async def compared(first: Ask, second: Ask) -> float:
    """Ask both, interleaved at random."""
    times: tuple[list[float], list[float]] = ([], [])
    order = [0, 1] * ASKED
    random.shuffle(order)
    for _ in range(WARM):
        assert await first() == await second()
    gc.collect()
    gc.disable()  # a collection would fall on whoever happens to be asked
    try:
        for side in order:
            began = time.process_time()
            await (first, second)[side]()
            times[side].append(time.process_time() - began)
    finally:
        gc.enable()
    return off_the_middle(*times)


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
    assert off_the_middle([1, 2], [3, 4]) == -0.5
    assert off_the_middle([3, 4], [1, 2]) == 0.5
    assert off_the_middle([1, 1], [1, 1]) == 0
    assert off_the_middle([1, 3], [2, 4]) == -0.25
    noise = random.Random(1)
    first, second = ([noise.gauss(10, 1) for _ in range(ASKED)] for _ in range(2))
    assert abs(off_the_middle(first, second)) < MOST
    assert off_the_middle([one + 1 for one in first], second) > MOST


@pytest.mark.parametrize("state", ["wrong password", "disabled"])
async def test_enumeration_by_the_time_of_a_sign_in(open_house: OpenHouse, state: str) -> None:
    """A wrong password, or a disabled account's right one, takes as long as an address nobody has."""
    async with open_house(**OFF) as house:
        await house.register(ada())
        password = WRONG
        if state == "disabled":
            password = PASSWORD
            await house.rows("UPDATE account SET disabled_at = 1 RETURNING id")
        path = "/v1/native/login"
        known, unknown = asking(house, path, ada, password=password), asking(house, path, nobody, password=password)
        assert abs(await compared(known, unknown)) < MOST


async def test_enumeration_by_the_time_of_a_reset(open_house: OpenHouse) -> None:
    """Asking for a new password takes as long for an address nobody has."""
    async with open_house(**OFF) as house:
        await house.register(ada())
        path = "/v1/password-reset"
        assert abs(await compared(asking(house, path, ada), asking(house, path, nobody))) < MOST


async def test_enumeration_by_the_time_of_a_registration(open_house: OpenHouse) -> None:
    """Where addresses must be proved, registering takes as long for one that has an account."""
    async with open_house() as house:
        await house.register(ada())
        await house.rows("UPDATE account SET email_verified = $1 RETURNING id", True)
    async with open_house(require_verified_email=True, **OFF) as house:
        path = "/v1/accounts"
        known, unknown = asking(house, path, ada, password=WRONG), asking(house, path, nobody, password=WRONG)
        assert abs(await compared(known, unknown)) < MOST


async def test_enumeration_by_a_decoy_left_out_is_seen(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement goes red when an address that nobody has is not hashed against."""
    whole = Turn.verify

    async def lazy(turn: Turn, password: str, hashed: str | None) -> tuple[bool, str | None]:
        return await whole(turn, password, hashed) if hashed else (False, None)

    monkeypatch.setattr(Turn, "verify", lazy)
    async with open_house(**OFF) as house:
        await house.register(ada())
        path = "/v1/native/login"
        known, unknown = asking(house, path, ada, password=WRONG), asking(house, path, nobody, password=WRONG)
        assert await compared(known, unknown) > MOST
