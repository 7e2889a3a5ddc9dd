"""Old security events go, and what stays can still be verified; the server's own role can't make them go."""

from typing import Any

import asyncpg
import pytest

from coatcheck import audit_retention, audit_verify, database_roles
from coatcheck.errors import Conflict
from coatcheck.settings import Settings
from tests.api.test_audit_chain import history, linked, verified
from tests.conftest import OpenHouse, Stores
from tests.house import House, MovableClock, opened

DAY = 86_400


async def prune(house: House) -> int:
    desk = house.desk
    return await audit_retention.prune(desk.settings, desk.db, desk.roots, house.clock)


async def kept(house: House) -> list[int]:
    return [row["id"] for row in await house.rows("SELECT id FROM audit_event ORDER BY id")]


async def test_retention_removes_what_is_old_and_verifies(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events past their days go, in batches; the younger ones verify from the anchor, a noted head included."""
    monkeypatch.setattr(audit_retention, "_AT_ONCE", 2)
    async with open_house(audit_retention=30) as house:
        old = await history(house)
        house.clock.move(20 * DAY)
        await house.native()
        await linked(house)
        head = (await verified(house)).head
        assert await prune(house) == 0
        house.clock.move(11 * DAY)
        assert await prune(house) == len(old)
        assert len(await kept(house)) == 2  # the younger one, and that there was pruning
        assert (await house.audit("audit.pruned"))[0]["data"] == '{"events": "6"}'
        await linked(house)
        assert (await verified(house, head)).findings == []
        assert len(await house.rows("SELECT position FROM audit_anchor")) == 1
        house.clock.move(31 * DAY)
        await house.native()
        await linked(house)
        assert await prune(house) == 2
        assert (await verified(house)).findings == []
        assert "was pruned since" in (await verified(house, head)).findings[0]


async def test_retention_keeps_the_last_link(open_house: OpenHouse) -> None:
    """However old the whole log is, its last link stays: the chain goes on from there."""
    async with open_house(audit_retention=1) as house:
        await history(house)
        house.clock.move(900 * DAY)
        assert await prune(house) == 5
        await house.native()
        await linked(house)
        assert (await verified(house)).findings == []


async def test_retention_destroys_no_evidence(open_house: OpenHouse) -> None:
    """A log that was tampered with is not pruned past the place, and the command says where."""
    async with open_house(audit_retention=30) as house:
        ids = await history(house)
        await house.rows("UPDATE audit_event SET ip = '192.0.2.1' WHERE id = $1", ids[3])
        house.clock.move(40 * DAY)
        with pytest.raises(Conflict, match="conflict") as refused:
            await prune(house)
        assert f"event {ids[3]}" in str(refused.value.detail)
        assert await kept(house) == ids


async def test_retention_finds_a_pruned_event_put_back(open_house: OpenHouse) -> None:
    """An event that was pruned, put back from an old dump, is found though its seal is right."""
    async with open_house(audit_retention=30) as house:
        await history(house)
        names = "at, kind, account_id, session_id, device_id, ip, data, seal"
        [row] = await house.rows(f"SELECT {names} FROM audit_event ORDER BY id LIMIT 1")
        for _ in range(2):
            house.clock.move(2 * DAY)
            await house.native()
        await linked(house)
        house.clock.move(40 * DAY)
        await prune(house)
        places = ", ".join(f"${place}" for place in range(1, 9))
        await house.rows(f"INSERT INTO audit_event ({names}) VALUES ({places})", *row.values())
        await linked(house)
        assert "put back after it had been pruned" in " ".join((await verified(house)).findings)


async def test_retention_bears_a_clock_that_was_days_wrong(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events written while the clock was a month ahead, or a week behind, go in their turn and accuse no other."""
    monkeypatch.setattr(audit_retention, "_AT_ONCE", 5)
    async with open_house(audit_retention=30) as house:
        await house.register()
        for step in (30, -30, 2, -7, 7):
            house.clock.move(step * DAY)
            await house.native()
            await linked(house)
        for _ in range(40):
            house.clock.move(2 * DAY)
            await prune(house)
            await linked(house)
            assert (await verified(house)).findings == []
        assert await house.audit("account.registered") == []


async def test_retention_anchor_from_a_thief_is_found(open_house: OpenHouse) -> None:
    """Without the root secret nobody makes an anchor: events can't be cut off the front as if they were pruned."""
    async with open_house(audit_retention=30) as house:
        await history(house)
        house.clock.move(40 * DAY)
        assert await prune(house) == 5
        await house.rows("UPDATE audit_anchor SET youngest = youngest + 1")
        assert (await verified(house)).findings == ["the anchor of the pruned log was forged"]
        with pytest.raises(Conflict):
            await prune(house)


@pytest.fixture
async def app_role(servers: Stores) -> Any:
    """Settings of a server whose database role is given what `coatcheck grants` says, and nothing else."""
    owner = await asyncpg.connect(servers["database_url"])
    if not await owner.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'app role'"):
        await owner.execute('CREATE ROLE "app role" LOGIN')
    await database_roles.grant(Settings(database_url=servers["database_url"]), "app role")
    await owner.close()
    return servers | {"database_url": servers["database_url"].replace("postgres@", "app%20role@")}


async def test_role_of_the_server_does_all_of_its_work(app_role: Stores, clock: MovableClock) -> None:
    """Under that role people register, sign in at every door, refresh, sign out and close; the log is linked."""
    async with opened(clock, **app_role) as house:
        await history(house)
        browser, page = await house.spa(), await house.web()
        assert (await browser.refresh()).status_code == 200
        assert (await page.call("PATCH", "/v1/me", json={"name": "Ada"})).status_code == 200
        password = {"current_password": "three wise monkeys dancing", "new_password": "four wise monkeys dancing"}
        assert (await browser.call("POST", "/v1/me/password", json=password)).status_code == 204
        assert (await browser.call("DELETE", "/v1/me")).status_code == 204
        await linked(house)
        assert (await verified(house)).findings == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET kind = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "UPDATE audit_link SET position = 0",
        "DELETE FROM audit_link",
        "DELETE FROM audit_anchor",
        "INSERT INTO audit_anchor VALUES (1, '', 1, 1, '')",
        "UPDATE alembic_version SET version_num = '0'",
        "CREATE TABLE mine (id int)",
        "DROP TABLE account",
        "ALTER TABLE session ADD COLUMN mine int",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "TRUNCATE session",
    ],
)
async def test_role_of_the_server_can_do_nothing_else(app_role: Stores, statement: str) -> None:
    """That role changes and removes nothing in the audit log, and changes no table."""
    app = await asyncpg.connect(app_role["database_url"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)
    finally:
        await app.close()


async def test_role_of_the_server_can_not_prune(app_role: Stores, clock: MovableClock) -> None:
    """Pruning is the owner's: under the server's role it changes nothing."""
    async with opened(clock, **app_role, audit_retention=1) as house:
        await history(house)
        clock.move(3 * DAY)
        with pytest.raises(Exception, match="permission denied"):
            await prune(house)
        assert len(await kept(house)) == 6
        assert (await audit_verify.verify(house.desk.settings, clock)).findings == []
