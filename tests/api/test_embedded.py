"""The embedded database: one write at a time, and nobody who waits for his turn is passed over."""

import asyncio

import pytest

from coatcheck import db
from coatcheck.errors import Unavailable
from tests.conftest import Stores
from tests.house import House, MovableClock, opened

CHORE = "INSERT INTO chore (name, next_at, place) VALUES ($1, 0, '') RETURNING name"


async def write(house: House, name: str, done: list[str]) -> None:
    """A write of the ORM's kind, an odd one of the hot kind."""
    if int(name) % 2:
        await house.desk.db.hot.fetch(CHORE, name)
        done.append(name)
        return
    async with house.desk.db.writing() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(f"INSERT INTO chore (name, next_at, place) VALUES ('{name}', 0, '')")
        done.append(name)
        await session.commit()


async def test_embedded_writers_take_turns_in_the_order_they_came(embedded: Stores, clock: MovableClock) -> None:
    """Sixty at once, by both ways in: each writes when those before it have written, and reading waits for none."""
    async with opened(clock, **embedded) as house:
        done: list[str] = []
        names = [str(number) for number in range(60)]
        async with house.desk.db.writing() as first:
            await first.connection()
            writers = [asyncio.create_task(write(house, name, done)) for name in names]
            await asyncio.sleep(0)
            assert (await house.rows("SELECT count(*) AS number FROM account"))[0]["number"] == 0
            assert done == []
        await asyncio.gather(*writers)
        assert done == names
        assert len(await house.rows("SELECT name FROM chore WHERE name <> 'cleanup'")) == 60


async def test_embedded_wait_for_a_turn_has_an_end(
    embedded: Stores, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has waited too long is told so, by both ways in; the line goes on without him."""
    async with opened(clock, **embedded) as house:
        done: list[str] = []
        async with house.desk.db.writing() as first:
            await first.connection()
            monkeypatch.setattr(db, "PATIENCE", 0.05)
            for name in ("1", "2"):
                with pytest.raises(Unavailable):
                    await write(house, name, done)
            monkeypatch.setattr(db, "PATIENCE", 10.0)
            last = asyncio.create_task(write(house, "3", done))
            await asyncio.sleep(0)
        await last
        assert done == ["3"]
