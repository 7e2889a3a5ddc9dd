"""Refresh: a retry is harmless, a thief is caught, nobody is signed out by accident."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import CHROME, PASSWORD, SECRET, House, NativeClient, SpaClient

DAY = 86_400
ROW = "SELECT generation, ended_at, end_reason FROM session WHERE door = 'native' ORDER BY created_at, id"

ENDED = "SELECT generation, rotated_at, ended_at, end_reason FROM session WHERE ended_at IS NOT NULL"


def _refused(answer: httpx2.Response, code: str) -> None:
    assert answer.status_code == 400, answer.text
    assert (answer.json()["error"], answer.json()["code"]) == ("invalid_grant", code)
    assert "refresh_token" not in answer.json()
    assert "access_token" not in answer.json()


async def _signed_in(house: House) -> NativeClient:
    await house.register()
    return await house.native()


async def _generations(house: House) -> list[int]:
    return [row["generation"] for row in await house.rows(ROW)]


async def _used(client: NativeClient) -> None:
    assert (await client.get("/v1/me")).status_code == 200


async def _reuse(house: House, phone: NativeClient) -> str:
    """Present a token whose successor was used longer ago than the race window; that token."""
    stolen = phone.refresh_token
    await phone.refresh()
    await _used(phone)
    house.clock.move(61)
    _refused(await phone.refresh(stolen), "token_reused")
    return stolen


async def test_refresh_in_parallel_gives_one_answer(house: House) -> None:
    """Twenty parallel refreshes with one token get one successor, which works, and the row is rotated once."""
    phone = await _signed_in(house)
    answers = await asyncio.gather(*(phone.refresh(phone.refresh_token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert await _generations(house) == [1]
    assert await house.audit("refresh.refused") == await house.audit("token.reused") == []
    assert (await phone.refresh(answers[0].json()["refresh_token"])).status_code == 200
    for answer in answers:
        phone.access_token = answer.json()["access_token"]
        await _used(phone)


async def test_refresh_retry_after_a_lost_answer_gives_the_same_again(house: House) -> None:
    """A token whose successor was never used gives the same successor after a second, ten minutes and three days."""
    phone = await _signed_in(house)
    lost = (await phone.refresh(phone.refresh_token)).json()
    for seconds in (1, 600, 3 * DAY):
        house.clock.move(seconds)
        answer = await phone.refresh(phone.refresh_token)
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] == lost["refresh_token"]
        assert answer.json()["expires_in"] == 600
        phone.access_token = answer.json()["access_token"]
    assert await _generations(house) == [1]
    assert await house.audit("token.reused") == []
    assert len(await house.rows("SELECT id FROM device")) == 1
    await _used(phone)


@pytest.mark.parametrize("use", ["access token", "refresh token"])
async def test_refresh_of_a_superseded_token_repeats_within_the_window(house: House, use: str) -> None:
    """Inside the race window after the successor's first use, the old token still gives the current one."""
    phone = await _signed_in(house)
    old = phone.refresh_token
    await phone.refresh()
    await (_used(phone) if use == "access token" else phone.refresh())
    house.clock.move(25)
    answer = await phone.refresh(old)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] == phone.refresh_token
    await _used(phone)


@pytest.mark.parametrize("use", ["access token", "refresh token"])
async def test_refresh_of_a_superseded_token_after_the_window_is_reuse(house: House, use: str) -> None:
    """After the race window the old token ends its session, and the newest token and access token with it."""
    phone = await _signed_in(house)
    old = phone.refresh_token
    await phone.refresh()
    await (_used(phone) if use == "access token" else phone.refresh())
    house.clock.move(31)
    _refused(await phone.refresh(old), "token_reused")
    assert [row["end_reason"] for row in await house.rows(ROW)] == ["reused"]
    assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
    _refused(await phone.refresh(), "session_revoked")


async def test_refresh_quick_reloads_are_harmless(house: House) -> None:
    """A token several generations behind repeats while the window that began with its end is running."""
    phone = await _signed_in(house)
    first = phone.refresh_token
    for _ in range(4):
        await phone.refresh()
        house.clock.move(5)
    answer = await phone.refresh(first)
    assert answer.json()["refresh_token"] == phone.refresh_token
    assert await _generations(house) == [4]


async def test_refresh_window_never_slides(house: House) -> None:
    """Somebody else's refreshes, and repeats themselves, do not keep an old stolen token alive."""
    phone = await _signed_in(house)
    stolen = phone.refresh_token
    for _ in range(3):
        await phone.refresh()
        assert (await phone.refresh(stolen)).status_code == 200
        house.clock.move(12)
    await phone.refresh()
    _refused(await phone.refresh(stolen), "token_reused")


