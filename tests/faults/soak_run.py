"""A run of the soak: many clients of all three doors against real workers and stores, with faults at random."""

import asyncio
import json
import os
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.faults import street
from tests.faults.evidence import Evidence
from tests.faults.soak_client import Client, Person
from tests.faults.soak_faults import Mischief
from tests.faults.soak_records import events, rows
from tests.faults.street import Street
from tests.house import PASSWORD, SECRET
from tests.live import command, environment
from tests.load.effort import say
from tests.servers import postgres, redis

DOORS = ("native", "spa", "web")
CLIENTS_EACH = 4  # of a person
RACE_WINDOW = 8  # seconds: longer than a worker is stopped, short enough for many true replays in a minute
_TELL_EVERY = 5.0  # seconds
_RECOVERY = 10.0  # seconds after the last fault, in which everybody is served again
_CHOSEN: dict[str, Any] = {"access_ttl": 20, "race_window": RACE_WINDOW, "log_level": "warning"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    seconds: float
    clients: int = 200
    workers: int = 4
    seed: int = field(default_factory=lambda: random.randrange(10**6))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The evidence; clients that nobody serves in the end; errors in logs; what `coatcheck audit verify` finds."""

    evidence: Evidence
    unserved: list[int]
    errors: list[dict[str, Any]]
    audit: str


async def run(plan: Plan) -> Outcome:
    """All of it, from empty servers to the evidence."""
    say(f"soak of {plan.seconds:.0f} s, seed {plan.seed}: {plan.clients} clients, {plan.workers} workers")
    with postgres(settings=["max_connections=200"]) as database, redis() as cache, TemporaryDirectory() as folder:
        chosen = _CHOSEN | {"data_dir": folder}
        async with street.opened(Path(folder), database, cache, plan.workers, **chosen) as opened:
            soak = Soak(plan, opened)
            await soak.register()
            await soak.play()
            unserved = await soak.call_the_roll()
            ours = [line for line in opened.log() if " " not in line["event"]]  # not uvicorn's, of a start in vain
            errors = [line for line in ours if line["level"] in ("error", "critical")]
            return Outcome(await soak.evidence(), unserved, errors, await soak.verify_audit())


class Soak:
    """Servers, clients, and the one clock they are measured by."""

    def __init__(self, plan: Plan, opened: Street) -> None:
        self._plan, self._street = plan, opened
        self._mischief = Mischief(opened, self._now, plan.seed)
        self._clients: list[Client] = []
        self._began = time.monotonic()
        self._epoch = time.time() - self._began  # of the monotonic clock

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def register(self) -> None:
        """Persons with a few clients each, the doors in turn."""
        at, ports = self._street.workers[0].asker(), [worker.port for worker in self._street.workers]
        for first in range(0, self._plan.clients, CLIENTS_EACH):
            email = f"guest{first}@example.test"
            answer = await at.post("/v1/accounts", {"email": email, "password": PASSWORD})
            person = Person(json.loads(answer.body)["id"], email)
            for number in range(first, min(first + CLIENTS_EACH, self._plan.clients)):
                chance = random.Random(f"{self._plan.seed} {number}")
                self._clients.append(Client(number, person, DOORS[number % 3], ports, self._now, chance))
        at.close()

    async def play(self) -> None:
        """Clients act and servers fail, until it is time; then the servers are left in peace."""
        until = self._now() + self._plan.seconds
        async with asyncio.TaskGroup() as together:
            beside = [together.create_task(self._tell()), together.create_task(self._mischief.watch_the_machine())]
            faults = [self._mischief.with_stores(until), self._mischief.with_workers(until)]
            await asyncio.gather(*faults, *(client.live(until) for client in self._clients))
            for task in beside:
                task.cancel()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY)
            calls = sum(len(client.history) for client in self._clients)
            faults = [fault for fault in self._mischief.faults if fault.kind != "machine"]
            running = ", ".join(sorted(self._mischief.running)) or "all well"
            load = os.getloadavg()[0]
            say(f"{self._now():6.0f} s {calls:8,} calls {len(faults):4} faults, load {load:4.1f}; now: {running}")

    async def call_the_roll(self) -> list[int]:
        """Numbers of the clients that are not served, long after the last fault."""
        unserved = self._clients
        until = self._now() + _RECOVERY
        while unserved and self._now() < until:
            served = await asyncio.gather(*(client.is_served() for client in unserved))
            unserved = [client for client, well in zip(unserved, served, strict=True) if not well]
        return [client.number for client in unserved]

    async def evidence(self) -> Evidence:
        """What everybody remembers."""
        offset = self._epoch + self._began
        return Evidence(
            RACE_WINDOW,
            [call for client in self._clients for call in client.history],
            await rows(self._street.database.url, offset),
            await events(self._street.database.url, offset),
            self._mischief.faults,
        )

    async def verify_audit(self) -> str:
        """Empty when the chain over the audit log is whole."""
        given = environment(secret_key=SECRET, **self._street.settings)
        arguments = command("audit", "verify")
        done = await asyncio.to_thread(
            subprocess.run, arguments, env=given, capture_output=True, text=True, check=False
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr
