"""Refresh: a retry is harmless, a thief is caught, nobody is signed out by accident."""

import asyncio

from tests.house import House


async def test_refresh_in_parallel_gives_one_answer(house: House) -> None:
    """Twenty parallel refreshes with one token get one successor, and the row is rotated once."""
    await house.register()
    phone = await house.native()
    answers = await asyncio.gather(*(phone.refresh(phone.refresh_token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [1]
