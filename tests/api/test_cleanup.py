"""State does not grow: what has ended is explained for a while, then it goes, and nothing that lives goes with it."""

import asyncio
import os
import random

import pytest

from coatcheck import audit_retention, cleanup
from coatcheck.tables import SQLModel
from tests.conftest import OpenHouse
from tests.house import House, NativeClient

DAY = 86_400
MANY = int(os.environ.get("MANY_SESSIONS", "10000"))  # by hand: 100000


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices nobody has to wait for us here."""
    monkeypatch.setattr(cleanup, "_PAUSE", 0)


async def clean(house: House) -> None:
    """A turn, an hour after the one before."""
    house.clock.move(3_601)
    assert await house.desk.cleanup.turn()


async def count(house: House, table: str) -> int:
    return int((await house.rows(f"SELECT count(*) AS n FROM {table}"))[0]["n"])


async def living(house: House) -> int:
    return len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL"))


async def test_cleanup_ends_what_ran_out_and_says_how(open_house: OpenHouse) -> None:
    """Two days after it idled out or grew too old a session is ended, at the moment it did, with that reason."""
    async with open_house(idle_ttl=5 * DAY, absolute_ttl=7 * DAY) as house:
        await house.register()
        idle, old = await house.native(), await house.native()
        for _ in range(3):
            house.clock.move(2 * DAY)
            await old.refresh()
        before = {row["id"]: row["idle_expires_at"] for row in await house.rows("SELECT * FROM session")}
        await clean(house)
        assert await living(house) == 2  # idle for a day, within the tolerance
        house.clock.move(2 * DAY)
        await clean(house)
        rows = await house.rows("SELECT id, ended_at, end_reason FROM session WHERE ended_at IS NOT NULL")
        assert [row["end_reason"] for row in rows] == ["idle"]
        house.clock.move(2 * DAY)
        await clean(house)
        rows = await house.rows("SELECT id, ended_at, end_reason FROM session")
        assert sorted(row["end_reason"] for row in rows) == ["expired", "idle"]
        assert all(row["ended_at"] == before[row["id"]] for row in rows)
        assert [event["data"] for event in await house.audit("session.ended")] == [
            '{"reason": "idle"}',
            '{"reason": "expired"}',
        ]
        assert (await idle.refresh()).json()["code"] == "session_expired"
        assert (await old.refresh()).json()["code"] == "session_expired"


async def test_cleanup_keeps_ended_sessions_for_their_days(open_house: OpenHouse) -> None:
    """An ended session stays in the device list for SESSION_RETENTION, then its row goes; the living one stays."""
    async with open_house(idle_ttl=400 * DAY, absolute_ttl=400 * DAY) as house:
        await house.register()
        phone = await house.native()
        await phone.login("ada@example.test")
        house.clock.move(29 * DAY)
        await clean(house)
        await phone.refresh()
        [device] = (await phone.get("/v1/devices?ended=true")).json()["devices"]
        assert [one["end_reason"] for one in device["sessions"]] == [None, "replaced"]
        house.clock.move(2 * DAY)
        await clean(house)
        await phone.refresh()
        [device] = (await phone.get("/v1/devices?ended=true")).json()["devices"]
        assert [one["end_reason"] for one in device["sessions"]] == [None]
        assert await count(house, "session") == 1


async def test_cleanup_remembers_a_device_longer_than_its_sessions(house: House) -> None:
    """A device is recognised, with the name it was given, for DEVICE_RETENTION after its last session."""
    await house.register()
    phone = await house.native()
    device_id = phone.grant["session"] and (await phone.get("/v1/devices")).json()["devices"][0]["id"]
    await phone.call("PATCH", f"/v1/devices/{device_id}", json={"name": "Grandmother's phone"})
    await phone.call("DELETE", "/v1/sessions/current")
    house.clock.move(300 * DAY)
    await clean(house)
    await phone.login("ada@example.test")
    assert (await phone.get("/v1/devices")).json()["devices"][0]["name"] == "Grandmother's phone"
    await phone.call("DELETE", "/v1/sessions/current")
    house.clock.move(366 * DAY)
    await clean(house)
    assert (await count(house, "session"), await count(house, "device")) == (0, 0)
    await phone.login("ada@example.test")
    assert (await phone.get("/v1/devices")).json()["devices"][0]["name"] != "Grandmother's phone"


async def test_cleanup_removes_closed_accounts(house: House) -> None:
    """What was emptied when an account closed goes with its last session; a disabled account stays."""
    await house.register()
    await house.register("grace@example.test")
    await (await house.native()).call("DELETE", "/v1/me")
    await house.rows("UPDATE account SET disabled_at = $1 WHERE email LIKE 'grace%'", house.clock.now())
    house.clock.move(29 * DAY)
    await clean(house)
    assert await count(house, "account") == 2
    house.clock.move(2 * DAY)
    await clean(house)
    assert [row["email"] for row in await house.rows("SELECT email FROM account")] == ["grace@example.test"]
    assert (await count(house, "session"), await count(house, "device")) == (0, 0)
    assert await house.audit("account.closed")


async def test_cleanup_removes_forgotten_guesses_and_dead_challenges(house: House) -> None:
    """A guess at a code that counts no more goes, one that counts stays; expired challenges go."""
    await house.register()
    await house.rows("DELETE FROM challenge")  # the link of the registration
    [account] = await house.rows("SELECT id FROM account")
    now = house.clock.now()
    for key in (b"a" * 32, b"\xff" * 32):
        guess = "INSERT INTO guess (key, account_id, failures, free_at, last_at) VALUES ($1, $2, 5, $3, $3)"
        await house.rows(guess, key, account["id"], now)
        names = "key, purpose, data, attempts, created_at, expires_at"
        await house.rows(f"INSERT INTO challenge ({names}) VALUES ($1, 'x', $1, 0, $2, $3)", key, now, now + 60_000)
    await clean(house)
    assert (await count(house, "guess"), await count(house, "challenge")) == (2, 0)
    house.clock.move(30 * DAY)
    await clean(house)
    assert await count(house, "guess") == 0


async def test_cleanup_leaves_what_the_sweep_needs(open_house: OpenHouse) -> None:
    """However short the retention, an ended session stays while an access token of its time could live."""
    async with open_house(session_retention=2, device_retention=2, access_ttl=5 * DAY) as house:
        await house.register()
        phone, other = await house.native(), await house.native()
        await other.call("DELETE", f"/v1/sessions/{phone.session_id}")
        house.clock.move(4 * DAY)
        await clean(house)
        assert await count(house, "session") == 2
        async with open_house(access_ttl=5 * DAY) as another_worker:  # which knows only what the sweep reads
            answer = await another_worker.http().get(
                "/v1/me", headers={"Authorization": f"Bearer {phone.access_token}"}
            )
            assert answer.json()["code"] == "session_revoked"
        house.clock.move(3 * DAY)
        await clean(house)
        assert await count(house, "session") == 1


async def test_cleanup_bounds_every_table(open_house: OpenHouse) -> None:
    """A year of signing in anew each week, on new devices, of closed accounts: no table grows from year to year."""
    async with open_house(audit_retention=60, device_retention=60) as house:
        sizes = []
        await house.register()
        for year in range(2):
            for week in range(26):
                phone, _ = await house.native(), await house.web()
                await phone.refresh()
                email = f"guest{year}x{week}@example.test"
                await house.register(email)
                await (await house.native(email)).call("DELETE", "/v1/me")
                house.clock.move(14 * DAY)
                await house.desk.linker.turn()
                await clean(house)
            desk = house.desk
            await house.mails()  # all are delivered
            await audit_retention.prune(desk.settings, desk.db, desk.roots, house.clock)
            sizes.append({table: await count(house, table) for table in SQLModel.metadata.tables})
        assert sizes[0]["session"] > 2  # there is something to bound
        for table, size in sizes[1].items():
            assert size <= sizes[0][table] * 1.2 + 4, table  # 26 more, if nothing went


async def test_cleanup_is_one_workers_turn_an_hour(two_workers: tuple[House, House]) -> None:
    """Of several workers one cleans, once an hour; a turn set far ahead by a wrong clock is not waited for."""
    first, second = two_workers
    turns = await asyncio.gather(*[house.desk.cleanup.turn() for house in two_workers for _ in range(5)])
    assert sum(turns) == 1
    first.clock.move(1_800)
    assert not await second.desk.cleanup.turn()
    first.clock.move(1_801)
    assert await second.desk.cleanup.turn()
    await first.rows("UPDATE chore SET next_at = $1", first.clock.now() + 10 * 365 * DAY * 1_000)
    assert await first.desk.cleanup.turn()


async def test_cleanup_goes_on_where_a_worker_died(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that broke off is continued by the next turn, from the slice it had reached."""
    monkeypatch.setattr(cleanup, "_SLICE", 10)
    async with open_house() as house:
        await house.register()
        await many_sessions(house, 55)
        house.clock.move(400 * DAY)
        steps = 0

        async def dying(after: bytes, upto: bytes) -> None:
            nonlocal steps
            steps += 1
            if steps == 3:
                raise RuntimeError("killed")
            await plain(after, upto)

        plain = house.desk.cleanup._clean_sessions
        monkeypatch.setattr(house.desk.cleanup, "_clean_sessions", dying)
        with pytest.raises(RuntimeError):
            await house.desk.cleanup.turn()
        assert await living(house) == 35
        place = (await house.rows("SELECT place FROM chore"))[0]["place"]
        assert place.startswith("session:")
        house.clock.move(3_601)
        assert await house.desk.cleanup.turn()
        assert steps == 3 + 4
        assert await living(house) == 0


