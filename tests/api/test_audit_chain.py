"""The audit log's chain: whatever is done to it behind Coatcheck's back is found, and named."""

import asyncio
from typing import Any

import pytest

from coatcheck import audit, audit_seal, audit_verify
from coatcheck.audit_chain import Linker
from coatcheck.audit_verify import Report
from coatcheck.clock import SECOND
from coatcheck.secrets import RootSecrets
from tests.conftest import OpenHouse
from tests.house import SECRET, House
from tests.servers import Server


async def linked(house: House) -> None:
    """Every event so far has its link, whoever made it."""
    linker = Linker(house.desk.roots, house.desk.db)
    while await linker.turn() or await house.rows(
        "SELECT id FROM audit_event WHERE NOT EXISTS (SELECT 1 FROM audit_link WHERE event_id = audit_event.id)"
    ):
        pass


async def verified(house: House, head: str | None = None) -> Report:
    return await audit_verify.verify(house.desk.settings, house.clock, head)


async def history(house: House) -> list[int]:
    """Some events, all linked; their ids."""
    await house.register()
    phone = await house.native()
    for number in range(3):
        await phone.call("PATCH", f"/v1/devices/{await first_device(phone)}", json={"name": f"phone {number}"})
    await phone.call("DELETE", "/v1/sessions/current")
    await linked(house)
    return [row["event_id"] for row in await house.rows("SELECT event_id FROM audit_link ORDER BY position")]


async def first_device(phone: Any) -> str:
    return (await phone.get("/v1/devices")).json()["devices"][0]["id"]  # type: ignore[no-any-return]


async def test_chain_links_every_event_of_a_history(house: House) -> None:
    """What the journeys recorded is linked without a hole, verifies, and gives a head that holds later on."""
    ids = await history(house)
    report = await verified(house)
    assert (report.findings, report.events) == ([], len(ids) == 6 and 6)
    await house.native()
    await linked(house)
    later = await verified(house, report.head)
    assert (later.findings, later.events) == ([], 7)
    assert later.head != report.head


