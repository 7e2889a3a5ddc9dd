"""Disks that are full, for true: a small tmpfs with a file that takes what is left."""

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path

import pytest

from coatcheck import migrate, settings
from tests.faults import street as streets
from tests.faults.guests import DOORS, Guest, visited
from tests.faults.street import Place, Street, until
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
            assert (await at.post("/v1/password-reset", {"email": EMAIL})).status == 503  # no yes that is not kept
        for guest in guests:
            await until(partial(_renewed, guest, worker), "refreshed again")
            assert not guest.signed_out
            assert {note.status for note in guest.notes} <= {200, 503}
        assert await asking.is_ready(at)
        await asking.sign_in(at)
        assert (await at.post("/v1/password-reset", {"email": EMAIL})).status == 202
        await until(partial(_delivered, disk / "outbox", 1), "the mail is there")
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


async def test_disk_of_the_outbox_full_delays_mail_and_nothing_else(tmp_path: Path) -> None:
    """Without a mail server mails become files: one that can't be written stays where it was posted, whoever asked for
    it is answered as ever, and with room again it is there, whole and once."""
    with small_disk(1) as disk, streets.stores() as (database, cache):
        async with streets.opened(tmp_path, database, cache, 2, data_dir=disk) as street, visited(street) as crowd:
            outbox, at = disk / "outbox", street.workers[0].asker()
            outbox.mkdir(mode=0o700, exist_ok=True)
            with full(disk):
                for _ in range(3):
                    assert (await at.post("/v1/password-reset", {"email": EMAIL})).status == 202
                waiting = await _waiting(street)
                await until(partial(_logged, street, "mail.not_delivered", waiting), "each has been tried")
                await crowd.go_on(1.0)
                assert await _waiting(street) == waiting >= 3
            await until(partial(_delivered, outbox, 3), "they are there")
            await until(partial(_none_waits, street), "none is written twice")
            assert await _delivered(outbox, 3)
            at.close()


async def _logged(street: Street, event: str, times: int) -> bool:
    return [line["event"] for line in street.log()].count(event) >= times


async def _waiting(street: Street) -> int:
    return len(await street.rows("SELECT id FROM outgoing_mail"))


async def _none_waits(street: Street) -> bool:
    return await _waiting(street) == 0


async def _delivered(outbox: Path, number: int) -> bool:
    """Whether so many mails with a link for a new password are there, and no part of another one."""
    mails = [message_from_bytes(file.read_bytes(), policy=default) for file in outbox.glob("*.eml")]
    return sum(_is_reset(mail) for mail in mails) == number


def _is_reset(mail: EmailMessage) -> bool:
    body = mail.get_body(("plain",))
    text = "" if body is None else str(body.get_content())
    return str(mail["To"]) == EMAIL and "/account/reset#" in text


async def test_disk_of_the_log_full_stops_nobody(tmp_path: Path) -> None:
    """What can't be logged is lost: every request is answered, stores that fail meanwhile are got over as ever, a
    worker starts, and with room again there are lines again."""
    with small_disk(1) as disk, streets.stores() as (database, cache):
        async with streets.opened(disk, database, cache, log_level="debug") as street, visited(street) as crowd:
            with full(disk):
                await crowd.go_on(1.0)  # the last page that each log has begun is used up
                written = [len(worker.said()) for worker in street.workers]
                cache.kill()
                await crowd.go_on(1.5)
                cache.restart()
                database.restart()
                await street.well()
                await crowd.go_on(1.0)
                await asyncio.to_thread(street.workers[2].restart)
                await crowd.sign_out_one()
                assert [len(worker.said()) for worker in street.workers] == written
            await crowd.go_on(0.5)
            await crowd.sign_out_one()
        assert all(len(worker.said()) > before for worker, before in zip(street.workers, written, strict=True))
