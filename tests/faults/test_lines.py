"""Slow, dead and broken lines between the workers and their stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import NamedTuple

import pytest
import pytest_asyncio

from coatcheck import ids
from tests.faults import street as streets
from tests.faults.guests import DOORS, Guest, visited
from tests.faults.line import Line
from tests.faults.street import Street
from tests.load import asking

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


class Lines(NamedTuple):
    """A street whose stores are reached by lines in a test's hand."""

    street: Street
    database: Line
    cache: Line


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drawn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lines]:
    """Three workers; whoever looks into the database directly sees it without the line."""
    with streets.stores() as (database, cache):
        async with Line(database.url).listening() as to_database, Line(cache.url).listening() as to_cache:
            urls = {"database_url": to_database.url, "redis_url": to_cache.url}
            folder = tmp_path_factory.mktemp("lines")
            async with streets.opened(folder, database, cache, 3, **urls) as street:
                yield Lines(street, to_database, to_cache)


@pytest_asyncio.fixture(loop_scope="module")
async def lines(drawn: Lines) -> AsyncIterator[Lines]:
    """The same with nobody in it, and all mended after."""
    await drawn.street.sweep()
    yield drawn
    drawn.database.mend()
    drawn.cache.mend()
    await drawn.street.mend()


@pytest.mark.parametrize("how", ["100 ms", "1 s", "dead", "cut", "refused"])
async def test_line_to_redis_costs_speed_and_nothing_else(lines: Lines, how: str) -> None:
    """However the line to Redis misbehaves: everybody lives on, a remote logout bites, and no help is needed."""
    async with visited(lines.street) as crowd:
        await _break(lines.cache, how)
        await crowd.go_on(2.0)
        for door in DOORS:
            assert await crowd.sign_out_one(door) < 1.0 + 2 * crowd.stood_still
        lines.cache.mend()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()


@pytest.mark.parametrize("how", ["25 ms", "1 s", "dead", "cut", "refused"])
async def test_line_to_the_database_is_an_outage_with_an_end(lines: Lines, how: str) -> None:
    """However the line to PostgreSQL misbehaves: a yes, or a 503 within two seconds, and then all is as before."""
    async with visited(lines.street) as crowd:
        await _break(lines.database, how)
        await crowd.go_on(4.0)
        lines.database.mend()
        await lines.street.well()
        await crowd.go_on(1.0)
        await crowd.sign_out_one()


async def _break(line: Line, how: str) -> None:
    if how.endswith("s"):
        number, unit = how.split()
        line.delay = float(number) / (1000 if unit == "ms" else 1)
    elif how == "dead":
        line.go_dead()
    else:
        line.cut(and_refuse=how == "refused")


async def _unanswered(asked: Awaitable[object]) -> None:
    """Refused as an outage: the worker can't know whether it was done."""
    with pytest.raises(AssertionError, match="503"):
        await asked


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_refresh_whose_commit_was_not_heard_of_is_repeated(lines: Lines, door: str) -> None:
    """The row was rotated and the answer lost on the way: a 503, and whoever asks again gets the one successor."""
    at = lines.street.workers[0].asker()
    await asking.register(at)
    guest = Guest(await asking.sign_in(at, door))
    at.close()
    session_id = ids.raw("ses", guest.visitor.session_id)
    assert session_id
    lines.database.cut_the_answer_to(session_id)  # the text of the statement may be known there already
    assert (await guest.renew(lines.street.workers[0])).status == 503
    await lines.street.well()
    again = [Guest(guest.visitor) for _ in range(6)]
    notes = await asyncio.gather(
        *(one.renew(worker) for one, worker in zip(again, lines.street.workers * 2, strict=True))
    )
    assert {note.status for note in notes} == {200}
    assert len({one.visitor.renewal for one in again}) == 1
    assert await lines.street.rows("SELECT generation, ended_at FROM session") == [{"generation": 1, "ended_at": None}]


async def test_login_whose_commit_was_not_heard_of_leaves_one_session(lines: Lines) -> None:
    """The commit arrived, its answer did not: signed in again, the device has one living session."""
    at = lines.street.workers[0].asker()
    await asking.register(at)
    first = await asking.sign_in(at)
    lines.database.cut_the_answer_to(b"COMMIT")
    await _unanswered(asking.sign_in(at, device_token=first.device_token))
    await lines.street.well()
    again = await asking.sign_in(at, device_token=first.device_token)
    assert len(await lines.street.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1
    assert len(await lines.street.rows("SELECT id FROM device")) == 1
    assert not await again.is_refused(at)
    at.close()


async def test_logout_whose_commit_was_not_heard_of_bites_everywhere(lines: Lines) -> None:
    """The ending is in the database and its caller was told 503: no worker accepts the session, and again is 204."""
    at = lines.street.workers[0].asker()
    await asking.register(at)
    laptop, guest = await asking.sign_in(at), Guest(await asking.sign_in(at))
    for worker in lines.street.workers:
        assert (await guest.look(worker)).status == 200
    lines.database.cut_the_answer_to(b"COMMIT")
    await _unanswered(asking.sign_out(at, laptop, guest.visitor))
    for worker in lines.street.workers:
        await streets.until(partial(guest.is_refused, worker), "refused by each", 10)
    await lines.street.well()
    await asking.sign_out(at, laptop, guest.visitor)
    at.close()
