"""Roles: what the account's row says now, whatever an old credential says; and never nobody who can give one."""

import asyncio
from collections.abc import Awaitable

import httpx2
import jwt
import pytest

from coatcheck import ids
from tests.house import House, NativeClient, WebClient
from tests.waiting import until

ADA = "ada@example.test"


async def code(answer: Awaitable[httpx2.Response]) -> tuple[int, str]:
    told = await answer
    return told.status_code, told.json()["code"] if told.status_code >= 400 else "ok"


def roles_in(token: str) -> list[str]:
    """What the token tells other services."""
    return list(jwt.decode(token, options={"verify_signature": False}).get("roles", []))


async def give(admin: NativeClient, account_id: str, role: str) -> httpx2.Response:
    return await admin.call("PUT", f"/v1/admin/accounts/{account_id}/role", json={"role": role})


async def test_role_given_counts_at_once_and_is_in_the_next_token(house: House) -> None:
    """A person made support may look with the token she has; the next one names the role."""
    ada = await house.register()
    admin, phone = await house.staff(), await house.native()
    assert roles_in(phone.access_token) == []
    assert await code(phone.get(f"/v1/admin/accounts/{ada['id']}")) == (403, "forbidden")
    assert (await give(admin, ada["id"], "support")).json() == {"ended": 0}
    assert (await phone.get(f"/v1/admin/accounts/{ada['id']}")).json()["roles"] == ["support"]
    assert (await phone.get("/v1/me")).json()["roles"] == ["support"]
    await phone.refresh()
    assert roles_in(phone.access_token) == ["support"]
    assert (await phone.get("/v1/sessions/current")).json()["roles"] == ["support"]
    [given] = [one for one in await house.audit("role.granted") if "acc_" in one["data"]]
    assert (await phone.get("/v1/me/activity")).json()["events"][0]["kind"] == "role.granted"
    assert '"role": "support", "was": "user"' in given["data"]


async def test_roles_in_a_credential_are_the_accounts_own(house: House) -> None:
    """Of three people with three roles each one's credentials name the own one: at sign-in, refreshed, repeated, after
    a step-up, after a restore, and a cookie that this worker has not met before."""
    for role in ("user", "support", "admin"):
        account = await house.register(f"{role}@example.test")
        await house.give_role(account["id"], role)
    for role, own in (("user", []), ("support", ["support"]), ("admin", ["admin"])):
        email = f"{role}@example.test"
        phone, browser, web = await house.native(email), await house.spa(email), await house.web(email)
        lost = phone.refresh_token
        for one in (phone, browser):
            assert roles_in(one.access_token) == own
            assert (await one.refresh()).status_code == 200
            assert roles_in(one.access_token) == own
        assert roles_in((await phone.refresh(lost)).json()["access_token"]) == own
        session_id = ids.raw("ses", phone.session_id)
        await house.rows("UPDATE session SET generation = 0 WHERE id = $1 RETURNING id", session_id)
        assert (await phone.refresh()).status_code == 200
        assert roles_in(phone.access_token) == own
        for client in (phone, browser, web):
            house.desk.verified_cookies.clear()
            assert (await client.prove()).status_code == 200
            house.desk.verified_cookies.clear()
            told = (await client.get("/v1/sessions/current")).json()
            assert (told["roles"], told["account_id"]) == (own, (await client.get("/v1/me")).json()["id"])
            assert (await client.get("/v1/me")).json()["email"] == email


async def test_role_taken_ends_every_session_of_the_account(house: House) -> None:
    """Token, refresh token and cookie of a demoted administrator are refused at the next call; others go on."""
    root = await house.staff()
    ada = await house.register()
    await house.give_role(ada["id"], "admin")
    phone, page, browser = await house.native(), await house.web(), await house.spa()
    assert roles_in(phone.access_token) == ["admin"]
    for client in (phone, page, browser):
        assert (await client.get(f"/v1/admin/accounts/{ada['id']}")).status_code == 200
    assert (await give(root, ada["id"], "support")).json() == {"ended": 3}
    for one in (phone, page, browser):
        for path in (f"/v1/admin/accounts/{ada['id']}", "/v1/me"):
            assert await code(one.get(path)) == (401, "session_revoked")
    assert (await phone.refresh()).json()["code"] == "session_revoked"
    assert await code(browser.refresh()) == (401, "session_revoked")
    reasons = await house.rows("SELECT DISTINCT end_reason FROM session WHERE ended_at IS NOT NULL")
    assert [row["end_reason"] for row in reasons] == ["admin"]
    assert (await root.get(f"/v1/admin/accounts/{ada['id']}")).json()["roles"] == ["support"]
    again = await house.native()
    assert roles_in(again.access_token) == ["support"]
    assert await code(again.get("/v1/admin/audit")) == (403, "forbidden")


