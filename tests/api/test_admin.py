"""The administrators' desk: who finds what, what an act does and leaves behind, and what nobody there can do."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import httpx2
import pytest

from tests.house import House, NativeClient, SpaClient, WebClient

ADA = "ada@example.test"
Client = NativeClient | SpaClient | WebClient


async def code(answer: Awaitable[httpx2.Response]) -> tuple[int, str]:
    told = await answer
    return told.status_code, told.json()["code"] if told.status_code >= 400 else "ok"


async def search(staff: NativeClient, **wanted: Any) -> dict[str, Any]:
    answer = await staff.call("POST", "/v1/admin/accounts/search", json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def emails(staff: NativeClient, **wanted: Any) -> list[str]:
    return [account["email"] for account in (await search(staff, **wanted))["accounts"]]


async def test_admin_finds_accounts_by_the_beginning_of_an_address(house: House) -> None:
    """Prefix, role and state each narrow the list; a wildcard is a letter like any other; closed accounts are gone."""
    root = await house.staff()
    for email in ("ada@example.test", "adam@example.test", "a%a@example.test", "a_a@example.test", "Zoë@example.test"):
        await house.register(email)
    gone = await house.native("adam@example.test")
    assert await emails(root, email="AD") == ["ada@example.test", "adam@example.test"]
    await gone.call("DELETE", "/v1/me")
    assert await emails(root, email="ad") == ["ada@example.test"]
    assert await emails(root, email="a%") == ["a%a@example.test"]
    assert await emails(root, email="a_") == ["a_a@example.test"]
    assert await emails(root, email="ZOË@") == ["zoë@example.test"]
    assert await emails(root, email="%") == []
    assert await emails(root, role="admin") == ["root@example.test"]
    assert len(await emails(root, role="user")) == 4
    assert await emails(root, disabled=True) == []


async def test_admin_search_goes_page_by_page(house: House) -> None:
    """Every account once, in the order of addresses, whatever the page's size; `next` is null on the last."""
    root = await house.staff()
    for n in range(7):
        await house.register(f"p{n}@example.test")
    for limit in (1, 3, 8, 9):
        seen, after = [], None
        while True:
            page = await search(root, limit=limit, **({"after": after} if after else {}))
            seen += [account["email"] for account in page["accounts"]]
            if (after := page["next"]) is None:
                break
        assert seen == sorted(seen)
        assert len(seen) == 8, limit
    assert (await root.call("POST", "/v1/admin/accounts/search", json={"after": "acc_x"})).status_code == 422


async def test_admin_sees_an_account_without_its_secrets(house: House) -> None:
    """State, living sessions, devices and activity; no hash, no token, and nothing marked as the caller's own."""
    root = await house.staff()
    ada = await house.register(name="Ada")
    phone = await house.native(name="Ada's phone")
    await house.web()
    seen = (await root.get(f"/v1/admin/accounts/{ada['id']}")).json()
    assert {**ada, "disabled_at": None, "sessions": 2} == seen
    answer = await root.get(f"/v1/admin/accounts/{ada['id']}/devices?ended=true")
    [tablet] = [one for one in answer.json()["devices"] if one["name"] == "Ada's phone"]
    assert [one["id"] for one in tablet["sessions"]] == [phone.session_id]
    assert not any(session["current"] for device in answer.json()["devices"] for session in device["sessions"])
    activity = (await root.get(f"/v1/admin/accounts/{ada['id']}/activity?limit=2")).json()
    assert [one["kind"] for one in activity["events"]] == ["session.started", "session.started"]
    assert activity["next"]
    everything = json.dumps([seen, answer.json(), activity])
    assert not [word for word in ("argon2", "password", "cct_", "nonce", "secret") if word in everything]