async def test_refresh_late_twin_after_a_lost_answer_is_harmless(house: House) -> None:
    """A retry's delayed duplicate is no theft when its successor was first used a second ago, at the next refresh."""
    phone = await _signed_in(house)
    retried = phone.refresh_token
    await phone.refresh(retried)  # its answer is lost
    house.clock.move(600)
    await phone.refresh()
    await phone.refresh()
    house.clock.move(1)
    answer = await phone.refresh(retried)
    assert answer.status_code == 200, answer.text
    assert answer.json()["refresh_token"] == phone.refresh_token


async def test_refresh_reuse_ends_one_session_and_tells(house: House) -> None:
    """Reuse ends exactly the one session, is recorded with its reason, and leaves the other devices alone."""
    phone = await _signed_in(house)
    laptop, browser = await house.native(), await house.spa()
    await _reuse(house, phone)
    ended = [row["end_reason"] for row in await house.rows(ROW)]
    assert sorted(map(str, ended)) == ["None", "reused"]
    assert (await laptop.refresh()).status_code == (await browser.refresh()).status_code == 200
    assert len(await house.audit("token.reused")) == 1
    told = (await laptop.get("/v1/me/activity")).json()["events"]
    kinds = {event["kind"]: event for event in told}
    assert kinds["token.reused"]["ip"] == "203.0.113.7"
    assert kinds["session.ended"]["data"]["reason"] == "reused"
    listed = (await laptop.get("/v1/devices?ended=true")).json()["devices"]
    assert [one["end_reason"] for device in listed for one in device["sessions"]].count("reused") == 1


async def test_refresh_after_reuse_each_token_keeps_its_answer(house: House) -> None:
    """The presented token answers `token_reused` ever after, all else of the session `session_revoked`, told once."""
    phone = await _signed_in(house)
    oldest = phone.refresh_token
    await phone.refresh()
    stolen = await _reuse(house, phone)
    for _ in range(2):
        _refused(await phone.refresh(stolen), "token_reused")
        _refused(await phone.refresh(oldest), "session_revoked")
        _refused(await phone.refresh(phone.refresh_token), "session_revoked")
        answer = await phone.get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")
    assert len(await house.audit("token.reused")) == 1
    assert len(await house.audit("session.ended")) == 1


async def test_refresh_twenty_thieves_end_a_session_once(house: House) -> None:
    """Parallel presentations of a stolen token end the session once, with one event, and none gets a token."""
    phone = await _signed_in(house)
    stolen = phone.refresh_token
    await phone.refresh()
    await _used(phone)
    house.clock.move(61)
    for answer in await asyncio.gather(*(phone.refresh(stolen) for _ in range(20))):
        _refused(answer, "token_reused")
    assert len(await house.audit("token.reused")) == len(await house.audit("session.ended")) == 1


async def _end(how: str, house: House, phone: NativeClient, laptop: NativeClient) -> None:
    """End the phone's session in one of the ways there are."""
    answer = None
    match how:
        case "reuse":
            await _reuse(house, phone)
            await laptop.refresh()
        case "remote logout":
            answer = await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        case "own logout":
            answer = await phone.call("DELETE", "/v1/sessions/current")
        case "revoke":
            answer = await phone.http.post("/oauth/revoke", data={"token": phone.refresh_token})
        case "password change":
            body = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
            answer = await laptop.call("POST", "/v1/me/password", json=body)
        case "sign in again":
            await NativeClient(house.http(), device_token=phone.device_token).login("ada@example.test")
    assert answer is None or answer.is_success, answer.text


@pytest.mark.parametrize("how", ["reuse", "remote logout", "own logout", "revoke", "password change", "sign in again"])
async def test_refresh_never_revives_an_ended_session(house: House, how: str) -> None:
    """Right after any ending, inside every window, old and newest tokens are refused and nothing is minted."""
    phone = await _signed_in(house)
    laptop = await house.native()
    first = phone.refresh_token
    await phone.refresh()
    before, newest = phone.refresh_token, (await phone.refresh()).json()["refresh_token"]
    await _end(how, house, phone, laptop)
    rows = await house.rows(ENDED)
    for token in (first, before, newest, phone.refresh_token):
        answer = await phone.refresh(token)
        assert answer.status_code == 400
        assert answer.json()["code"] in ("session_revoked", "token_reused")
    assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
    assert await house.rows(ENDED) == rows
    assert len(rows) == 1
    await _used(laptop)


