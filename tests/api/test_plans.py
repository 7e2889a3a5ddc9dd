"""What PostgreSQL does for a call: it goes by an index, whatever it believed of the tables when it made its plan."""

import asyncpg

from tests.conftest import Stores
from tests.house import MovableClock, opened

SMALL = {"signing_key", "chore", "audit_anchor"}  # read whole, on purpose: a handful of rows


async def test_plans_go_by_an_index_however_empty_the_tables_were(
    servers: Stores, clock: MovableClock, patient: None
) -> None:
    """PostgreSQL keeps a plan: one made for empty tables, which reads them whole, would be kept as they fill."""
    owner = await asyncpg.connect(servers["database_url"])
    await owner.execute("VACUUM ANALYZE")  # now it knows that there is nothing
    await owner.execute("SELECT pg_stat_reset()")
    async with opened(clock, **servers) as house:
        await house.register()
        phone, laptop, web = await house.native(), await house.native(), await house.web()
        await phone.refresh()
        await phone.login("ada@example.test")
        assert (await phone.get("/v1/devices?ended=true")).status_code == 200
        assert (await web.get("/v1/me")).status_code == 200
        assert (await phone.call("DELETE", f"/v1/sessions/{laptop.session_id}")).status_code == 204
        assert (await phone.get("/v1/me/activity")).status_code == 200
        await house.desk.feed._sweep()
        await house.desk.linker.turn()
        assert (await phone.call("POST", "/v1/devices/logout-others")).status_code == 200
        clock.move(3 * 86_400)
        assert await house.desk.cleanup.turn()
    rows = await owner.fetch("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0")
    await owner.close()
    assert {row["relname"] for row in rows} - SMALL == set()
