"""Signing keys follow one another while clients of all doors live on at several real workers (research scenario 13)."""

import asyncio
import json
import random
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.faults import street as streets
from tests.faults.guests import DOORS, Guest
from tests.faults.street import Place, Street, until
from tests.faults.test_clock_steps import told_by
from tests.house import SECRET
from tests.live import command, environment
from tests.load import asking
from tests.servers import postgres, redis

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

DAY, PUBLISHED_FIRST, SKEW = 86_400, 900, 300  # seconds
ACCESS_TTL = 3_600  # seconds: longer than a key is published before it signs
EARLY = 5  # seconds: so long before a step is due everybody is at work
_AGO = "SELECT extract(epoch FROM clock_timestamp()) - since / 1000.0 AS ago FROM signing_key"
_LIVES = {"access_ttl": ACCESS_TTL, "key_ttl": DAY, "web_idle_ttl": 7 * DAY, "web_absolute_ttl": 30 * DAY}


class Town(NamedTuple):
    """A street whose machines, the database's and the workers', have their clocks in a test's hand."""

    street: Street
    clock: Path
    begun: int  # the newest security event of before

    async def later(self, seconds: float) -> None:
        """Let so much time pass, for all of them."""
        before = [worker.said().count("clock.set") for worker in self.street.workers]
        self.clock.write_text(f"{float(self.clock.read_text()) + seconds:+.0f}")
        for worker, times in zip(self.street.workers, before, strict=True):
            await until(partial(_set_again, worker, times), "each worker goes by it")

    async def keys(self) -> dict[str, str]:
        """Each key's state, by its name."""
        rows = await self.street.rows("SELECT kid, state FROM signing_key")
        return {row["kid"]: row["state"] for row in rows}

    async def steps(self) -> dict[str, int]:
        """How often each step has been taken since the test began."""
        sql = "SELECT kind, count(*) AS times FROM audit_event WHERE kind LIKE 'key.%' AND id > $1 GROUP BY kind"
        return {row["kind"]: row["times"] for row in await self.street.rows(sql, self.begun)}

    async def command(self, *words: str, told: dict[str, str] | None = None) -> str:
        """What `coatcheck keys …` says, beside the workers."""
        given = environment(secret_key=SECRET, **self.street.settings) | (told or {})
        done = await asyncio.to_thread(
            subprocess.run, command("keys", *words), env=given, capture_output=True, text=True, check=True
        )
        return done.stdout


async def _set_again(worker: streets.Worker, before: int) -> bool:
    return worker.said().count("clock.set") > before


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Street, Path]]:
    """Four workers, and the clock."""
    folder = tmp_path_factory.mktemp("town")
    with ExitStack() as stack:
        clock = stack.enter_context(streets.open_folder()) / "clock"
        clock.write_text("+0")
        database = stack.enter_context(postgres(told=told_by(clock)))
        cache = stack.enter_context(redis(persistent=True))
        async with streets.opened(folder, database, cache, 4, told_by(clock), **_LIVES) as street:
            yield street, clock


@pytest_asyncio.fixture(loop_scope="module")
async def town(built: tuple[Street, Path]) -> Town:
    """With nobody in it; keys there are already."""
    street, clock = built
    await street.sweep()
    [newest] = await street.rows("SELECT coalesce(max(id), 0) AS id FROM audit_event")
    return Town(street, clock, newest["id"])


def kid(guest: Guest) -> str:
    """The key that has signed this guest's access token."""
    head = guest.visitor.credential["Authorization"].removeprefix("Bearer ").partition(".")[0]
    return str(json.loads(urlsafe_b64decode(head + "=="))["kid"])


class Guests(list[Guest]):
    """People of all doors who live as good clients do: they refresh when they are told that a token is no good."""

    @property
    def signed(self) -> list[Guest]:
        """Those who hold access tokens."""
        return [guest for guest in self if guest.door != "web"]

    def codes(self) -> set[str]:
        """Every refusal that anybody has met since they were last asked for."""
        found = {note.code or str(note.status) for guest in self for note in guest.notes if note.status != 200}
        for guest in self:
            guest.notes.clear()
        return found

    @asynccontextmanager
    async def living(self, workers: Sequence[Place]) -> AsyncIterator[None]:
        """All of them, while the block runs."""
        over = asyncio.Event()
        tasks = [asyncio.create_task(_live(guest, workers, over)) for guest in self]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def renewed(self, workers: Sequence[Place]) -> None:
        """In time, before a token is used that has expired."""
        for guest in self:
            assert (await guest.renew(random.choice(workers))).status == 200

    async def are_known(self, workers: Sequence[Place]) -> None:
        """Each by each."""
        for worker in workers:
            for guest in self:
                assert (await guest.look(worker)).status == 200, guest.notes[-1]


async def _live(guest: Guest, workers: Sequence[Place], over: asyncio.Event) -> None:
    while not over.is_set():
        note = await guest.look(random.choice(workers))
        if note.status == 401 or random.random() < 0.4:
            await guest.renew(random.choice(workers))
        await asyncio.sleep(random.uniform(0.01, 0.08))


