"""As many sessions as an account may have: what gives way, who chooses, and that parallel sign-ins are counted."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.factors import enrol_app
from tests.house import PASSWORD, URL, House, NativeClient, SpaClient, WebClient

ADA = {"email": "ada@example.test", "password": PASSWORD}
Client = NativeClient | SpaClient | WebClient
doors = pytest.mark.parametrize("door", ["native", "spa", "web"])


async def living(house: House) -> int:
    return len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL"))


async def knock(house: House, door: str = "native", http: httpx2.AsyncClient | None = None) -> httpx2.Response:
    """A sign-in of a device of its own."""
    http = http or house.http()
    headers = {} if door == "native" else {"Origin": URL, "X-Coatcheck-Client": door}
    return await http.post(f"/v1/{door}/login", json=ADA, headers=headers)


async def choose(
    house: House, asked: dict[str, Any], session_id: str, door: str = "native", http: httpx2.AsyncClient | None = None
) -> httpx2.Response:
    http = http or house.http()
    headers = {} if door == "native" else {"Origin": URL, "X-Coatcheck-Client": door}
    body = {"challenge_token": asked["challenge_token"], "method": "sign_out", "session_id": session_id}
    return await http.post(f"/v1/{door}/login/verify", json=body, headers=headers)


async def test_limit_oldest_ends_the_least_recently_used(open_house: OpenHouse) -> None:
    """The third of two ends the one that was not used for longest, not the one that began first, and tells it why."""
    async with open_house(session_limit=2) as house:
        await house.register()
        first = await house.native()
        house.clock.move(100)
        second = await house.native()
        house.clock.move(100)
        await first.get("/v1/me")
        await house.desk.presence.flush()
        house.clock.move(100)
        third = await house.web()
        refused = (await second.get("/v1/me")).json()
        assert (refused["code"], refused["reason"]) == ("session_revoked", "limit")
        for client in (first, third):
            assert (await client.get("/v1/me")).status_code == 200
        assert await living(house) == 2


async def test_limit_counts_the_doors_of_one_device(open_house: OpenHouse) -> None:
    """A browser's session at another door counts; at the same door the new one replaces it and nothing else."""
    async with open_house(session_limit=1) as house:
        await house.register()
        http = house.http()
        app = await SpaClient(http).login(ADA["email"])
        page = await WebClient(http).login(ADA["email"])
        assert len(await house.rows("SELECT id FROM device")) == 1
        assert (await app.get("/v1/me")).json()["reason"] == "limit"
        assert (await page.get("/v1/me")).status_code == 200
        await WebClient(http).login(ADA["email"])
        reasons = [row["end_reason"] for row in await house.rows("SELECT end_reason FROM session ORDER BY created_at")]
        assert sorted(map(str, reasons)) == ["None", "limit", "replaced"]


async def test_limit_that_was_lowered_is_kept_at_the_next_sign_in(open_house: OpenHouse) -> None:
    """However many there were before, there are no more than the limit afterwards; other accounts are untouched."""
    async with open_house() as house:
        await house.register()
        await house.register("bob@example.test")
        for _ in range(5):
            await house.native()
        bob = await house.native("bob@example.test")
    async with open_house(session_limit=2) as house:
        await house.native()
        assert await living(house) == 3  # two of hers, and his
        bob.http = house.http()
        assert (await bob.get("/v1/me")).status_code == 200


@pytest.mark.parametrize("policy", ["oldest", "ask", "refuse"])
async def test_limit_same_device_and_door_replaces_and_never_counts(open_house: OpenHouse, policy: str) -> None:
    """Signing in again where one is signed in is always possible, and ends nobody else."""
    async with open_house(session_limit=2, session_limit_policy=policy) as house:
        await house.register()
        phone, browser = await house.native(), await house.spa()
        for _ in range(3):
            await phone.login("ada@example.test")
            await browser.login("ada@example.test")
        for client in (phone, browser):
            assert (await client.get("/v1/me")).status_code == 200
        reasons = await house.rows("SELECT DISTINCT end_reason FROM session WHERE ended_at IS NOT NULL")
        assert [row["end_reason"] for row in reasons] == ["replaced"]


async def test_limit_sessions_that_ran_out_do_not_count(open_house: OpenHouse) -> None:
    """What is past its life makes room, whether or not somebody has written that down."""
    async with open_house(session_limit=1, session_limit_policy="refuse") as house:
        await house.register()
        await house.web()
        assert (await knock(house)).status_code == 409
        house.clock.move(3_700)
        assert (await knock(house)).status_code == 200


