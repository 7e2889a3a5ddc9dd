"""An administrator starts a password reset: the owner has a mail, and nobody else has anything."""

import asyncio

from tests.conftest import OpenHouse
from tests.house import House


async def test_admin_starts_a_reset_and_sees_nothing_of_it(house: House) -> None:
    """202 without a word, a link asked for, the act with its actor in the log; password and sessions stay."""
    root = await house.staff()
    ada = await house.register()
    phone = await house.native()
    before = await house.rows("SELECT password_hash, auth_generation FROM account ORDER BY id")
    answer = await root.call("POST", f"/v1/admin/accounts/{ada['id']}/password-reset")
    assert (answer.status_code, answer.content) == (202, b"")
    [act] = await house.audit("staff.reset_started")
    assert (await root.get("/v1/me")).json()["id"] in act["data"]
    assert act["ip"] is None
    assert len(await house.audit("password.reset_asked")) == 1
    assert await house.rows("SELECT password_hash, auth_generation FROM account ORDER BY id") == before
    assert (await phone.get("/v1/me")).status_code == 200
    told = (await phone.get("/v1/me/activity")).text
    assert "staff.reset_started" in told
    assert "203.0.113.7" not in str(
        [one for one in (await phone.get("/v1/me/activity")).json()["events"] if "reset" in one["kind"]]
    )


async def test_admin_starts_no_reset_of_a_disabled_or_unknown_account(house: House) -> None:
    """409 and 404; and an administrator who knocks again and again is told to wait, like everybody."""
    root = await house.staff()
    ada = await house.register()
    path = f"/v1/admin/accounts/{ada['id']}"
    await root.call("POST", f"{path}/disable")
    assert (await root.call("POST", f"{path}/password-reset")).json()["code"] == "conflict"
    unknown = "/v1/admin/accounts/acc_" + "A" * 22 + "/password-reset"
    assert (await root.call("POST", unknown)).status_code == 404
    await root.call("POST", f"{path}/enable")
    answers = await asyncio.gather(*(root.call("POST", f"{path}/password-reset") for _ in range(12)))
    said = [answer.status_code for answer in answers]
    assert set(said) <= {202, 429}
    assert 429 in said


async def test_admin_reset_is_not_held_up_by_strangers(open_house: OpenHouse) -> None:
    """Strangers have used up the mails to an address, and of the administrator's network: the reset is mailed still.
    Staff have a count of their own, five an hour to one address."""
    async with open_house(limit_mail="3/hour; 5/hour; 3/hour") as house:
        root = await house.staff()
        ada = await house.register()
        for n in range(9):
            address = "203.0.113.7" if n < 4 else f"198.18.{n}.1"
            await house.http(ip=address).post("/v1/password-reset", json={"email": "ada@example.test"})
        before = len(await house.mails("ada@example.test"))
        path = f"/v1/admin/accounts/{ada['id']}/password-reset"
        said = [(await root.call("POST", path)).status_code for _ in range(7)]
        assert said == [202] * 5 + [429] * 2
        assert len(await house.mails("ada@example.test")) == before + 5
