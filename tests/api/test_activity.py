"""What is written down: an event for each thing that happens, the owner's view of it, and a log without secrets."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.house import PASSWORD, House, NativeClient
from tests.live import serving

ADA, MALLORY = "ada@example.test", "mallory@example.test"
EVENT = {"id", "at", "kind", "ip", "device", "data"}


async def activity(client: NativeClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/me/activity{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]  # type: ignore[no-any-return]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


async def test_activity_tells_a_sign_in(house: House) -> None:
    """Registration and each sign-in are told with time, address, door and device, newest first."""
    account = await house.register()
    await house.web()
    await house.spa()
    phone = await NativeClient(house.http(ip="198.51.100.9")).login(ADA, name="Phone")
    events = await activity(phone)
    assert kinds(events) == ["session.started"] * 3 + ["account.registered"]
    assert {frozenset(event) for event in events} == {frozenset(EVENT)}
    assert [event["data"].get("door") for event in events] == ["native", "spa", "web", None]
    assert (events[0]["ip"], events[0]["device"]) == ("198.51.100.9", "Phone")
    assert events[1]["device"] == "Firefox on Linux"
    assert events[0]["at"].endswith("Z")
    assert account["id"] not in str(events)


async def test_activity_tells_a_refused_sign_in(house: House) -> None:
    """A wrong password at the account is told with the address it came from."""
    await house.register()
    wrong = {"email": ADA, "password": "zq-not-the-password"}
    await house.http(ip="198.51.100.66").post("/v1/native/login", json=wrong)
    events = await activity(await house.native())
    assert kinds(events)[:2] == ["session.started", "login.failed"]
    assert events[1]["ip"] == "198.51.100.66"
    assert "zq-not" not in str(await house.rows("SELECT * FROM audit_event"))


async def test_activity_tells_an_ending_and_who_did_it(house: House) -> None:
    """A session's end is told with its reason, the device it was on and the device that ended it."""
    await house.register()
    phone, laptop = await house.native(name="Phone"), await house.native(name="Laptop")
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    [event, *_] = await activity(laptop)
    assert (event["kind"], event["device"]) == ("session.ended", "Phone")
    assert event["data"] == {"reason": "signed_out_elsewhere", "ended_by": "Laptop"}
    assert event["ip"] == "203.0.113.7"


async def test_activity_tells_each_reason_of_an_ending(house: House) -> None:
    """Signed out, replaced, password changed: each ending has its own reason, once."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    await phone.login(ADA)
    await (await house.native()).call("DELETE", "/v1/sessions/current")
    change = {"current_password": PASSWORD, "new_password": "an entirely new long password"}
    assert (await laptop.call("POST", "/v1/me/password", json=change)).status_code == 204
    events = await activity(laptop)
    reasons = [event["data"]["reason"] for event in events if event["kind"] == "session.ended"]
    assert sorted(reasons) == ["password_changed", "replaced", "signed_out"]
    assert kinds(events).count("password.changed") == 1


async def test_activity_tells_a_reuse(house: House) -> None:
    """A stolen refresh token is told with the thief's address, beside the end of the session it cost; later tries are
    refusals."""
    await house.register()
    phone = await house.native(name="Phone")
    stolen = phone.refresh_token
    await phone.refresh()
    assert (await phone.get("/v1/me")).status_code == 200
    house.clock.move(31)
    thief = NativeClient(house.http("curl/8", ip="198.51.100.66"))
    assert (await thief.refresh(stolen)).json()["code"] == "token_reused"
    assert (await thief.refresh(stolen)).json()["code"] == "token_reused"
    events = await activity(await house.native())
    assert sorted(kinds(events)[1:4]) == ["refresh.refused", "session.ended", "token.reused"]
    [reuse] = [event for event in events if event["kind"] == "token.reused"]
    assert (reuse["ip"], reuse["device"], reuse["data"]["user_agent"]) == ("198.51.100.66", "Phone", "curl/8")
    [ending] = [event for event in events if event["kind"] == "session.ended"]
    assert ending["data"]["reason"] == "reused"
    assert stolen not in str(await house.rows("SELECT * FROM audit_event"))


async def test_activity_tells_a_refused_refresh(house: House) -> None:
    """A refresh with the token of an ended session is told with its reason; a forged one is nobody's and is not."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    await laptop.call("POST", "/v1/devices/logout-others")
    await phone.refresh()
    await phone.refresh("cct_r_" + "A" * 76)
    [refused] = [event for event in await activity(laptop) if event["kind"] == "refresh.refused"]
    assert refused["data"] == {"code": "session_revoked"}


async def test_activity_is_the_callers_own(house: House) -> None:
    """Nobody sees another account's events, whatever he asks for."""
    await house.register()
    await house.register(MALLORY)
    ada, mallory = await house.native(), await house.native(MALLORY)
    [newest, *_] = await activity(ada)
    assert await activity(mallory, f"?after={newest['id']}") == (await activity(mallory))[1:]
    for query in ("", "?after=999999999", "?account_id=1", "?limit=100"):
        assert kinds(await activity(mallory, query)) == ["session.started", "account.registered"]
    assert (await house.http().get("/v1/me/activity")).status_code == 401