async def test_role_in_a_token_allows_nothing(house: House) -> None:
    """A token that still names a role the row has lost, its session living, opens no route that wants it."""
    ada = await house.register()
    root = await house.staff()
    page = await house.web("root@example.test")
    assert roles_in(root.access_token) == ["admin"]
    assert (await page.get("/v1/admin/audit")).status_code == 200
    await house.rows("UPDATE account SET roles = '' RETURNING id")  # and nobody was told
    for client in (root, page):
        assert await code(client.get(f"/v1/admin/accounts/{ada['id']}")) == (403, "forbidden")
        assert await code(client.get("/v1/admin/audit")) == (403, "forbidden")
        assert await code(client.call("POST", "/v1/admin/sign-out-everybody")) == (403, "forbidden")


async def test_role_is_not_given_by_its_owner(house: House) -> None:
    """Neither registration nor a profile takes a role, and support gives none, not even to itself."""
    ada = await house.register()
    phone, support = await house.native(), await house.staff("support")
    body = {"email": "eve@example.test", "password": "three wise monkeys dancing", "roles": ["admin"]}
    assert await code(house.http().post("/v1/accounts", json=body)) == (422, "invalid_request")
    assert await code(phone.call("PATCH", "/v1/me", json={"name": "x", "roles": ["admin"]})) == (422, "invalid_request")
    own = (await support.get("/v1/me")).json()["id"]
    for account in (own, ada["id"]):
        assert (await give(support, account, "support")).status_code == 403
        assert (await give(support, account, "admin")).status_code == 403
    assert (await give(phone, ada["id"], "admin")).status_code == 403
    stored = await house.rows("SELECT roles FROM account ORDER BY roles")
    assert [row["roles"] for row in stored] == ["", "support"]


async def _remove(act: str, admin: NativeClient, victim: str) -> httpx2.Response:
    """Make one administrator fewer; closing does that to oneself."""
    if act == "role":
        return await give(admin, victim, "user")
    if act == "disable":
        return await admin.call("POST", f"/v1/admin/accounts/{victim}/disable")
    return await admin.call("DELETE", "/v1/me")


@pytest.mark.parametrize("act", ["role", "disable", "close"])
async def test_last_administrator_stays(house: House, act: str) -> None:
    """The only one who can sign in can't be demoted, disabled or closed. Who is disabled does not count."""
    root = await house.staff()
    own = (await root.get("/v1/me")).json()["id"]
    sleeper = await house.register("sleeper@example.test")
    await house.give_role(sleeper["id"], "admin")
    assert (await root.call("POST", f"/v1/admin/accounts/{sleeper['id']}/disable")).status_code == 200
    assert await code(_remove(act, root, own)) == (409, "conflict")
    assert (await root.get("/v1/admin/audit")).status_code == 200
    assert (await root.call("POST", f"/v1/admin/accounts/{sleeper['id']}/enable")).status_code == 204
    assert (await _remove(act, root, own)).status_code in (200, 204)
    assert (await root.get("/v1/me")).status_code == 401


@pytest.mark.parametrize("act", ["role", "disable", "close"])
async def test_administrators_who_remove_each_other_at_once_leave_one(house: House, act: str) -> None:
    """Four of them, each after the next one (or closing), time after time: there is always one left who can sign in."""
    for turn in range(4):
        await house.rows("UPDATE account SET roles = '' RETURNING id")
        admins = [await house.staff(email=f"{act}{turn}{n}@example.test") for n in range(4)]
        accounts = [(await one.get("/v1/me")).json()["id"] for one in admins]
        turns = zip(admins, accounts[1:] + accounts[:1], strict=True)
        answers = await asyncio.gather(*(_remove(act, admin, victim) for admin, victim in turns))
        left = await house.rows("SELECT id FROM account WHERE roles = 'admin' AND disabled_at IS NULL")
        assert len(left) >= 1
        assert {answer.status_code for answer in answers} <= {200, 204, 401, 403, 409}
        if act == "close":
            assert [answer.status_code for answer in answers].count(409) == len(left) == 1


async def test_demoted_on_one_worker_is_refused_on_the_other(two_workers: tuple[House, House]) -> None:
    """With warm caches on both, a demoted administrator's token and cookie open nothing there at the next call."""
    first, second = two_workers
    root = await first.staff()
    ada = await first.register()
    await first.give_role(ada["id"], "admin")
    phone, page = await first.native(), await first.web()

    async def fresh() -> bool:
        return all(worker.desk.feed.is_fresh() for worker in two_workers)

    await until(fresh)
    for worker in two_workers:
        assert (await _there(worker, phone, "/v1/admin/audit")).status_code == 200
        assert (await _there(worker, page, "/v1/admin/audit")).status_code == 200
    assert (await give(root, ada["id"], "user")).status_code == 200
    for worker in two_workers:  # not a moment later: an administrator's call asks the row
        for client in (phone, page):
            assert (await _there(worker, client, "/v1/admin/audit")).status_code in (401, 403)

    async def ended() -> bool:
        said = [await _there(second, client, "/v1/me") for client in (phone, page)]
        return all(answer.status_code == 401 for answer in said)

    await until(ended)


async def _there(worker: House, client: NativeClient | WebClient, path: str) -> httpx2.Response:
    if isinstance(client, WebClient):
        return await worker.http(cookies=client.http.cookies).get(path)
    return await NativeClient(worker.http(), client.access_token).get(path)
