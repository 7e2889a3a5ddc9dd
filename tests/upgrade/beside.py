"""An older release beside this one, on the tables that this one has migrated. By hand, as it needs the history of git:

    python -m tests.upgrade.beside 4d99e8c

The older code runs with the libraries of its own lock file. Guests of all doors, signed in before, live on at both.
"""

import argparse
import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from coatcheck import migrate, settings
from tests.faults import street as streets
from tests.faults.guests import DOORS, Crowd, Guest, visited
from tests.faults.street import Street, Worker
from tests.house import SECRET
from tests.live import command, environment
from tests.load import asking
from tests.load.effort import say

_OURS = Path(__file__).parents[2]
_LIVES_ON = 3.0  # seconds after each step


def unpacked(commit: str, folder: Path) -> dict[str, str]:
    """The code of a commit in this folder; what lets a process be it."""
    archive = subprocess.run(["git", "archive", commit], cwd=_OURS, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive)
    subprocess.run(["make", "venv"], cwd=folder, check=True, capture_output=True)
    [libraries] = folder.glob(".venv/lib/python*/site-packages")
    return {"PYTHONPATH": f"{folder / 'backend'}{os.pathsep}{libraries}"}


async def revision(street: Street) -> str:
    """Which tables there are."""
    [row] = await street.rows("SELECT version_num FROM alembic_version")
    return str(row["version_num"])


async def lives_on(crowd: Crowd, what: str) -> None:
    """Nobody notices; and a remote logout of each door, asked for at either, bites at both."""
    street = crowd.street
    await street.well()
    at = [worker.asker() for worker in street.workers]
    crowd.staying += [Guest(await asking.sign_in(one, door)) for one in at for door in DOORS]
    for one in at:
        one.close()
    await crowd.go_on(_LIVES_ON)
    for door in DOORS:
        await crowd.sign_out_one(door)
    await crowd.check()
    say(f"well: {what} (tables {await revision(street)}, {len(crowd.staying)} guests)")


async def run(older: dict[str, str], folder: Path) -> None:
    """Old alone, our tables, both, then old alone again."""
    with streets.stores() as (database, cache):
        given = {"database_url": database.url, "redis_url": cache.url, "public_url": asking.ORIGIN} | streets.LIMITS_OFF
        migrating = environment(secret_key=SECRET, database_url=database.url) | older
        await asyncio.to_thread(
            subprocess.run, command("migrate"), env=migrating, cwd=folder, check=True, capture_output=True
        )
        street = Street(folder, database, cache, given)
        old, new = (Worker(number, street=street) for number in range(2))
        street.workers = [old]
        try:
            await asyncio.to_thread(old.start, "", older)
            async with visited(street) as crowd:
                await lives_on(crowd, "the older release alone")
                going_on = asyncio.create_task(crowd.go_on(_LIVES_ON))
                await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
                await going_on
                await lives_on(crowd, "the older release on newer tables")
                await asyncio.to_thread(new.start)
                street.workers = [old, new]
                await lives_on(crowd, "both")
                await asyncio.to_thread(old.restart, "", older)
                await lives_on(crowd, "both, the older one started anew")
                street.workers = [new]
                await asyncio.to_thread(old.stop)
                await lives_on(crowd, "this release alone")
                await asyncio.to_thread(old.start, "", older)
                street.workers = [old]
                await asyncio.to_thread(new.stop)
                await lives_on(crowd, "back to the older release")
        finally:
            for worker in (old, new):
                await asyncio.to_thread(worker.stop)
        statuses = {note.status for guest in [*crowd.staying, *crowd.gone] for note in guest.notes}
        say(f"{sum(len(guest.notes) for guest in [*crowd.staying, *crowd.gone]):,} answers: {sorted(statuses)}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.beside", description="An older release beside this.")
    parser.add_argument("commit", help="of the older release")
    with TemporaryDirectory() as name, suppress(KeyboardInterrupt):
        asyncio.run(run(unpacked(parser.parse_args().commit, Path(name)), Path(name)))


if __name__ == "__main__":
    main()