COLUMNS = {
    "at": "at + 1",
    "kind": "'login.failed'",
    "account_id": "NULL",
    "session_id": "NULL",
    "device_id": "NULL",
    "ip": "'192.0.2.1'",
    "data": "'{}'",
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_chain_finds_an_edited_column(house: House, column: str) -> None:
    """Any column of an event, changed by SQL, is found, and the one event is named."""
    ids = await history(house)
    await house.rows(f"UPDATE audit_event SET {column} = {COLUMNS[column]} WHERE id = $1", ids[1])
    [finding] = (await verified(house)).findings
    assert finding.startswith(f"event {ids[1]} (")
    assert finding.endswith("was edited by hand")


async def test_chain_finds_an_edit_before_the_link(house: House) -> None:
    """An event changed in the second before it is linked is found by its seal."""
    await house.register()
    await house.rows("UPDATE audit_event SET ip = '192.0.2.1'")
    await linked(house)
    [finding] = (await verified(house)).findings
    assert "by hand" in finding


async def test_chain_finds_a_removed_event(house: House) -> None:
    """An event taken out is missed by its link; taken out with its link, by the chain."""
    ids = await history(house)
    await house.rows("DELETE FROM audit_event WHERE id = $1", ids[2])
    assert (await verified(house)).findings == [f"event {ids[2]} was removed (link 3)"]
    await house.rows("DELETE FROM audit_link WHERE event_id = $1", ids[2])
    assert (await verified(house)).findings == ["links 3 to 3 of the chain were removed"]
    await house.rows("UPDATE audit_link SET position = position - 1 WHERE position > 3")
    assert any(f"event {ids[3]} (" in found and "link 3" in found for found in (await verified(house)).findings)


async def test_chain_finds_a_log_cut_off_its_front(house: House) -> None:
    """Removing the beginning is no pruning: there is no anchor that says so."""
    ids = await history(house)
    await house.rows("DELETE FROM audit_event WHERE id <= $1", ids[1])
    await house.rows("DELETE FROM audit_link WHERE position <= 2")
    assert (await verified(house)).findings == ["links 1 to 2 of the chain were removed"]
    row = (await house.rows("SELECT hash FROM audit_link WHERE position = 3"))[0]
    await house.rows("DELETE FROM audit_link WHERE position = 3")
    forged = "INSERT INTO audit_anchor (position, hash, youngest, kid, mac) VALUES (3, $1, $2, $3, $4)"
    await house.rows(forged, row["hash"], house.clock.now(), house.desk.roots.writing, bytes(32))
    assert "the anchor of the pruned log was forged" in (await verified(house)).findings


async def test_chain_finds_an_inserted_event(house: House) -> None:
    """A row added by hand is linked like any other, and found for want of a seal, or for a seal that is a copy."""
    ids = await history(house)
    await house.rows("INSERT INTO audit_event (at, kind, data) VALUES ($1, 'account.enabled', '{}')", house.clock.now())
    names = "at, kind, account_id, session_id, device_id, ip, data, seal"
    await house.rows(f"INSERT INTO audit_event ({names}) SELECT {names} FROM audit_event WHERE id = $1", ids[1])
    made_up = "INSERT INTO audit_event (at, kind, data, seal) VALUES ($1, 'account.enabled', '{}', $2)"
    await house.rows(made_up, house.clock.now(), house.desk.roots.writing.to_bytes(4) + bytes(28))
    await linked(house)
    new = [row["id"] for row in await house.rows("SELECT id FROM audit_event WHERE id > $1 ORDER BY id", ids[-1])]
    findings = (await verified(house)).findings
    assert len(findings) == 3
    assert findings[0].startswith(f"event {new[0]} (account.enabled")
    assert "no seal" in findings[0]
    assert findings[1].startswith(f"event {new[2]} (account.enabled")
    assert findings[1].endswith("was inserted by hand")
    assert findings[2] == f"event {new[1]} is a copy of event {ids[1]}"


async def test_chain_finds_reordered_events(house: House) -> None:
    """Two events that changed places, and two links that did, are found."""
    ids = await history(house)
    await house.rows("UPDATE audit_event SET id = -1 WHERE id = $1", ids[1])
    await house.rows("UPDATE audit_event SET id = $1 WHERE id = $2", ids[1], ids[2])
    await house.rows("UPDATE audit_event SET id = $1 WHERE id = -1", ids[2])
    assert [found.partition(" (")[0] for found in (await verified(house)).findings] == [f"event {i}" for i in ids[1:3]]
    await house.rows("UPDATE audit_link SET position = -1 WHERE position = 2")
    await house.rows("UPDATE audit_link SET position = 2 WHERE position = 3")
    await house.rows("UPDATE audit_link SET position = 3 WHERE position = -1")
    findings = (await verified(house)).findings
    assert findings
    assert all("reordered" in found for found in findings)


async def test_chain_finds_a_cut_tail(house: House) -> None:
    """Events and links cut off the end are found by a head noted before, and by the worker that knew them."""
    linker = Linker(house.desk.roots, house.desk.db)
    ids = await history(house)
    await linker.turn()
    head = (await verified(house)).head
    await house.rows("DELETE FROM audit_event WHERE id > $1", ids[3])
    await house.rows("DELETE FROM audit_link WHERE position > 4")
    assert (await verified(house)).findings == []
    [finding] = (await verified(house, head)).findings
    assert finding == "the tail is cut: the log ends at link 4, and link 6 was noted"
    for _ in range(3):
        await house.native()
    await linked(house)
    assert "rewritten" in (await verified(house, head)).findings[0]


async def test_chain_cut_tail_raises_an_alarm(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker that saw a link says so, once, when the log ends before it."""
    await history(house)
    linker = Linker(house.desk.roots, house.desk.db)
    await linker.turn()
    await house.rows("DELETE FROM audit_link WHERE position > 4")
    capsys.readouterr()
    await linker.turn()
    await linker.turn()
    assert capsys.readouterr().out.count("audit.cut") == 1


async def test_chain_reports_events_that_nobody_links(house: House) -> None:
    """An event without a link is about to get one; older than some seconds, it is a finding."""
    await house.desk.linker.stop()
    await house.register()
    report = await verified(house)
    assert (report.findings, report.waiting) == ([], 1)
    house.clock.move(11)
    [finding] = (await verified(house)).findings
    assert "1 events have no link" in finding
    await linked(house)
    assert (await verified(house)).findings == []


async def test_chain_of_an_earlier_root_secret_stays_verifiable(open_house: OpenHouse) -> None:
    """Changing the root secret goes on with the chain; without the earlier one its part can't be checked."""
    newer = "b7c2d61b0c97a4e35f8a" * 2
    async with open_house() as house:
        first = len(await history(house))
    async with open_house(secret_key=[newer, SECRET]) as house:
        await house.native()
        await linked(house)
        assert (await verified(house)).findings == []
        kids = [row["kid"] for row in await house.rows("SELECT kid FROM audit_link ORDER BY position")]
        assert len(set(kids[:first])) == len(set(kids[first:])) == 1
        assert kids[0] != kids[-1]
        only_new = house.desk.settings.model_copy(update={"secret_key": [newer]})
        findings = (await audit_verify.verify(only_new, house.clock)).findings
    assert len(findings) == first
    assert all("not listed" in found for found in findings)


async def test_chain_forged_with_another_secret_is_found(house: House) -> None:
    """Who has the database but not the root secret can't make a seal or a link that passes."""
    ids = await history(house)
    thief = RootSecrets(["0123456789abcdef" * 4])
    thief._roots[house.desk.roots.writing] = thief._roots.pop(thief.writing)
    thief.writing = house.desk.roots.writing
    await house.desk.linker.stop()
    await house.rows("UPDATE audit_event SET ip = '192.0.2.1' WHERE id = $1", ids[0])
    await house.rows("DELETE FROM audit_link")
    await Linker(thief, house.desk.db).turn()
    findings = (await verified(house)).findings
    assert len(findings) == len(ids)


async def test_chain_links_a_late_commit_under_a_lower_id(two_workers: tuple[House, House]) -> None:
    """An event committed after others with higher ids were linked is linked behind them, even a minute late."""
    house, other = two_workers
    for worker in (house, other):
        await worker.desk.linker.stop()
    async with house.desk.db.writing() as db:
        audit.record(db, house.clock.now(), "login.failed", ip="203.0.113.9")
        await db.flush()
        ids = await history(house)
        late = (await house.rows("SELECT max(id) AS id FROM audit_event"))[0]["id"]
        linker = Linker(house.desk.roots, house.desk.db)
        for _ in range(2):
            await linker.turn()
        linker._settled = late  # as it is a minute later
        await db.commit()
    linker._walk_at = 0.0  # as it is an hour later
    await linker.turn()
    last = (await house.rows("SELECT event_id FROM audit_link ORDER BY position DESC LIMIT 1"))[0]["event_id"]
    assert last < ids[0]
    assert (await verified(house)).findings == []


async def test_chain_never_forks_between_workers(two_workers: tuple[House, House]) -> None:
    """Six linkers of two workers at once, while people sign in: every event linked once, and the chain verifies."""
    first, second = two_workers
    await first.register()
    linkers = [Linker(house.desk.roots, house.desk.db) for house in two_workers for _ in range(3)]

    async def link() -> None:
        for linker in linkers:
            await asyncio.gather(*[one.turn() for one in linkers])
            await linker.turn()

    async def sign_in(house: House) -> None:
        for _ in range(10):
            await house.native()

    await asyncio.gather(sign_in(first), sign_in(second), link())
    await linked(first)
    report = await verified(first)
    assert (report.findings, report.events) == ([], 21)
    assert report.head.startswith("21:")


async def test_chain_goes_on_after_the_database_was_away(
    postgres_server: Server, two_workers: tuple[House, House]
) -> None:
    """PostgreSQL killed and started again: what was committed is linked, by the same worker, and verifies."""
    house, _ = two_workers
    await history(house)
    await house.native()
    postgres_server.kill()
    postgres_server.restart()
    for _ in range(100):
        if (await house.http().get("/readyz")).json()["status"] != "unavailable":
            break
        await asyncio.sleep(0.1)
    await house.native()
    await linked(house)
    report = await verified(house)
    assert (report.findings, report.events) == ([], 8)


async def test_chain_stands_a_clock_that_steps_back(house: House) -> None:
    """The order is that of linking, not of the clock: a step back is no finding."""
    await history(house)
    house.clock.move(-3_600)
    await house.native()
    await linked(house)
    assert (await verified(house)).findings == []
    rows = await house.rows("SELECT at FROM audit_link JOIN audit_event ON id = event_id ORDER BY position")
    assert rows[-1]["at"] < rows[-2]["at"] - 1_000 * SECOND


async def test_chain_noted_head_holds_all_before_it(house: House) -> None:
    """Even who has the root secret can't rewrite the beginning unseen: a head noted elsewhere stands for all of it."""
    ids = await history(house)
    head = (await verified(house)).head
    await house.desk.linker.stop()
    [event] = await house.rows("SELECT * FROM audit_event WHERE id = $1", ids[0])
    seal = audit_seal.seal(house.desk.roots, event | {"ip": "192.0.2.1"})
    await house.rows("UPDATE audit_event SET ip = '192.0.2.1', seal = $1 WHERE id = $2", seal, ids[0])
    await house.rows("DELETE FROM audit_link")
    await linked(house)
    assert (await verified(house)).findings == []
    assert "rewritten" in (await verified(house, head)).findings[0]
