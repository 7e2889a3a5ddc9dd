"""Ending sessions from the device list: at once, with its reason, and never somebody else's."""

import asyncio
from typing import Any

from tests.house import House, NativeClient, SpaClient, WebClient

ADA, MALLORY = "ada@example.test", "mallory@example.test"
Client = NativeClient | SpaClient | WebClient


async def listed(client: Client) -> list[dict[str, Any]]:
    return (await client.get("/v1/devices?ended=true")).json()["devices"]  # type: ignore[no-any-return]


async def device_of(client: Client) -> str:
    [found] = [one["id"] for one in (await client.get("/v1/devices")).json()["devices"] if one["current"]]
    return str(found)


async def endings(house: House) -> list[str]:
    rows = await house.rows("SELECT end_reason FROM session WHERE ended_at IS NOT NULL ORDER BY end_reason")
    return [row["end_reason"] for row in rows]


async def test_sign_out_of_a_device_bites_at_its_next_request(house: House) -> None:
    """Access token, refresh token and cookies of an ended device are refused at the very next request."""
    await house.register()
    phone, app, web, laptop = await house.native(), await house.spa(), await house.web(), await house.native()
    for client in (phone, app, web):
        target = await device_of(client)
        assert (await laptop.call("DELETE", f"/v1/devices/{target}")).status_code == 204
    for answer in (
        await phone.get("/v1/me"),
        await app.get("/v1/me"),
        await web.get("/v1/me"),
        await web.call("PATCH", "/v1/me", json={"name": "x"}),
        await app.refresh(),
        await phone.refresh(),
    ):
        assert (answer.status_code if answer.status_code != 400 else 401) == 401
        assert answer.json()["code"] == "session_revoked"
    assert (await laptop.get("/v1/me")).status_code == 200
    assert await endings(house) == ["signed_out_elsewhere"] * 3


async def test_sign_out_of_a_device_tells_reason_and_culprit(house: House) -> None:
    """The ended device is gone from the list; with `ended=true` it says when, why and from which device."""
    await house.register()
    phone, laptop = await house.native(name="Phone"), await house.native(name="Laptop")
    await laptop.call("DELETE", f"/v1/devices/{await device_of(phone)}")
    assert [one["name"] for one in (await laptop.get("/v1/devices")).json()["devices"]] == ["Laptop"]
    [_, ended] = await listed(laptop)
    [session] = ended["sessions"]
    assert (ended["name"], ended["current"]) == ("Phone", False)
    assert (session["end_reason"], session["ended_by"]) == ("signed_out_elsewhere", "Laptop")
    assert session["ended_at"] is not None
    [event] = await house.audit("session.ended")
    assert event["ip"] == "203.0.113.7"
    assert '"ended_by": "Laptop"' in event["data"]


async def test_sign_out_of_a_device_ends_all_its_sessions(house: House) -> None:
    """A browser signed in through two doors is out of both."""
    await house.register()
    app = await house.spa()
    web = await WebClient(app.http).login(ADA)
    laptop = await house.native()
    assert (await laptop.call("DELETE", f"/v1/devices/{await device_of(app)}")).status_code == 204
    assert (await app.get("/v1/me")).json()["code"] == "session_revoked"
    assert (await web.get("/v1/me")).json()["code"] == "session_revoked"


async def test_sign_out_of_one_session_leaves_the_rest(house: House) -> None:
    """Ending one session by its id ends that one; ending it again is 204 and changes nothing."""
    await house.register()
    phone, tablet, laptop = await house.native(), await house.native(), await house.native()
    path = f"/v1/sessions/{phone.session_id}"
    assert (await laptop.call("DELETE", path)).status_code == 204
    before = await house.rows("SELECT id, ended_at, end_reason FROM session ORDER BY id")
    house.clock.move(1)
    assert (await laptop.call("DELETE", path)).status_code == 204
    assert await house.rows("SELECT id, ended_at, end_reason FROM session ORDER BY id") == before
    assert len(await house.audit("session.ended")) == 1
    assert (await phone.get("/v1/me")).status_code == 401
    assert (await tablet.get("/v1/me")).status_code == 200


async def test_sign_out_of_the_own_session(house: House) -> None:
    """`DELETE /v1/sessions/current`, or its own id, ends the caller's session as `signed_out`."""
    await house.register()
    phone, tablet = await house.native(), await house.native()
    assert (await phone.call("DELETE", "/v1/sessions/current")).status_code == 204
    assert (await tablet.call("DELETE", f"/v1/sessions/{tablet.session_id}")).status_code == 204
    assert await endings(house) == ["signed_out"] * 2
    again = await phone.call("DELETE", "/v1/sessions/current")
    assert (again.status_code, again.json()["code"]) == (401, "session_revoked")


async def test_sign_out_of_others_counts_and_keeps_the_caller(house: House) -> None:
    """`logout-others` says how many sessions ended and leaves the caller in; a second time there are none."""
    await house.register()
    phone, app, laptop = await house.native(), await house.spa(), await house.native()
    await house.register(MALLORY)
    stranger = await house.native(MALLORY)
    assert (await laptop.call("POST", "/v1/devices/logout-others")).json() == {"ended": 2}
    assert [(await one.get("/v1/me")).status_code for one in (phone, app, laptop, stranger)] == [401, 401, 200, 200]
    assert (await laptop.call("POST", "/v1/devices/logout-others")).json() == {"ended": 0}
    assert await endings(house) == ["signed_out_elsewhere"] * 2