async def test_admin_ends_one_session(house: House) -> None:
    """That one is refused at once, the other goes on; the owner is told it was an administrator, not which."""
    root = await house.staff()
    ada = await house.register()
    phone, laptop = await house.native(), await house.native()
    path = f"/v1/admin/accounts/{ada['id']}/sessions/{phone.session_id}"
    assert (await root.call("DELETE", path)).status_code == 204
    answer = await phone.get("/v1/me")
    assert (answer.json()["code"], answer.json()["reason"], answer.json()["ended_by"]) == (
        "session_revoked",
        "admin",
        None,
    )
    assert (await laptop.get("/v1/me")).status_code == 200
    assert (await root.call("DELETE", path)).status_code == 204  # it has ended already
    [act, again] = await house.audit("staff.signed_out")
    own = (await root.get("/v1/me")).json()["id"]
    assert json.loads(act["data"]) == {"by": own, "by_ip": "203.0.113.7", "ended": "1"}
    assert (act["ip"], json.loads(again["data"])["ended"]) == (None, "0")
    told = (await laptop.get("/v1/me/activity")).text
    assert "staff.signed_out" in told
    assert own not in told
    assert "by_ip" not in told


async def test_admin_ends_all_sessions_of_an_account(house: House) -> None:
    """All of hers and nobody else's."""
    root = await house.staff("support")
    ada = await house.register()
    await house.register("bob@example.test")
    hers: list[Client] = [await house.native(), await house.web(), await house.spa()]
    bob = await house.native("bob@example.test")
    assert (await root.call("DELETE", f"/v1/admin/accounts/{ada['id']}/sessions")).json() == {"ended": 3}
    for client in hers:
        assert await code(client.get("/v1/me")) == (401, "session_revoked")
    for client in (bob, root):
        assert (await client.get("/v1/me")).status_code == 200
    again = await house.native()  # nothing keeps her from signing in again
    assert (await again.get("/v1/me")).status_code == 200