async def many_sessions(house: House, number: int, ended: bool = False) -> None:
    """So many sessions of Ada's, each on a device of its own, as if she had signed in now."""
    [account] = await house.rows("SELECT id FROM account")
    now = house.clock.now()
    devices = [(os.urandom(16), account["id"], os.urandom(32), "old", False, now) for _ in range(number)]
    names = "id, account_id, secret_hash, name, named_by_person, created_at"
    await house.desk.db.hot.run_many(f"INSERT INTO device ({names}) VALUES ($1, $2, $3, $4, $5, $6)", devices)
    ended_at = now if ended else None
    rows = [(os.urandom(16), device[1], device[0], os.urandom(32), now, ended_at) for device in devices]
    await house.desk.db.hot.run_many(
        "INSERT INTO session (id, account_id, device_id, door, nonce_hash, kid, generation, rotated_at, "
        "window_generation, window_started_at, created_at, auth_time, auth_methods, last_seen_at, idle_expires_at, "
        "expires_at, ip, user_agent, ended_at) VALUES ($1, $2, $3, 'native', $4, 1, 0, $5, 0, 0, $5, $5, 'pwd', $5, "
        "$5, $5, '203.0.113.7', 'old', $6)",
        rows,
    )


@pytest.mark.timeout(400)
async def test_cleanup_of_very_many_lets_logins_go_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Very many ended sessions and their devices go, slice by slice, while people sign in and refresh."""
    monkeypatch.setattr(cleanup, "_PAUSE", 0.1)  # as it is: who waits for SQLite's one writer gets in between
    await house.register()
    for _ in range(MANY // 200):
        await many_sessions(house, 200, ended=True)
    await house.rows("ANALYZE")  # as autovacuum does within a minute of such a crowd
    house.clock.move(400 * DAY)
    phone = await house.native()
    done = asyncio.Event()
    answers: list[int] = []

    async def go_on() -> None:
        while not done.is_set():
            answers.append((await phone.refresh()).status_code)
            await house.native()
            house.clock.move(1.1)

    async def clean_all() -> None:
        try:
            assert await house.desk.cleanup.turn()
        finally:
            done.set()

    await asyncio.gather(go_on(), clean_all())
    assert len(answers) > 10
    assert set(answers) == {200}
    assert await count(house, "session") == await living(house) == 1 + len(answers)
    await clean(house)  # what was left because its owner was signing in at that moment
    assert await count(house, "device") == 1 + len(answers)


async def test_cleanup_never_ends_a_session_that_is_used(two_workers: tuple[House, House]) -> None:
    """Refreshes, sign-ins on old devices and clean-ups of two workers at once: whoever came back in time lives on."""
    first = two_workers[0]
    await first.register()
    clients = [await house.native() for house in two_workers for _ in range(8)]
    for client in clients[8:]:
        await client.call("DELETE", "/v1/sessions/current")
    first.clock.move(29 * DAY)

    async def come_back(client: NativeClient, number: int) -> None:
        await asyncio.sleep(random.random() / 20)
        if number < 8:
            assert (await client.refresh()).status_code == 200
        else:
            await client.login("ada@example.test")

    async def keep_cleaning(house: House) -> None:
        # As a clock that is three years ahead would: everything that is not used at this very moment is due.
        ahead = type(house.clock)()
        ahead.moved = house.clock.moved + 3 * 365 * DAY * 1_000
        worker = cleanup.Cleanup(house.desk.settings, ahead, house.desk.db, house.desk.roots, house.desk.feed)
        for _ in range(20):
            await worker._clean_devices(b"", cleanup._END)

    await asyncio.gather(
        *[come_back(client, number) for number, client in enumerate(clients)],
        *[keep_cleaning(house) for house in two_workers],
    )
    for client in clients:
        assert (await client.get("/v1/me")).status_code == 200
        assert (await client.refresh()).status_code == 200


async def test_cleanup_walks_while_sessions_are_refreshed(two_workers: tuple[House, House]) -> None:
    """A walk under a clock far ahead, against refreshes: a refresh that was answered has saved its session."""
    first = two_workers[0]
    await first.register()
    clients = [await house.native() for house in two_workers for _ in range(10)]
    first.clock.move(30 * DAY - 60)
    saved: list[NativeClient] = []

    async def refresh(client: NativeClient) -> None:
        await asyncio.sleep(random.random() / 10)
        answer = await client.refresh()
        if answer.status_code == 200:
            saved.append(client)
        else:
            assert answer.json()["code"] == "session_expired"

    async def walk(house: House) -> None:
        for _ in range(20):
            await house.desk.cleanup._end_what_ran_out(b"", cleanup._END, house.clock.now() + 3 * DAY * 1_000)

    await asyncio.gather(*[refresh(client) for client in clients], *[walk(house) for house in two_workers])
    assert await living(first) == len(saved)
    for client in saved:
        assert (await client.refresh()).status_code == 200