async def test_sign_out_of_all_counts_the_caller_too(house: House) -> None:
    """`logout-all` ends the caller's session with the others, and nobody else's."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    await house.register(MALLORY)
    stranger = await house.native(MALLORY)
    assert (await laptop.call("POST", "/v1/devices/logout-all")).json() == {"ended": 2}
    assert [(await one.get("/v1/me")).status_code for one in (phone, laptop, stranger)] == [401, 401, 200]
    assert await endings(house) == ["signed_out", "signed_out_elsewhere"]


async def test_sign_out_beats_a_refresh_in_flight(house: House) -> None:
    """However a sign-out and a refresh of the same device interleave: afterwards no token of the device works."""
    await house.register()
    laptop = await house.native()
    for _ in range(5):
        phone = await house.native()
        path = f"/v1/sessions/{phone.session_id}"
        ended, _ = await asyncio.gather(laptop.call("DELETE", path), phone.refresh())
        assert ended.status_code == 204
        assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
        assert (await phone.refresh()).json()["code"] == "session_revoked"


# -- somebody else's ---------------------------------------------------------------------------------------------------

NOT_MINE = [("PATCH", "/v1/devices/{device}"), ("DELETE", "/v1/devices/{device}"), ("DELETE", "/v1/sessions/{session}")]
MISSING = {"device": "dev_AAAAAAAAAAAAAAAAAAAAAA", "session": "ses_AAAAAAAAAAAAAAAAAAAAAA"}
MALFORMED = [
    *("1", "0", "-1", "null", "%00", "dev_", "ses_", "dev_AAAAAAAAAAAAAAAAAAAAAB", "' OR 1=1--", "*"),
    *("dev_" + "A" * 400, "%F0%9F%93%B1", "dev_AAAAAAAAAAAAAAAAAAAAAA%0a", "current%20", "devices"),
]


async def test_foreign_ids_look_like_missing_ones(house: House) -> None:
    """Another account's id, a missing one, a malformed one and one of the wrong kind all answer the same 404."""
    await house.register()
    await house.register(MALLORY)
    phone, mallory = await house.native(name="Phone"), await house.native(MALLORY)
    device = await device_of(phone)
    before = await house.rows("SELECT * FROM device ORDER BY id"), await house.rows("SELECT * FROM audit_event")
    for method, path in NOT_MINE:
        body = {"json": {"name": "Mine"}} if method == "PATCH" else {}
        ids = [{"device": device, "session": phone.session_id}, MISSING]
        ids += [{"device": phone.session_id, "session": device}, {"device": device.upper(), "session": device[4:]}]
        ids += [{"device": one, "session": one} for one in MALFORMED]
        answers = [await mallory.call(method, path.format(**one), **body) for one in ids]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
        assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1
    assert (
        await house.rows("SELECT * FROM device ORDER BY id"),
        await house.rows("SELECT * FROM audit_event"),
    ) == before
    assert (await phone.get("/v1/me")).status_code == 200


async def test_foreign_ids_get_no_way_round(house: House) -> None:
    """Slashes doubled, escaped or trailing, other case and query strings reach no other account's device."""
    await house.register()
    await house.register(MALLORY)
    phone, mallory = await house.native(name="Phone"), await house.native(MALLORY)
    device = await device_of(phone)
    for path in (
        *(f"/v1//devices/{device}", f"/v1/devices/{device}/", f"/V1/DEVICES/{device}", f"/v1/devices%2f{device}"),
        *(f"/v1/devices/{device}?account_id={phone.grant['account']['id']}", f"/v1/devices/./{device}"),
    ):
        assert (await mallory.call("DELETE", path)).status_code in (404, 405), path
    answer = await mallory.call("PATCH", f"/v1/devices/{await device_of(mallory)}", json={"name": "x", "id": device})
    assert answer.status_code == 422
    assert (await phone.get("/v1/me")).status_code == 200
    assert [one["name"] for one in await listed(phone)] == ["Phone"]


async def test_foreign_devices_are_not_listed(house: House) -> None:
    """The list and the counts of `logout-all` end at the own account."""
    await house.register()
    await house.register(MALLORY)
    await house.native()
    mallory = await house.native(MALLORY)
    assert len(await listed(mallory)) == 1
    assert (await mallory.call("POST", "/v1/devices/logout-all")).json() == {"ended": 1}
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1


async def test_device_routes_need_a_caller(house: House) -> None:
    """Without a credential every route about devices and sessions answers 401 and changes nothing."""
    await house.register()
    phone = await house.native()
    device = await device_of(phone)
    for method, path in [
        *((method, path.format(device=device, session=phone.session_id)) for method, path in NOT_MINE),
        *(("GET", "/v1/devices"), ("GET", "/v1/sessions/current"), ("DELETE", "/v1/sessions/current")),
        *(("POST", "/v1/devices/logout-all"), ("POST", "/v1/devices/logout-others")),
    ]:
        body: dict[str, Any] = {"json": {"name": "x"}} if method == "PATCH" else {}
        answer = await house.http().request(method, path, **body)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await phone.get("/v1/me")).status_code == 200
