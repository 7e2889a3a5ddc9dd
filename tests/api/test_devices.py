"""Devices: one row for one installation, names people recognise, and a list that hides nothing but secrets."""

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from coatcheck import ids
from tests.conftest import Stores
from tests.house import CHROME, FIREFOX, PASSWORD, URL, House, MovableClock, NativeClient, SpaClient, WebClient, opened
from tests.waiting import until

ADA = "ada@example.test"
DEVICE = {"id", "name", "platform", "created_at", "last_seen_at", "current", "sessions"}
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
# The list's own question for sessions; the sweep asks for less.
_WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%session.user_agent%'"
_ANOTHER_DEVICE = """
INSERT INTO device (id, account_id, secret_hash, name, named_by_person, created_at)
SELECT 'sixteen bytes id', id, 'secret', 'the new one', false, 0 FROM account
"""
_MOVED = "UPDATE session SET device_id = 'sixteen bytes id' WHERE id = $1"


async def devices(client: NativeClient | SpaClient | WebClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/devices{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["devices"]  # type: ignore[no-any-return]


async def test_device_of_ten_logins_is_one_row(house: House) -> None:
    """A phone and a browser that sign in ten times each are two devices, each with one living session."""
    await house.register()
    phone, app = await house.native(), await house.spa()
    for _ in range(9):
        await phone.login(ADA)
        await app.login(ADA)
    assert len(await house.rows("SELECT id FROM device")) == 2
    assert [len(device["sessions"]) for device in await devices(phone)] == [1, 1]
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 2


async def test_devices_are_listed_while_another_one_comes(servers: Stores, clock: MovableClock, patient: None) -> None:
    """Somebody who signs in on a new device between the reads of a list breaks no list."""
    async with opened(clock, **servers) as house:
        await house.register()
        phone, tablet = await house.native(), await house.native()
        assert len(await devices(phone)) == 2
        await until(house.desk.feed.is_fresh)  # else it is the caller's session that waits
        connection, watching = [await asyncpg.connect(servers["database_url"]) for _ in range(2)]
        async with connection.transaction():
            await connection.execute("LOCK TABLE session")
            listing = asyncio.create_task(devices(phone))
            while not await watching.fetchval(_WAITING):  # another process waits
                assert not listing.done()
                await asyncio.sleep(0.01)
            await connection.execute(_ANOTHER_DEVICE)
            await connection.execute(_MOVED, ids.raw("ses", tablet.session_id))
        await connection.close()
        await watching.close()
        assert "the new one" in [device["name"] for device in await listing]


async def test_device_is_not_recognised_by_its_user_agent(house: House) -> None:
    """Two browsers with the same User-Agent are two devices."""
    await house.register()
    await house.spa()
    app = await house.spa()
    listed = await devices(app)
    assert [device["name"] for device in listed] == ["Firefox on Linux"] * 2
    assert [device["current"] for device in listed] == [True, False]


async def test_device_list_has_the_contract_fields_and_no_secret(house: House) -> None:
    """A device and its sessions show what an owner needs to recognise them, and nothing one could sign in with."""
    await house.register()
    phone, app, web = await house.native(), await house.spa(), await house.web()
    answer = await phone.get("/v1/devices?ended=true")
    listed = answer.json()["devices"]
    assert {frozenset(device) for device in listed} == {frozenset(DEVICE)}
    secrets = [phone.access_token, phone.refresh_token, phone.device_token, app.access_token, app.cookie, web.cookie]
    secrets += [web.csrf_token, app.http.cookies["__Host-coatcheck-device"]]
    assert not [secret for secret in secrets if secret and secret in answer.text]
    assert "cct_" not in answer.text
    columns = {name for row in await house.rows("SELECT * FROM device") for name in row}
    assert "secret_hash" in columns
    assert "hash" not in answer.text


async def test_device_names_are_what_people_call_them(house: House) -> None:
    """A browser is `Firefox on Linux`; a native client has the name it gives; one without any has some name."""
    await house.register()
    for agent in (FIREFOX, CHROME, IPHONE):
        await SpaClient(house.http(agent)).login(ADA)
    await NativeClient(house.http("okhttp/5")).login(ADA, name="Ada's Pixel", platform="android")
    await NativeClient(house.http("")).login(ADA, platform="ios")
    asking = await NativeClient(house.http("")).login(ADA)
    names = {device["name"] for device in await devices(asking)}
    assert {"Firefox on Linux", "Chrome on Windows", "Ada's Pixel", "App on ios", "Unknown device"} <= names
    assert any("iOS" in name for name in names)
    [pixel] = [device for device in await devices(asking) if device["name"] == "Ada's Pixel"]
    assert pixel["platform"] == "android"


async def test_device_name_of_a_person_survives_the_next_login(house: House) -> None:
    """A name the person gave stays, whatever the client or its User-Agent says at the next login or refresh."""
    await house.register()
    phone = await house.native(name="Pixel 9")
    [device] = await devices(phone)
    renamed = await phone.call("PATCH", f"/v1/devices/{device['id']}", json={"name": "  Kitchen phone "})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Kitchen phone")
    assert set(renamed.json()) == DEVICE
    await phone.login(ADA, name="Pixel 9 (Android 17)")
    await phone.refresh()
    assert [one["name"] for one in await devices(phone)] == ["Kitchen phone"]
    [event] = await house.audit("device.renamed")
    assert (event["ip"], "Kitchen phone" in event["data"]) == ("203.0.113.7", True)


async def test_device_name_of_a_client_follows_the_client(house: House) -> None:
    """A name nobody chose is replaced by what the client calls itself at its next login."""
    await house.register()
    phone = await house.native(name="Pixel 9")
    await phone.login(ADA, name="Pixel 9 Pro")
    assert [one["name"] for one in await devices(phone)] == ["Pixel 9 Pro"]


async def test_device_name_may_be_any_text_but_no_control_characters(house: House) -> None:
    """Markup, quotes and emoji are kept as the letters they are; control characters and blank names are refused."""
    await house.register()
    phone = await house.native(name="Phone")
    [device] = await devices(phone)
    path = f"/v1/devices/{device['id']}"
    for name in ('"><img src=x onerror=1>', "'; DROP TABLE device; --", "📱 Zoé's", "</script>", "{{7*7}}", "%s%n"):
        answer = await phone.call("PATCH", path, json={"name": name})
        assert answer.json()["name"] == name
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    unusable: list[object] = ["", "   ", "a\0b", "a\nb", "a\x1b[31mb", "a\u2028b", "a\x7fb", "x" * 65, None, 7, ["x"]]
    for bad in unusable:
        answer = await phone.call("PATCH", path, json={"name": bad})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name"), bad
    assert [one["name"] for one in await devices(phone)] == ["%s%n"]


async def test_device_name_of_a_login_is_checked_too(house: House) -> None:
    """A control character in the name a client sends at login is refused, and no session begins."""
    await house.register()
    unusable: list[object] = [{"name": "a\nb"}, {"platform": "a\0"}, {"name": "x" * 65}, {"id": "dev_x"}, "phone", []]
    for device in unusable:
        body = {"email": ADA, "password": PASSWORD, "device": device}
        assert (await house.http().post("/v1/native/login", json=body)).status_code == 422
    assert await house.rows("SELECT id FROM session") == []


async def test_device_list_is_current_first_then_by_last_seen(house: House) -> None:
    """The caller's own device comes first, then the one seen last."""
    await house.register()
    clients = {}
    for name in ("one", "two", "three"):
        clients[name] = await house.native(name=name)
        house.clock.move(120)
    await clients["one"].get("/v1/me")
    listed = await devices(clients["two"])
    assert [(device["name"], device["current"]) for device in listed] == [
        ("two", True),
        ("one", False),
        ("three", False),
    ]
    assert [session["current"] for device in listed for session in device["sessions"]] == [True, False, False]


async def test_device_list_forgets_idle_devices(house: House) -> None:
    """A device unused for its idle life leaves the list; with `ended=true` it is there, as `idle`."""
    await house.register()
    await house.native(name="drawer")
    house.clock.move(31 * 86_400)
    phone = await house.native(name="pocket")
    assert [device["name"] for device in await devices(phone)] == ["pocket"]
    ended = await devices(phone, "?ended=true")
    assert [device["name"] for device in ended] == ["pocket", "drawer"]
    assert ended[1]["sessions"][0]["end_reason"] == "idle"


# -- who is recognised -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "x", "cct_d_" + "A" * 43, "cct_d_" + "A" * 44, "\0", "../../etc/passwd"])
async def test_device_token_nobody_gave_makes_a_new_device(house: House, token: str) -> None:
    """A device token of no device is no error: the login is a new device with a token of its own."""
    await house.register()
    phone = await house.native(token=token)
    assert phone.device_token.startswith("cct_d_")
    assert phone.device_token != token
    assert len(await devices(phone)) == 1


async def test_device_token_of_somebody_else_makes_a_new_device(house: House) -> None:
    """Mallory signing in with Ada's device token gets a device and a token of his own, and no look at Ada's."""
    await house.register()
    await house.register("mallory@example.test")
    ada = await house.native(name="Ada's phone")
    mallory = await house.native("mallory@example.test", token=ada.device_token)
    assert mallory.device_token != ada.device_token
    assert [device["name"] for device in await devices(mallory)] != ["Ada's phone"]
    owners = await house.rows("SELECT account_id FROM device")
    assert len({row["account_id"] for row in owners}) == 2
    await ada.login(ADA)
    assert len(await devices(ada)) == 1


async def test_device_cookie_serves_all_accounts_of_a_browser(house: House) -> None:
    """Two people who share a browser each have one device for it, however often they take turns."""
    await house.register()
    await house.register("bob@example.test")
    browser = house.http()
    for email in (ADA, "bob@example.test", ADA, "bob@example.test"):
        await SpaClient(browser).login(email)
    rows = await house.rows("SELECT account_id FROM device")
    assert (len(rows), len({row["account_id"] for row in rows})) == (2, 2)


async def test_device_cookie_forgets_who_was_there_longest_ago(house: House) -> None:
    """A browser in a library is remembered for its last five people, and its cookie grows no further."""
    browser = house.http()
    people = [f"reader{number}@example.test" for number in range(7)]
    for email in people:
        await house.register(email)
        await SpaClient(browser).login(email)
    cookie = browser.cookies["__Host-coatcheck-device"]
    assert len(cookie.split(".")) == 5
    await SpaClient(browser).login(people[2])
    assert len(await house.rows("SELECT id FROM device")) == 7
    await SpaClient(browser).login(people[0])
    assert len(await house.rows("SELECT id FROM device")) == 8


async def test_device_cookie_of_who_was_there_before_is_not_taken_over(house: House) -> None:
    """Mallory signs in on Ada's browser before she does, and keeps the cookie: with it and her password he is on a new
    device, of which she is told."""
    await house.register()
    await house.register("mallory@example.test")
    await house.spa()
    browser = house.http()
    await SpaClient(browser).login("mallory@example.test")
    planted = browser.cookies["__Host-coatcheck-device"]
    await SpaClient(browser).login(ADA)
    before = len(await house.mails())
    elsewhere = house.http(cookies=httpx2.Cookies({"__Host-coatcheck-device": planted}))
    await SpaClient(elsewhere).login(ADA)
    [ada] = await house.rows("SELECT id FROM account WHERE email = $1", ADA)
    assert len(await house.rows("SELECT id FROM device WHERE account_id = $1", ada["id"])) == 3
    assert len(await house.mails()) == before + 1


async def test_device_cookie_counts_not_the_body_at_a_browser_door(house: House) -> None:
    """A browser login that names a device token in its body is not recognised by it: the token is native only."""
    await house.register()
    phone = await house.native(name="Phone")
    app = await house.spa(token=phone.device_token)
    assert len(await devices(app)) == 2
    assert (await phone.get("/v1/me")).status_code == 200


async def test_device_cookie_planted_by_a_stranger_stays_powerless(house: House) -> None:
    """Knowing a browser's device secret opens nothing: it is neither session, access nor refresh token."""
    await house.register()
    app = await house.spa()
    secret = app.http.cookies["__Host-coatcheck-device"]
    stranger = house.http()
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await stranger.get("/v1/me", headers=headers)).json()["code"] == "token_invalid"
    for cookie, path in (("refresh", "/v1/spa/refresh"), ("session", "/v1/web/logout")):
        stranger = house.http(cookies=httpx2.Cookies({f"__Host-coatcheck-{cookie}": secret}))
        own = {"Origin": URL, "X-Coatcheck-Client": path.split("/")[2]}
        assert (await stranger.post(path, headers=own)).status_code in (401, 204)
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1
    assert (await app.get("/v1/me")).status_code == 200
