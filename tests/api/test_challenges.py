"""Single-use, short-lived values: one taker, dead in time, nothing in the row that could be presented."""

import asyncio
from typing import Any

from coatcheck import challenges
from coatcheck.challenges import Challenge
from coatcheck.clock import MINUTE
from tests.house import House

LIFE = 5 * MINUTE


async def make(house: House, purpose: str = "test", account_id: bytes | None = None, **data: Any) -> str:
    async with house.desk.db.writing() as db:
        token = await challenges.make(db, house.desk, purpose, account_id, LIFE, **data)
        await db.commit()
    return token


async def take(house: House, token: str, purpose: str = "test") -> Challenge | None:
    async with house.desk.db.writing() as db:
        found = await challenges.take(db, house.desk, purpose, token)
        await db.commit()
    return found


async def attempt(house: House, token: str, most: int = 5) -> Challenge | None:
    async with house.desk.db.writing() as db:
        found = await challenges.attempt(db, house.desk, "test", token, most)
        await db.commit()
    return found


async def test_challenge_is_taken_once(house: House) -> None:
    """The first take gets the data, and the row is gone; the second gets nothing."""
    token = await make(house, colour="blue", sizes=[1, 2])
    found = await take(house, token)
    assert found is not None
    assert found.data == {"colour": "blue", "sizes": [1, 2]}
    assert await take(house, token) is None
    assert await house.rows("SELECT * FROM challenge") == []


async def test_challenge_is_taken_once_by_fifty_at_a_time(house: House) -> None:
    """Fifty parallel takes of one token: one has it."""
    token = await make(house)
    taken = await asyncio.gather(*(take(house, token) for _ in range(50)))
    assert taken.count(None) == 49


async def test_challenge_counts_fifty_attempts_at_a_time(house: House) -> None:
    """Fifty parallel tries where five are allowed: five are let through, and the token still has its holder."""
    token = await make(house)
    tried = await asyncio.gather(*(attempt(house, token) for _ in range(50)))
    assert sorted(one.attempts for one in tried if one) == [1, 2, 3, 4, 5]
    assert await take(house, token) is not None


async def test_challenge_dies_in_time(house: House) -> None:
    """At its last millisecond it counts, after that it does not, for taking, trying and looking alike."""
    early, late = await make(house), await make(house)
    house.clock.move(LIFE / 1000 - 60)
    assert await take(house, early) is not None
    house.clock.move(61)
    assert await attempt(house, late) is None
    async with house.desk.db.reading() as db:
        assert await challenges.peek(db, house.desk, "test", late) is None
    assert await take(house, late) is None


async def test_challenge_serves_one_purpose(house: House) -> None:
    """A token made for one thing is nothing elsewhere, and asking there does not spend it."""
    token = await make(house)
    assert await take(house, token, "other") is None
    assert await take(house, token) is not None


async def test_challenge_taken_in_an_undone_transaction_is_still_there(house: House) -> None:
    """What failed half-way leaves the link in the mail good."""
    token = await make(house)
    async with house.desk.db.writing() as db:
        assert await challenges.take(db, house.desk, "test", token) is not None
    assert await take(house, token) is not None


async def test_challenge_rows_hold_nothing_to_present(house: House) -> None:
    """Neither the token nor its data stands in the row; a row moved to another key does not open."""
    token, other = await make(house, secret="marker-3141"), await make(house)
    for row in await house.rows("SELECT * FROM challenge"):
        assert token.encode() not in row["key"] + row["data"]
        assert b"marker-3141" not in row["data"]
    swap = "UPDATE challenge SET data = (SELECT data FROM challenge WHERE key = $1) WHERE key = $2"
    await house.rows(swap, challenges.key_of(token), challenges.key_of(other))
    assert await take(house, other) is None


async def test_challenge_newest_only(house: House) -> None:
    """Dropping an account's leaves other purposes and other accounts alone."""
    await house.register()
    await house.register("bob@example.test")
    ada, bob = (row["id"] for row in await house.rows("SELECT id FROM account ORDER BY email"))
    gone, kept, foreign = await make(house, "a", ada), await make(house, "b", ada), await make(house, "a", bob)
    async with house.desk.db.writing() as db:
        await challenges.drop(db, "a", ada)
        await db.commit()
    assert await take(house, gone, "a") is None
    assert await take(house, kept, "b") is not None
    assert await take(house, foreign, "a") is not None


async def test_challenges_do_not_pile_up(house: House) -> None:
    """Making one sweeps out what is over, and nothing else."""
    for _ in range(3):
        await make(house)
    house.clock.move(LIFE / 1000 + 1)
    living = await make(house)
    await make(house)
    assert len(await house.rows("SELECT key FROM challenge")) == 2
    assert await take(house, living) is not None
