"""Disks that are full, for true: a small tmpfs with a file that takes what is left."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from coatcheck import migrate, settings
from tests.faults import street as streets
from tests.faults.guests import DOORS, Guest, visited
from tests.faults.street import Place, until
from tests.house import PASSWORD, SECRET
from tests.live import serving
from tests.load import asking
from tests.load.asking import EMAIL, Asker
from tests.servers import postgres, redis

pytestmark = pytest.mark.timeout(240)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of this size, where PostgreSQL's own user gets in too. Needs root, as `make test` does."""
    folder = Path(tempfile.mkdtemp(prefix="coatcheck-disk-"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte is left in this block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


async def test_disk_of_sqlite_full_refuses_what_must_be_kept_and_nothing_else(tmp_path: Path) -> None:
    """Sign-ins and refreshes are 503 and leave nothing half written; checks go on; with room again all is as before."""
    given = {"public_url": asking.ORIGIN} | streets.LIMITS_OFF
    with small_disk(8) as disk, serving(tmp_path / "log", data_dir=disk, **given) as live:
        worker = Place(0, live.port)
        at = worker.asker()
        await asking.register(at)
        guests = [Guest(await asking.sign_in(at, door)) for door in DOORS]
        with full(disk):
            await until(partial(_all_refused, guests, at), "the room that the database's log still had is used up")
            for guest in guests[:2]:  # a cookie's row is read, and what it has slid to must be written before that
                assert (await guest.look(worker)).status == 200
                assert (await guest.read(worker)).status == 200
        for guest in guests:
            await until(partial(_renewed, guest, worker), "refreshed again")
            assert not guest.signed_out
            assert {note.status for note in guest.notes} <= {200, 503}
        assert await asking.is_ready(at)
        await asking.sign_in(at)
        at.close()


async def _all_refused(guests: list[Guest], at: Asker) -> bool:
    """Whether nothing at all can be written any more."""
    worker = Place(0, at.port)
    renewed = [(await guest.renew(worker)).status for guest in guests if guest.door != "web"]
    answer = await at.post("/v1/native/login", {"email": EMAIL, "password": PASSWORD})
    assert answer.status in (200, 503), answer
    return {*renewed, answer.status} == {503}


async def _renewed(guest: Guest, at: Place) -> bool:
    return (await guest.renew(at)).status == 200


async def test_disk_of_postgresql_full_is_an_outage_with_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever PostgreSQL makes of it, a worker's answer is a yes or a 503; with room again everybody goes on."""
    with small_disk(160) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with postgres() as database, redis() as cache:
            monkeypatch.undo()
            await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
            async with streets.opened(tmp_path, database, cache) as street, visited(street) as crowd:
                with full(disk):
                    await crowd.go_on(4.0)
                database.restart()  # as its supervisor does, should it have given up
                await street.well()
                await crowd.go_on(1.0)
                await crowd.sign_out_one()