async def test_limit_refuse_hands_out_nothing(open_house: OpenHouse) -> None:
    """409 with neither challenge nor devices; no row is left behind, and a wrong password is told nothing of it."""
    async with open_house(session_limit=1, session_limit_policy="refuse") as house:
        await house.register()
        phone = await house.native()
        answer = await knock(house)
        assert (answer.status_code, answer.json()["code"]) == (409, "session_limit")
        assert not {"challenge_token", "devices"} & set(answer.json())
        wrong = await house.http().post("/v1/native/login", json=ADA | {"password": "not the right password"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
        assert (await phone.get("/v1/me")).status_code == 200
        counts = [len(await house.rows(f"SELECT * FROM {table}")) for table in ("session", "device")]
        assert counts == [1, 1]
        assert {row["purpose"] for row in await house.rows("SELECT purpose FROM challenge")} == {"email.verify"}


@doors
async def test_limit_ask_lets_the_person_choose(open_house: OpenHouse, door: str) -> None:
    """409 shows the devices and signs nobody in; choosing one ends it and gives the door's own answer."""
    async with open_house(session_limit=2, session_limit_policy="ask") as house:
        await house.register()
        phone, tablet = await house.native(name="Ada's phone"), await house.native(name="Ada's tablet")
        http = house.http()
        answer = await knock(house, door, http)
        asked = answer.json()
        assert (answer.status_code, asked["code"]) == (409, "session_limit")
        assert "set-cookie" not in answer.headers
        names = {device["name"]: device["sessions"][0]["id"] for device in asked["devices"]}
        assert names == {"Ada's phone": phone.session_id, "Ada's tablet": tablet.session_id}
        assert await living(house) == 2
        assert len(await house.rows("SELECT id FROM device")) == 2
        done = await choose(house, asked, names["Ada's phone"], door, http)
        assert done.status_code == 200, done.text
        assert done.json()["account"]["email"] == ADA["email"]
        assert (await phone.get("/v1/me")).json()["reason"] == "limit"
        assert (await tablet.get("/v1/me")).status_code == 200
        assert await living(house) == 2
        again = await choose(house, asked, names["Ada's tablet"], door)
        assert (again.status_code, again.json()["code"]) == (401, "challenge_expired")
        assert (await tablet.get("/v1/me")).status_code == 200


async def test_limit_choice_is_bound_to_door_person_and_time(open_house: OpenHouse) -> None:
    """Another door, another's session, a junk id and ten minutes later: nothing ends, and nobody is signed in."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        await house.register("bob@example.test")
        phone, bob = await house.native(), await house.native("bob@example.test")
        asked = (await knock(house)).json()
        for session, status in ((bob.session_id, 404), ("ses_" + "A" * 22, 404), ("x", 404), ("", 404)):
            assert (await choose(house, asked, session)).status_code == status, session
        other = await choose(house, asked, phone.session_id, "spa")
        assert (other.status_code, other.json()["code"]) == (401, "challenge_expired")
        for client in (phone, bob):
            assert (await client.get("/v1/me")).status_code == 200
        house.clock.move(601)
        late = await choose(house, asked, phone.session_id)
        assert (late.status_code, late.json()["code"]) == (401, "challenge_expired")
        assert await living(house) == 2


async def test_limit_choice_dies_with_the_password(open_house: OpenHouse) -> None:
    """Who was asked before the password changed chooses nothing any more."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        phone = await house.native()
        asked = (await knock(house)).json()
        passwords = {"current_password": PASSWORD, "new_password": "four wise monkeys dancing"}
        assert (await phone.call("POST", "/v1/me/password", json=passwords)).status_code == 204
        assert (await choose(house, asked, phone.session_id)).json()["code"] == "challenge_expired"
        assert (await phone.get("/v1/me")).status_code == 200


@pytest.mark.parametrize("act", ["logout-others", "logout-all", "staff", "everybody"])
async def test_limit_choice_dies_when_everybody_is_signed_out(open_house: OpenHouse, act: str) -> None:
    """Who has proved everything and only has to choose is out with all the others."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        account = await house.register()
        phone = await house.native()
        asked = (await knock(house)).json()
        if act == "staff":
            staff = await house.staff()
            ended = await staff.call("DELETE", f"/v1/admin/accounts/{account['id']}/sessions")
        elif act == "everybody":
            ended = await (await house.staff()).call("POST", "/v1/admin/sign-out-everybody")
        else:
            ended = await phone.call("POST", f"/v1/devices/{act}")
        assert ended.status_code == 200, ended.text
        assert (await choose(house, asked, phone.session_id)).json()["code"] == "challenge_expired"


async def test_limit_choice_is_no_way_round_the_second_factor(open_house: OpenHouse) -> None:
    """The challenge of a password alone can't end a session; with the factor proved too, the choice can."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        phone = await house.native()
        app = await enrol_app(house, phone)
        first = (await knock(house)).json()
        assert (first["code"], "devices" in first) == ("mfa_required", False)
        assert (await choose(house, first, phone.session_id)).json()["code"] == "challenge_expired"
        assert (await phone.get("/v1/me")).status_code == 200
        body = {"challenge_token": first["challenge_token"], "method": "totp", "code": app.next_code()}
        second = await house.http().post("/v1/native/login/verify", json=body)
        assert (second.status_code, second.json()["code"]) == (409, "session_limit")
        done = await choose(house, second.json(), phone.session_id)
        assert done.json()["session"]["auth_methods"] == ["pwd", "otp", "mfa"]


async def test_limit_choosing_makes_no_proof_younger(open_house: OpenHouse) -> None:
    """Nine minutes between password and choice: the session begins with a proof nine minutes old."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        await house.register()
        phone = await house.native()
        asked = (await knock(house)).json()
        house.clock.move(540)
        done = (await choose(house, asked, phone.session_id)).json()
        late = NativeClient(house.http(), done["access_token"])
        assert (await late.call("DELETE", "/v1/me")).json()["code"] == "reauthentication_required"


async def test_limit_still_full_is_asked_again(open_house: OpenHouse) -> None:
    """Two waited for one place: the second is asked anew, and the session it gave up stays ended."""
    async with open_house() as house:
        await house.register()
        phones = [await house.native() for _ in range(3)]
    async with open_house(session_limit=2, session_limit_policy="ask") as house:
        asked = (await knock(house)).json()
        answer = await choose(house, asked, phones[0].session_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "session_limit")
        assert len(answer.json()["devices"]) == 2
        assert (await choose(house, answer.json(), phones[1].session_id)).status_code == 200
        assert await living(house) == 2


@pytest.mark.parametrize("policy", ["oldest", "ask", "refuse"])
async def test_limit_holds_for_parallel_sign_ins(open_house: OpenHouse, policy: str) -> None:
    """Twenty at once, of every door: never more than three living sessions, and each answer is one that is meant."""
    async with open_house(session_limit=3, session_limit_policy=policy, limit_login="off") as house:
        await house.register()
        knocks = [knock(house, ("native", "spa", "web")[n % 3]) for n in range(20)]
        answers = await asyncio.gather(*knocks)
        said = [answer.status_code for answer in answers]
        assert said.count(200) == (20 if policy == "oldest" else 3)
        assert set(said) <= {200, 409}
        assert await living(house) == 3


async def test_limit_holds_for_parallel_choices(open_house: OpenHouse) -> None:
    """Ten who chose the same session at once: one gets in, the others are asked again; one challenge gets one in."""
    async with open_house(session_limit=1, session_limit_policy="ask", limit_login="off") as house:
        await house.register()
        phone = await house.native()
        asked = [(await knock(house)).json() for _ in range(10)]
        answers = await asyncio.gather(*(choose(house, one, phone.session_id) for one in asked))
        said = [answer.status_code for answer in answers]
        assert said.count(200) == 1
        assert set(said) == {200, 409}
        token = next(answer.json() for answer in answers if answer.status_code == 409)
        current = (await house.rows("SELECT id FROM session WHERE ended_at IS NULL"))[0]
        from coatcheck import ids

        same = await asyncio.gather(*(choose(house, token, ids.text("ses", current["id"])) for _ in range(10)))
        said = [answer.status_code for answer in same]
        assert said.count(200) == 1
        assert set(said) == {200, 401}
        assert await living(house) == 1


async def test_limit_counts_over_two_workers(servers: dict[str, Any], clock: Any, patient: None) -> None:
    """Ten sign-ins at each of two workers: no more living sessions than the limit."""
    from contextlib import AsyncExitStack

    from tests.house import opened

    async with AsyncExitStack() as stack:
        pair = [
            await stack.enter_async_context(opened(clock, session_limit=2, limit_login="off", **servers))
            for _ in range(2)
        ]
        await pair[0].register()
        answers = await asyncio.gather(*(knock(pair[n % 2]) for n in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert await living(pair[0]) == 2


async def test_limit_body_is_read_strictly(open_house: OpenHouse) -> None:
    """`session_id` belongs to `sign_out` and to nothing else."""
    async with open_house(session_limit=1, session_limit_policy="ask") as house:
        token = {"challenge_token": "cct_c_x"}
        for body in (
            {"method": "sign_out"},
            {"method": "sign_out", "code": "123456"},
            {"method": "sign_out", "session_id": "ses_x", "code": "123456"},
            {"method": "totp", "code": "123456", "session_id": "ses_x"},
            {"method": "sign_out", "session_id": ["x"]},
        ):
            answer = await house.http().post("/v1/native/login/verify", json=token | body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), json.dumps(body)
