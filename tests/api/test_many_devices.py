"""An account with very many devices and sessions: what is read and written for it stays bounded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import event

from coatcheck import ids, revocation, sessions
from coatcheck.redis_down import RedisDown
from coatcheck.revocation import Event
from coatcheck.tables import Device, Session
from tests.conftest import Stores
from tests.house import House, MovableClock, NativeClient, opened

ADA = "ada@example.test"
MINUTE = 60_000  # milliseconds


def _copies(table: type[Device | Session], own: Sequence[str]) -> str:
    """SQL that copies the row with the id $1, except for these columns."""
    names = list(table.model_fields)
    values = [f"${own.index(name) + 2}" if name in own else name for name in names]
    name = table.__name__.lower()
    return f"INSERT INTO {name} ({', '.join(names)}) SELECT {', '.join(values)} FROM {name} WHERE id = $1"


async def add_devices(house: House, model: NativeClient, many: int, age: int = 0) -> list[bytes]:
    """So many devices beside the model's, with a living session each, used a minute after one another, `age` ago."""
    session_id = ids.raw("ses", model.session_id)
    [row] = await house.rows("SELECT device_id, last_seen_at FROM session WHERE id = $1", session_id)
    devices, living, now = [], [], row["last_seen_at"]
    for number in range(many):
        key, at = sha256(f"{number} {many} {age}".encode()).digest(), now - age - (many - number) * MINUTE
        devices.append((row["device_id"], key[:16], key, f"Device {number}", at))
        living.append((session_id, key[16:], key[:16], at))
    hot = house.desk.db.hot
    await hot.run_many(_copies(Device, ("id", "secret_hash", "name", "created_at")), devices)
    await hot.run_many(_copies(Session, ("id", "device_id", "last_seen_at")), living)
    return [device[1] for device in devices]


@contextmanager
def devices_read() -> Iterator[list[str]]:
    """The names of the devices that are read meanwhile."""
    found: list[str] = []

    def read(device: Device, _context: object) -> None:
        found.append(device.name)

    event.listen(Device, "load", read)
    yield found
    event.remove(Device, "load", read)


@contextmanager
def written(house: House, table: str) -> Iterator[list[int]]:
    """How many rows each statement that inserts into a table was given."""
    found: list[int] = []

    def write(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            found.append(len(parameters) if many else 1)

    engine = house.desk.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", write)
    yield found
    event.remove(engine, "before_cursor_execute", write)


async def test_many_devices_activity_reads_those_of_its_page(house: House) -> None:
    """A page of activity reads the devices that its events name, and no other: the API, the pages and the home page."""
    await house.register()
    phone, web = await house.native(name="Phone"), await house.web()
    await add_devices(house, phone, 200)
    *_, last = await house.rows("SELECT id FROM audit_event ORDER BY id")
    earlier = f"/account/activity?after={last['id']}"
    for client, path in ((phone, "/v1/me/activity"), (web, "/account/activity"), (web, earlier)):
        with devices_read() as read:
            answer = await client.get(path)
        assert answer.status_code == 200
        assert ("Phone" in answer.text, len(read) <= 2) == (True, True), (path, len(read))


async def test_many_devices_lists_read_what_they_show(house: House) -> None:
    """A list reads the devices of the sessions in it, and one device's page, or a new name, this device alone."""
    await house.register()
    phone = await house.native(name="Phone")
    await add_devices(house, phone, 200)
    await house.rows("UPDATE session SET ended_at = $1 WHERE id <> $2", 1, ids.raw("ses", phone.session_id))
    with devices_read() as read:
        [device] = (await phone.get("/v1/devices")).json()["devices"]
    assert (device["name"], read) == ("Phone", ["Phone"])
    await house.rows("UPDATE session SET ended_at = NULL")
    with devices_read() as read:
        answer = await phone.call("PATCH", f"/v1/devices/{device['id']}", json={"name": "Ada's phone"})
    assert (answer.json()["name"], set(read)) == ("Ada's phone", {"Phone", "Ada's phone"})


async def test_many_devices_are_listed_with_who_ended_what(house: House) -> None:
    """Who ended a session is named though that device has no session in the list."""
    await house.register()
    phone, laptop = await house.native(name="Phone"), await house.native(name="Laptop")
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    await phone.login(ADA)
    await house.rows("DELETE FROM session WHERE id = $1", ids.raw("ses", laptop.session_id))
    [device] = (await phone.get("/v1/devices?ended=true")).json()["devices"]
    assert [one["ended_by"] for one in device["sessions"]] == [None, "Laptop"]


async def test_many_sessions_end_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sessions end at once, written down by one statement a piece; each is in the audit log, and told."""
    monkeypatch.setattr(sessions, "_AT_ONCE", 50)
    monkeypatch.setattr(sessions, "_LOCKED_AT_ONCE", 75)
    await house.register()
    phone = await house.native()
    await add_devices(house, phone, 200)
    with written(house, "audit_event") as pieces:
        answer = await phone.call("POST", "/v1/devices/logout-others")
    assert answer.json() == {"ended": 200}
    assert sorted(pieces) == [25, 25, 50, 50, 50]
    ended = await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL")
    assert len(ended) == 200
    assert {event["session_id"] for event in await house.audit("session.ended")} == {row["id"] for row in ended}
    assert all(house.desk.feed.ended(row["id"]) for row in ended)
    assert (await phone.get("/v1/me")).status_code == 200


async def test_many_endings_are_sent_in_pieces(
    servers: Stores, clock: MovableClock, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed sends a piece at a time; when Redis goes away on the way, what it has not taken is kept, all of it."""
    monkeypatch.setattr(revocation, "_TOLD_AT_ONCE", 50)
    async with opened(clock, **servers) as house:
        await house.register()
        phone = await house.native()
        added = await add_devices(house, phone, 120)
        sent: list[int] = []

        async def append(_redis: object, events: Sequence[Event]) -> None:
            if sent:
                raise RedisDown
            sent.append(len(events))

        monkeypatch.setattr(house.desk.feed, "_append", append)
        assert (await phone.call("POST", "/v1/devices/logout-others")).json() == {"ended": 120}
        ended = await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL")
        assert (sent, len(house.desk.feed._unsent), len(ended)) == ([50], 70, len(added))
        assert all(house.desk.feed.ended(row["id"]) for row in ended)
