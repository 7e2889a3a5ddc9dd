"""Another service, which knows people by `coatcheck.verifier` alone: remote logout there, and Coatcheck away."""

import asyncio
import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.live import Live, second_service, serving
from tests.load import asking
from tests.load.asking import Asker, Visitor
from tests.load.effort import Effort, say
from tests.load.figures import AtMost, Figure, waits

_STALENESS = 3  # seconds for which the last news is good, here
_LATEST = 10.0  # seconds: what has not happened by then ends the stage
_OFTEN = 0.001  # seconds between questions


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """Coatcheck on the embedded database; one service that refuses when its news is stale, one that accepts."""
    found = []
    with serving(folder / "log", data_dir=folder, limit_login="off") as live:
        await asking.register(Asker(live.port))
        with second_service(live, folder / "second") as url:
            found += await remote_logout(Asker(live.port), Asker(_port(url)), effort.trials // 2)
    for policy in ("refuse", "accept"):
        found += await coatcheck_away(folder, policy, max(1, effort.slow_trials // 6))
    return found


async def remote_logout(coatcheck: Asker, other: Asker, trials: int) -> list[Figure]:
    """From the answer to the logout to the first refusal."""
    laptop, times = await asking.sign_in(coatcheck), []
    for number in range(1, trials + 1):
        phone = await asking.sign_in(coatcheck)
        assert await _says(other, phone) == "ok"
        await asking.sign_out(coatcheck, laptop, phone)
        times.append(await _until(other, phone, "session_revoked"))
        if number % 100 == 0 or number == trials:
            say(f"remote logout at another service: {number} of {trials}")
    assert await _says(other, laptop) == "ok"
    return waits("remote logout -> refused by another service", times, AtMost(1_000))


async def coatcheck_away(folder: Path, policy: str, trials: int) -> list[Figure]:
    """Coatcheck is killed: how long people are still accepted; and signed out ones are refused throughout."""
    lasted = []
    for number in range(1, trials + 1):
        with ExitStack() as stack:
            live = stack.enter_context(serving(folder / "log", data_dir=folder, limit_login="off"))
            chosen = {"MAX_STALENESS": str(_STALENESS), "WHEN_STALE": policy}
            other = Asker(_port(stack.enter_context(second_service(live, folder / "second", **chosen))))
            lasted.append(await _accepted_without(live, other, policy))
        say(f"Coatcheck killed, {policy}: {number} of {trials}, accepted for {lasted[-1]:.2f} s")
    if policy == "accept":
        name = f"the same with accept: still accepted after {2 * _STALENESS} s"
        return [Figure(name, sum(one >= 2 * _STALENESS for one in lasted), "", note=f"of {trials} times")]
    name = f"Coatcheck killed: accepted for, at max_staleness {_STALENESS} s"
    goal = AtMost(_STALENESS + 0.5)
    return [Figure(name, max(lasted), "s", goal, f"the longest of {trials} times, then 503; the signed out refused")]


async def _accepted_without(live: Live, other: Asker, policy: str) -> float:
    """Seconds from the death of Coatcheck to the first 503; twice the patience is enough where none shall come."""
    laptop, gone = await asking.sign_in(Asker(live.port)), await asking.sign_in(Asker(live.port))
    await asking.sign_out(Asker(live.port), laptop, gone)
    await _until(other, gone, "session_revoked")
    os.kill(live.process.pid, signal.SIGKILL)
    began = time.perf_counter()
    while await _says(other, laptop) == "ok":
        assert await _says(other, gone) == "session_revoked"
        passed = time.perf_counter() - began
        if passed > 2 * _STALENESS:
            assert policy == "accept", "accepted for too long"
            return passed
        await asyncio.sleep(10 * _OFTEN)
    assert await _says(other, laptop) == "unavailable"
    assert await _says(other, gone) == "session_revoked"
    return time.perf_counter() - began


async def _until(other: Asker, visitor: Visitor, said: str) -> float:
    began = time.perf_counter()
    while await _says(other, visitor) != said:
        assert time.perf_counter() - began < _LATEST, f"not {said} within {_LATEST} s"
        await asyncio.sleep(_OFTEN)
    return time.perf_counter() - began


async def _says(other: Asker, visitor: Visitor) -> str:
    """`ok`, or the code of the refusal."""
    answer = await other.ask("GET", "/parcels", visitor.credential)
    return "ok" if answer.status == 200 else str(json.loads(answer.body)["code"])


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