async def test_refresh_racing_an_ending_keeps_nothing(open_house: OpenHouse) -> None:
    """A device that refreshes in a tight loop has nothing that works once a remote logout has returned."""
    async with open_house(limit_refresh="off") as house:
        phone = await _signed_in(house)
        laptop = await house.native()
        got: list[dict[str, Any]] = []
        warm = asyncio.Event()

        async def looping() -> httpx2.Response:
            while (answer := await phone.refresh()).status_code == 200:
                got.append(answer.json())
                if len(got) == 5:
                    warm.set()
            return answer

        loop = asyncio.create_task(looping())
        await asyncio.wait_for(warm.wait(), 30)
        assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
        _refused(await asyncio.wait_for(loop, 30), "session_revoked")
        for grant in got:
            phone.access_token = grant["access_token"]
            assert (await phone.get("/v1/me")).status_code == 401
            _refused(await phone.refresh(grant["refresh_token"]), "session_revoked")
        await _used(laptop)


async def test_refresh_in_flight_loses_to_logout(house: House) -> None:
    """Whichever of a refresh and a logout is answered first, no token of the session works afterwards."""
    await house.register()
    for _ in range(5):
        phone = await house.native()
        old = phone.refresh_token
        answer, _out = await asyncio.gather(phone.refresh(old), phone.http.post("/oauth/revoke", data={"token": old}))
        tokens = [old] + ([answer.json()["refresh_token"]] if answer.status_code == 200 else [])
        for token in tokens:
            _refused(await phone.refresh(token), "session_revoked")
    assert {row["end_reason"] for row in await house.rows(ROW)} == {"signed_out"}


async def test_refresh_wears_its_own_limit_only(open_house: OpenHouse) -> None:
    """A refresh loop is braked for its own session, with Retry-After, and goes on after the wait."""
    async with open_house(limit_refresh="3/minute") as house:
        phone = await _signed_in(house)
        laptop = await house.native()
        answers = [await phone.refresh() for _ in range(8)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "rate_limited"
        assert (await laptop.refresh()).status_code == 200
        house.clock.move(int(answers[-1].headers["Retry-After"]))
        assert (await phone.refresh()).status_code == 200


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_refresh_limit_counts_each_once(open_house: OpenHouse, door: str) -> None:
    """Exactly LIMIT_REFRESH refreshes pass in a window, a repeated one among them; then none, until the next window."""
    async with open_house(limit_refresh="5/hour") as house:
        await house.register()
        token = (await house.native()).refresh_token if door == "native" else (await house.spa()).cookie or ""
        house.clock.move(3_601 - house.clock.now() // 1000 % 3_600)  # a window has just begun
        before = token
        for _ in range(2):
            for _ in range(4):
                before = token
                answer, token = await _present(house, door, before)
                assert answer.status_code == 200
            answer, repeated = await _present(house, door, before)
            assert (answer.status_code, repeated) == (200, token)
            generations = await house.rows("SELECT generation FROM session")
            refused, _ = await _present(house, door, token)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
            assert await house.rows("SELECT generation FROM session") == generations
            house.clock.move(int(refused.headers["Retry-After"]))


async def _present(house: House, door: str, token: str) -> tuple[httpx2.Response, str]:
    """Refresh with this token at its door; the answer, and the token in it."""
    if door == "native":
        form = {"grant_type": "refresh_token", "refresh_token": token}
        answer = await house.http().post("/oauth/token", data=form)
        return answer, answer.json().get("refresh_token", "")
    headers = SpaClient.OWN_PAGE | {"Cookie": f"__Host-coatcheck-refresh={token}"}
    answer = await house.http().post("/v1/spa/refresh", headers=headers)
    return answer, answer.cookies.get("__Host-coatcheck-refresh") or ""


async def test_refresh_new_ip_and_user_agent_keep_the_session(house: House) -> None:
    """A session that moves to another network and a newer browser lives on, and the list shows where it is now."""
    phone = await _signed_in(house)
    phone.http = house.http(CHROME, ip="2001:db8::7")
    assert (await phone.refresh()).status_code == 200
    await _used(phone)
    (device,) = (await phone.get("/v1/devices")).json()["devices"]
    assert [(one["ip"], one["user_agent"]) for one in device["sessions"]] == [("2001:db8::7", CHROME)]
    assert SECRET not in str(device)