async def test_activity_comes_in_pages(house: House) -> None:
    """`next` of one page is `after` of the following: every event once, in order, though new ones arrive meanwhile."""
    await house.register()
    phone = await house.native()
    for _ in range(6):
        await phone.login(ADA)
    whole = [event["id"] for event in await activity(phone)]
    assert len(whole) == 14  # one registration, seven beginnings, six endings
    seen: list[str] = []
    after = ""
    while True:
        page = (await phone.get(f"/v1/me/activity?limit=5{after}")).json()
        assert len(page["events"]) <= 5
        seen += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
        await house.native()  # something new at the top
    assert seen == whole


async def test_activity_refuses_a_cursor_it_did_not_give(house: House) -> None:
    """A cursor or page size that is none is 422, and is not echoed."""
    await house.register()
    phone = await house.native()
    for query in ("after=zq", "after=-1", "after=1e9", "after=²", "after=%00", "after=" + "9" * 30, "after=1;--"):
        answer = await phone.get(f"/v1/me/activity?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after"), query
        assert query.split("=")[1] not in answer.text
    for query in ("limit=0", "limit=101", "limit=x", "limit=-1", "limit=1.5", "limit=" + "9" * 5_000):
        assert (await phone.get(f"/v1/me/activity?{query}")).status_code == 422, query


GOOD = {"email": "zq-ada@example.test", "password": "zq-marked-password-one"}
MARKED = ["zq-ada", "zq-marked", "zq-wrong-password", "zq-typed-by-mistake", "zq-mark-in-bearer", "zq-in-the-query"]


def test_log_lines_are_json_without_any_secret(tmp_path: Path) -> None:
    """At level debug a round of sign-ins, refreshes, a reuse, refusals and logouts leaves one JSON object a line, and
    in none of them a password, token, cookie, query or address."""
    with serving(tmp_path / "log", data_dir=tmp_path / "data", log_level="debug", race_window=1) as live:
        with httpx2.Client(base_url=live.url) as http:
            secrets = [*MARKED, *_phone_round(http), *_browser_round(http, live.origin)]
        text = live.log.read_text()
    lines = text.splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert all({"at", "level", "event"} <= set(one) for one in events)
    told = [line for line in lines if not line.startswith("{")]
    assert lines[: len(told)] == told  # what `serve` says to a person before it begins
    happened = {one["event"] for one in events}
    assert {"account.registered", "session.started", "session.ended", "login.failed", "token.reused"} <= happened
    assert [one["path"] for one in events if "forged" in one.get("path", "")] == ['/v1/x\n{"level": "forged"}']
    assert len(secrets) > 15
    assert not [secret for secret in secrets if secret in text]
    assert "cct_" not in text
    # Header and payload of a JWT begin alike in all of ours; three letters of them may stand in any random id.
    tokens = [secret for secret in secrets if secret.count(".") == 2]
    assert tokens
    assert not [part[:16] for token in tokens for part in token.split(".")[:2] if part[:16] in text]


def _phone_round(http: httpx2.Client) -> list[str]:
    """What a person does with a phone, and a thief with her old token; gives back what was secret on the wire."""
    assert http.post("/v1/accounts", json=GOOD).status_code == 201
    http.post("/v1/native/login", json=GOOD | {"password": "zq-wrong-password"})
    http.post("/v1/native/login", json={"email": "zq-typed-by-mistake@example.test", "password": "x"})
    http.get("/v1/me?token=zq-in-the-query", headers={"Authorization": "Bearer zq-mark-in-bearer"})
    http.get("/v1/x%0a%7B%22level%22:%20%22forged%22%7D")
    grants = [http.post("/v1/native/login", json=GOOD).json()]
    stolen = grants[0]["refresh_token"]
    form = {"grant_type": "refresh_token"}
    for _ in range(3):
        grants.append(http.post("/oauth/token", data=form | {"refresh_token": grants[-1]["refresh_token"]}).json())
    http.get("/v1/me", headers={"Authorization": f"Bearer {grants[-1]['access_token']}"})
    deadline = time.monotonic() + 10
    while http.post("/oauth/token", data=form | {"refresh_token": stolen}).json().get("code") != "token_reused":
        assert time.monotonic() < deadline
        time.sleep(0.1)  # until the race window of a second is over: this clock can't be moved
    last = http.post("/v1/native/login", json=GOOD).json()
    http.post("/oauth/revoke", data={"token": last["refresh_token"]})
    tokens = [grant[name] for grant in (*grants, last) for name in ("access_token", "refresh_token")]
    return [*tokens, grants[0]["device_token"], last["device_token"]]


def _browser_round(http: httpx2.Client, origin: str) -> list[str]:
    """The same in a browser, through both its doors."""
    secrets: list[str] = []
    for door, after in (("spa", ("refresh", "logout")), ("web", ("logout",))):
        page = {"Origin": origin, "X-Coatcheck-Client": door}
        login = http.post(f"/v1/{door}/login", json=GOOD, headers=page)
        cookies = dict(line.split(";")[0].split("=", 1) for line in login.headers.get_list("set-cookie"))
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        token = login.json().get("csrf_token", "")
        for call in after:
            answer = http.post(f"/v1/{door}/{call}", headers=page | sent | {"X-CSRF-Token": token})
            assert answer.is_success, answer.text
        secrets += [*cookies.values(), login.json().get("access_token", token)]
    return secrets
