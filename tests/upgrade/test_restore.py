"""A backup of an earlier moment is put back, for real: by pg_dump, and by SQLite's own backup."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from coatcheck import audit_verify
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, House, NativeClient
from tests.upgrade.record import dump

Restore = Callable[[], Awaitable[None]]


async def backed_up(stores: Stores, folder: Path) -> Restore:
    """Take a backup now; what is given back puts it in place again, as operations.md says, while nobody serves."""
    if "database_url" not in stores:
        original, copy = stores["data_dir"] / "coatcheck.sqlite3", folder / "copy.sqlite3"
        with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)

        async def put_back() -> None:
            for file in original.parent.glob("coatcheck.sqlite3*"):
                file.unlink()
            shutil.copy(copy, original)

        return put_back
    script = dump(stores["database_url"])

    async def restore() -> None:
        connection = await asyncpg.connect(stores["database_url"])
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.execute(script)
        await connection.close()
        async with Redis.from_url(stores["redis_url"]) as client:
            await client.delete("coatcheck:feed")

    return restore


async def carried(house: House, *clients: NativeClient) -> None:
    """The same clients, at the house that stands now."""
    for client in clients:
        client.http = house.http()


@pytest.mark.timeout(240)
async def test_restore_signs_nobody_out(open_house: OpenHouse, stores: Stores, tmp_path: Path) -> None:
    """Clients that are three refreshes ahead of the restored row go on; who had not moved goes on too; nobody is taken
    for a thief."""
    async with open_house() as house:
        await house.register()
        ahead, still, browser, pages = await house.native(), await house.native(), await house.spa(), await house.web()
        restore = await backed_up(stores, tmp_path)
        for _ in range(3):
            assert (await ahead.refresh()).status_code == 200
            assert (await browser.refresh()).status_code == 200
        assert (await ahead.get("/v1/me")).status_code == 200
        cookies = (browser.http.cookies, pages.http.cookies)
    await restore()
    async with open_house() as house:
        await carried(house, ahead, still)
        browser.http, pages.http = house.http(cookies=cookies[0]), house.http(cookies=cookies[1])
        assert (await ahead.get("/v1/me")).status_code == 200
        for client in (ahead, still, browser):
            assert (await client.refresh()).status_code == 200
            assert (await client.refresh()).status_code == 200
        assert (await pages.get("/v1/web/session")).status_code == 200
        rows = await house.rows("SELECT generation, ended_at FROM session WHERE door = 'native' ORDER BY generation")
        assert rows == [{"generation": 2, "ended_at": None}, {"generation": 5, "ended_at": None}]
        assert (await audit_verify.verify(house.desk.settings, house.clock)).findings == []


@pytest.mark.timeout(240)
async def test_restore_brings_back_what_was_ended_since(open_house: OpenHouse, stores: Stores, tmp_path: Path) -> None:
    """As operations.md says: a session that was ended after the backup lives again, and is ended again by hand, and the
    password is the earlier one."""
    async with open_house() as house:
        await house.register()
        keeper, other = await house.native(), await house.native()
        restore = await backed_up(stores, tmp_path)
        await keeper.call("DELETE", f"/v1/sessions/{other.session_id}")
        assert (await other.get("/v1/me")).status_code == 401
        change = {"current_password": PASSWORD, "new_password": "four new words together"}
        assert (await keeper.call("POST", "/v1/me/password", json=change)).status_code == 204
    await restore()
    async with open_house() as house:
        await carried(house, keeper, other)
        assert (await other.get("/v1/me")).status_code == 200
        assert (await other.refresh()).status_code == 200
        assert (await keeper.call("DELETE", f"/v1/sessions/{other.session_id}")).status_code == 204
        assert (await other.get("/v1/me")).json()["code"] == "session_revoked"
        await house.native()  # with the earlier password


@pytest.mark.timeout(240)
async def test_restore_ends_sessions_begun_since(open_house: OpenHouse, stores: Stores, tmp_path: Path) -> None:
    """As operations.md says: a session that the backup does not hold ends at its next refresh, and accuses nobody."""
    async with open_house() as house:
        await house.register()
        before = await house.native()
        restore = await backed_up(stores, tmp_path)
        since, browser, pages = await house.native(), await house.spa(), await house.web()
        cookies = (browser.http.cookies, pages.http.cookies)
    await restore()
    async with open_house() as house:
        await carried(house, before, since)
        browser.http, pages.http = house.http(cookies=cookies[0]), house.http(cookies=cookies[1])
        refused = [await since.refresh(), await browser.refresh(), await pages.get("/v1/web/session")]
        assert [answer.json()["code"] for answer in refused] == ["session_revoked"] * 3
        assert await house.audit("token.reused") == []
        assert (await before.refresh()).status_code == 200
        await house.native()
        rows = await house.rows("SELECT ended_at FROM session")
        assert rows == [{"ended_at": None}] * 2
