"""Many sign-ins at once: bounded, refused early, and out of the way of those who are signed in."""

import asyncio
import gc
import os

import httpx2
import pytest

from coatcheck.app import from_environment
from tests.conftest import OpenHouse
from tests.house import PASSWORD, SECRET, House, hashing_held_up


async def _login(house: House, number: int = 0) -> httpx2.Response:
    http = house.http(ip=f"203.0.113.{number}")
    return await http.post("/v1/native/login", json={"email": "ada@example.test", "password": PASSWORD})


async def test_login_storm_waits_in_a_bounded_queue(open_house: OpenHouse) -> None:
    """While nothing is hashed, as many sign-ins wait as may; each one more is 503 with Retry-After, and all who waited
    get in."""
    async with open_house(hash_workers=2, hash_queue=3) as house:
        await house.register()
        with hashing_held_up(house):
            tasks = [asyncio.create_task(_login(house, number)) for number in range(12)]
            refused, waiting = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            while len(refused) < 7:
                done, waiting = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
                assert done, "somebody hangs"
                refused |= done
        assert {one.result().status_code for one in refused} == {503}
        assert all(int(one.result().headers["Retry-After"]) >= 1 for one in refused)
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 5


async def test_login_storm_spends_nothing_on_who_finds_the_queue_full(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in that finds the queue full is refused before anything is counted, let alone looked up."""
    async with open_house(hash_workers=1, hash_queue=0) as house:
        await house.register()
        monkeypatch.setattr(house.desk.throttle, "_counters", None)
        async with house.desk.hasher.turn():
            assert (await _login(house)).status_code == 503


async def test_login_storm_hashes_at_low_priority(house: House) -> None:
    """The threads that hash step back behind the one that answers."""
    await house.register()
    hashing = await asyncio.wrap_future(house.desk.hasher._threads.submit(os.getpriority, os.PRIO_PROCESS, 0))
    assert hashing > os.getpriority(os.PRIO_PROCESS, 0)


def test_served_application_is_kept_out_of_garbage_collection(
    tmp_path: "os.PathLike[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker has loaded at its start is not looked through again and again while everybody waits."""
    monkeypatch.setenv("COATCHECK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COATCHECK_SECRET_KEY", SECRET)
    try:
        from_environment()
        assert gc.get_freeze_count() > 50_000
    finally:
        gc.unfreeze()
