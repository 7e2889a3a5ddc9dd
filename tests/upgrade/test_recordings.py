"""What every release has left behind is opened by this one, and everybody goes on (scenario 14)."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from coatcheck import audit_verify, ids, migrate, settings
from tests.authenticator import Authenticator
from tests.factors import passkey_sign_in, pending, verify
from tests.house import SECRET, URL, House, MovableClock, NativeClient, opened
from tests.servers import Server
from tests.upgrade.record import ADA, EVE, GRACE, RECORDINGS

RELEASES = sorted(folder.name for folder in RECORDINGS.iterdir())


class Recorded(NamedTuple):
    """A house that has just moved into what another release left, and what the clients hold."""

    house: House
    held: dict[str, Any]


@asynccontextmanager
async def moved_in(held: dict[str, Any], **stores: Any) -> AsyncIterator[Recorded]:
    """A minute after the recording."""
    clock = MovableClock()
    async with opened(clock, **stores) as house:
        clock.moved += held["at"] + 60_000 - clock.now()
        yield Recorded(house, held)


@pytest.fixture(params=["sqlite", "postgres"])
async def recorded(
    request: pytest.FixtureRequest, release: str, postgres_server: Server, redis_server: Server, tmp_path: Path
) -> AsyncIterator[Recorded]:
    """Each release's tables, brought to ours."""
    folder, kind = RECORDINGS / release, request.param
    held, script = json.loads((folder / f"{kind}.json").read_text()), (folder / f"{kind}.sql").read_text()
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "coatcheck.sqlite3")) as db:
            db.executescript(script)
        async with moved_in(held, data_dir=tmp_path) as found:
            yield found
        return
    admin = await asyncpg.connect(postgres_server.url)
    await admin.execute('DROP DATABASE IF EXISTS "recorded" WITH (FORCE)')
    await admin.execute('CREATE DATABASE "recorded"')
    await admin.close()
    url = postgres_server.url.rpartition("/")[0] + "/recorded"
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.close()
    await migrate.upgrade(settings.load({}, database_url=url, secret_key=[SECRET]))
    async with moved_in(held, database_url=url, redis_url=redis_server.url, redis_prefix="recorded") as found:
        yield found


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Every one there is."""
    return str(request.param)


async def test_recording_keeps_every_door_signed_in(recorded: Recorded) -> None:
    """Access tokens, refresh tokens and cookies of another release are good in this one, and are renewed."""
    house, held = recorded
    phone = NativeClient(house.http(), held["native"]["access"], held["native"]["refresh"])
    assert (await phone.get("/v1/me")).json()["email"] == ADA
    assert (await phone.refresh()).status_code == 200
    assert (await phone.get("/v1/me")).status_code == 200
    browser = house.http(headers={"Origin": URL, "X-Coatcheck-Client": "spa"})
    cookie = {"Cookie": f"__Host-coatcheck-refresh={held['spa']['cookie']}"}
    assert (await browser.post("/v1/spa/refresh", headers=cookie)).status_code == 200
    cookie = {"Cookie": f"__Host-coatcheck-session={held['web']['cookie']}"}
    told = await house.http().get("/v1/web/session", headers=cookie)
    assert told.json()["csrf_token"] == held["web"]["csrf"]
    assert await house.rows("SELECT id FROM session WHERE end_reason = 'reused'") == []


async def test_recording_repeats_an_answer_that_was_lost(recorded: Recorded) -> None:
    """The answer to a refresh that another release gave, and nobody heard, is the same to the letter."""
    house, held = recorded
    tablet = NativeClient(house.http(), "", held["lost"]["refresh"])
    assert (await tablet.refresh()).json()["refresh_token"] == held["lost"]["successor"]
    assert (await tablet.refresh()).status_code == 200


async def test_recording_revives_nobody_and_catches_the_thief(recorded: Recorded) -> None:
    """What had ended stays ended, and a token whose successor was used in another release ends its session in this."""
    house, held = recorded
    gone = NativeClient(house.http(), held["ended"]["access"], held["ended"]["refresh"])
    assert (await gone.refresh()).json()["code"] == "session_revoked"
    assert (await gone.get("/v1/me")).status_code == 401
    thief = NativeClient(house.http(), "", held["stolen"])
    assert (await thief.refresh()).json()["code"] == "token_reused"
    [row] = await house.rows("SELECT end_reason FROM session WHERE end_reason = 'reused'")
    assert row["end_reason"] == "reused"


async def test_recording_knows_people_and_their_devices_again(recorded: Recorded) -> None:
    """The password, a remembered device, the authenticator app and a recovery code open what they did."""
    house, held = recorded
    before = len(await house.rows("SELECT id FROM device"))
    await NativeClient(house.http(), device_token=held["native"]["device"]).login(ADA)
    assert len(await house.rows("SELECT id FROM device")) == before
    code = pyotp.TOTP(held["totp"]["seed"]).at(house.clock.now() // 1000)
    answer = await verify(house, await pending(house, email=EVE), code=code)
    assert answer.status_code == 200, answer.text
    told = await pending(house, email=EVE)
    assert (await verify(house, told, "recovery_code", code=held["totp"]["codes"][0])).status_code == 200
    told = await pending(house, email=EVE)
    assert (await verify(house, told, "recovery_code", code=held["totp"]["codes"][0])).status_code == 401


@pytest.mark.parametrize("release", [name for name in RELEASES if name != "0.1"], indirect=True)  # it has none
async def test_recording_opens_to_its_passkey(recorded: Recorded) -> None:
    """By itself and after the password; and its counter goes on from where it stood, so a copy is found."""
    house, held = recorded
    kept = held["passkey"]
    key = derive_private_key(int(kept["key"], 16), SECP256R1())
    credential_id, user_handle = bytes.fromhex(kept["id"]), bytes.fromhex(kept["user"])
    passkey = Authenticator(counter=kept["counter"], credential_id=credential_id, user_handle=user_handle, key=key)
    assert (await passkey_sign_in(house, passkey)).status_code == 401
    passkey.counter += 1
    assert (await passkey_sign_in(house, passkey)).status_code == 200
    passkey.counter += 1
    token = await pending(house, email=GRACE)
    assert (await passkey_sign_in(house, passkey, token=token)).status_code == 200


async def test_recording_has_its_audit_log_whole(recorded: Recorded) -> None:
    """The chain that another release linked is sound, and goes on."""
    house, held = recorded
    session_id = ids.raw("ses", held["session_id"])
    assert await house.rows("SELECT id FROM audit_event WHERE session_id = $1", session_id)
    await house.native(ADA)
    assert (await audit_verify.verify(house.desk.settings, house.clock)).findings == []