@pytest_asyncio.fixture(loop_scope="module")
async def guests(town: Town) -> AsyncIterator[Guests]:
    """Three of each door; in the end nobody has been signed out."""
    at = town.street.workers[0].asker()
    await asking.register(at)
    found = Guests([Guest(await asking.sign_in(at, door)) for door in DOORS for _ in range(3)])
    at.close()
    yield found
    await found.renewed(town.street.workers)
    await found.are_known(town.street.workers)
    assert await town.street.rows("SELECT end_reason FROM session WHERE ended_at IS NOT NULL") == []
    assert [line for line in town.street.log() if line["level"] in ("error", "critical")] == []


async def published(at: Place) -> set[str]:
    """The keys that a worker shows to other services."""
    asker = at.asker()
    try:
        answer = await asker.ask("GET", "/.well-known/jwks.json")
    finally:
        asker.close()
    return {key["kid"] for key in json.loads(answer.body)["keys"]}


async def _shown(town: Town, expected: set[str]) -> bool:
    return all([await published(worker) == expected for worker in town.street.workers])


async def _are(town: Town, states: list[str]) -> bool:
    return sorted((await town.keys()).values()) == states


async def test_keys_follow_one_another_by_schedule_and_nobody_notices(town: Town, guests: Guests) -> None:
    """Each step is taken once, while everybody is at work: no client that refreshes in time is refused once, the next
    key signs only after its time, and what the last one signed is refused when it is gone."""
    workers = town.street.workers
    first = kid(guests.signed[0])
    await town.later(DAY - PUBLISHED_FIRST - EARLY)
    await guests.renewed(workers)
    async with guests.living(workers):
        await until(partial(_are, town, ["current", "next"]), "the next key is published")
        await asyncio.sleep(1.0)
    second = next(name for name, state in (await town.keys()).items() if state == "next")
    assert guests.codes() == set()
    assert {kid(guest) for guest in guests.signed} == {first}
    await until(partial(_shown, town, {first, second}), "every worker shows both")

    await town.later(PUBLISHED_FIRST - EARLY)
    by_first = [Guest(guest.visitor) for guest in guests.signed]
    async with guests.living(workers):
        await until(partial(_are, town, ["current", "previous"]), "the next key signs")
        await asyncio.sleep(1.5)
    assert guests.codes() == set()
    await guests.renewed(workers)
    assert {kid(guest) for guest in guests.signed} == {second}
    await Guests(by_first).are_known(workers)

    await town.later(ACCESS_TTL + SKEW - EARLY)
    await guests.renewed(workers)
    async with guests.living(workers):
        await until(partial(_are, town, ["current"]), "the first key is gone")
        await asyncio.sleep(1.5)
    assert guests.codes() == set()
    assert await _shown(town, {second})
    for worker in workers:
        assert {(await guest.look(worker)).status for guest in by_first} == {401}
    assert await town.steps() == {"key.published": 1, "key.promoted": 1, "key.retired": 1}


async def test_keys_rotated_by_command_are_met_by_everybody_at_once(town: Town, guests: Guests) -> None:
    """`keys rotate`, three at the same moment, makes one next key; `--now` again and again: what one worker has just
    signed with a key that the others have not met is good at each, and no request is refused."""
    workers = town.street.workers
    first = kid(guests.signed[0])
    async with guests.living(workers):
        said = await asyncio.gather(*(town.command("rotate") for _ in range(3)))
        assert len(set(said)) == 1
        assert await town.steps() == {"key.published": 1}
        for _ in range(4):
            await town.command("rotate", "--now")
        await asyncio.sleep(1.5)
    assert guests.codes() == set()
    assert await town.steps() == {"key.published": 4, "key.promoted": 4}
    await guests.renewed(workers)
    [current] = [name for name, state in (await town.keys()).items() if state == "current"]
    assert {kid(guest) for guest in guests.signed} == {current} != {first}


async def test_keys_revoked_by_command_are_believed_by_nobody(town: Town, guests: Guests) -> None:
    """Within a second or so no worker believes what a leaked key signed, and good clients refresh and go on."""
    workers = town.street.workers
    leaked = kid(guests.signed[0])
    stolen = [Guest(guest.visitor) for guest in guests.signed]
    await Guests(stolen).are_known(workers)
    async with guests.living(workers):
        await town.command("revoke", leaked)
        for worker in workers:
            await until(partial(_all_refused, stolen, worker), "refused, remembered or not")
        await asyncio.sleep(1.5)
    assert guests.codes() <= {"token_invalid"}
    async with guests.living(workers):
        await asyncio.sleep(1.0)
    assert guests.codes() == set()
    assert leaked not in {kid(guest) for guest in guests.signed}
    assert await town.steps() == {"key.revoked": 1}
    assert list((await town.keys()).values()).count("current") == 1
    assert leaked not in await town.keys()


async def _all_refused(stolen: list[Guest], at: Place) -> bool:
    return {(await guest.look(at)).code for guest in stolen} == {"token_invalid"}


async def test_keys_are_rotated_by_the_workers_time(town: Town, guests: Guests, tmp_path: Path) -> None:
    """A command on a machine whose clock is two hours off writes the moment that the workers go by."""
    clock = tmp_path / "clock"
    for apart in ("+7200", "-7200"):
        clock.write_text(apart)
        await town.command("rotate", "--now", told=told_by(clock))
        [row] = await town.street.rows(f"{_AGO} WHERE state = 'current'")
        assert -1 < row["ago"] < 120