async def test_admin_signs_everybody_out_but_himself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, each told at once; sessions that begin meanwhile are left, and it can be gone on with."""
    monkeypatch.setattr("coatcheck.administration._PIECE", 2)
    root = await house.staff()
    people = []
    for n in range(5):
        await house.register(f"p{n}@example.test")
        people.append(await house.native(f"p{n}@example.test"))
    second = await house.native("root@example.test")
    assert (await root.call("POST", "/v1/admin/sign-out-everybody")).json() == {"ended": 6, "more": False}
    for client in (*people, second):
        assert await code(client.get("/v1/me")) == (401, "session_revoked")
    assert (await root.get("/v1/me")).status_code == 200
    monkeypatch.setattr("coatcheck.administration._LONGEST", 0.0)
    later = await house.native("p1@example.test")
    assert (await root.call("POST", "/v1/admin/sign-out-everybody")).json() == {"ended": 0, "more": True}
    assert (await later.get("/v1/me")).status_code == 200
    assert len(await house.audit("staff.signed_out_everybody")) == 2


async def test_admin_disables_and_enables(house: House) -> None:
    """Everything ends at once and nobody signs in, with the same words as for a wrong password; then it is undone."""
    root = await house.staff()
    ada = await house.register()
    phone, page = await house.native(), await house.web()
    assert (await root.call("POST", f"/v1/admin/accounts/{ada['id']}/disable")).json() == {"ended": 2}
    for client in (phone, page):
        assert await code(client.get("/v1/me")) == (401, "session_revoked")
    assert (await phone.refresh()).json()["code"] == "session_revoked"
    login = {"email": ADA, "password": "three wise monkeys dancing"}
    assert await code(house.http().post("/v1/native/login", json=login)) == (401, "invalid_credentials")
    assert (await root.get(f"/v1/admin/accounts/{ada['id']}")).json()["disabled_at"]
    assert await emails(root, disabled=True) == [ADA]
    assert (await root.call("POST", f"/v1/admin/accounts/{ada['id']}/enable")).status_code == 204
    assert (await (await house.native()).get("/v1/me")).status_code == 200
    [disabled], [enabled] = await house.audit("account.disabled"), await house.audit("account.enabled")
    assert json.loads(disabled["data"])["by"] == json.loads(enabled["data"])["by"]


async def test_admin_disabled_twice_keeps_the_first_moment(house: House) -> None:
    """Doing it again, or undoing what was not done, changes nothing and is not written down as done."""
    root = await house.staff()
    ada = await house.register()
    path = f"/v1/admin/accounts/{ada['id']}"
    await root.call("POST", f"{path}/enable")
    await root.call("POST", f"{path}/disable")
    first = (await root.get(path)).json()["disabled_at"]
    house.clock.move(2)
    assert (await root.call("POST", f"{path}/disable")).json() == {"ended": 0}
    assert (await root.get(path)).json()["disabled_at"] == first
    assert (len(await house.audit("account.disabled")), len(await house.audit("account.enabled"))) == (1, 0)


async def test_admin_who_is_disabled_at_the_same_moment_acts_no_more(house: House) -> None:
    """Disabled while his own act waits for the lock, an administrator does nothing any more."""
    ada = await house.register()
    for turn in range(5):
        root, mallory = await house.staff(email=f"r{turn}@x.test"), await house.staff(email=f"m{turn}@x.test")
        own = (await mallory.get("/v1/me")).json()["id"]
        answers = await asyncio.gather(
            root.call("POST", f"/v1/admin/accounts/{own}/disable"),
            mallory.call("PUT", f"/v1/admin/accounts/{ada['id']}/role", json={"role": "admin"}),
        )
        assert answers[0].status_code == 200
        given = [one["id"] for one in await house.audit("role.granted") if own in one["data"]]
        disabled = (await house.audit("account.disabled"))[-1]["id"]
        assert all(event < disabled for event in given)
        await house.give_role(ada["id"], "user")


@pytest.mark.parametrize("role", ["support", "admin"])
async def test_admin_act_wants_a_fresh_proof_and_a_look_does_not(house: House, role: str) -> None:
    """Five minutes after signing in every act asks; nothing was done; after the proof it is."""
    ada = await house.register()
    phone = await house.native()
    staff = await house.staff(role)  # type: ignore[arg-type]
    house.clock.move(301)
    path = f"/v1/admin/accounts/{ada['id']}"
    for look in ("", "/devices", "/activity"):
        assert (await staff.get(path + look)).status_code == 200
    assert await code(staff.call("DELETE", f"{path}/sessions")) == (401, "reauthentication_required")
    assert (await phone.get("/v1/me")).status_code == 200
    await staff.prove()
    assert (await staff.call("DELETE", f"{path}/sessions")).json() == {"ended": 1}


async def test_support_does_not_reach_above_itself(house: House) -> None:
    """Support ends no administrator's session, and does nothing that is an administrator's."""
    support, root = await house.staff("support", "help@example.test"), await house.staff()
    boss = (await root.get("/v1/me")).json()["id"]
    assert await code(support.call("DELETE", f"/v1/admin/accounts/{boss}/sessions")) == (403, "forbidden")
    one = f"/v1/admin/accounts/{boss}/sessions/{root.session_id}"
    assert await code(support.call("DELETE", one)) == (403, "forbidden")
    for method, path in (
        ("POST", f"/v1/admin/accounts/{boss}/disable"),
        ("POST", f"/v1/admin/accounts/{boss}/enable"),
        ("POST", "/v1/admin/sign-out-everybody"),
        ("GET", "/v1/admin/audit"),
        ("GET", "/v1/admin/audit.csv"),
    ):
        assert await code(support.call(method, path)) == (403, "forbidden"), path
    assert (await root.get("/v1/me")).status_code == 200


async def test_admin_session_must_be_the_accounts(house: House) -> None:
    """A session under another account's id, an unknown and a malformed one are 404, and nothing ends."""
    root = await house.staff()
    ada = await house.register()
    bob = await house.register("bob@example.test")
    phone = await house.native()
    for account, session in (
        (bob["id"], phone.session_id),
        (ada["id"], "ses_" + "A" * 22),
        (ada["id"], "x"),
        ("acc_" + "A" * 22, phone.session_id),
        (phone.session_id, phone.session_id),
        ("..", phone.session_id),
    ):
        assert (await root.call("DELETE", f"/v1/admin/accounts/{account}/sessions/{session}")).status_code == 404
    assert (await phone.get("/v1/me")).status_code == 200
    assert await house.audit("staff.signed_out") == []


async def test_admin_never_sets_a_password(house: House) -> None:
    """No route of the desk takes one: as an unknown field it is refused, and the old one still signs in."""
    root = await house.staff()
    ada = await house.register()
    before = await house.rows("SELECT password_hash FROM account")
    for body in ({"role": "user", "password": "x"}, {"password": "x"}, {"new_password": "x"}):
        answer = await root.call("PUT", f"/v1/admin/accounts/{ada['id']}/role", json=body)
        assert answer.status_code == 422
    assert await house.rows("SELECT password_hash FROM account") == before
