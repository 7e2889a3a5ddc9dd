"""Every answer, good or bad: its shape, its security headers, and that no cache keeps it."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, NativeClient, SpaClient, hashing_held_up
from tests.live import serving

ADA = "ada@example.test"
WEB_PAGE = {"Origin": URL, "X-Coatcheck-Client": "web"}


def problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == status
    assert answer.json()["type"].endswith(code)
    assert all(answer.json()[member] for member in ("title", "detail"))


async def one_of_each(house: House) -> dict[str, httpx2.Response]:
    """Answers of every kind, by a name."""
    http = house.http()
    register = await http.post("/v1/accounts", json={"email": ADA, "password": PASSWORD})
    taken = await http.post("/v1/accounts", json={"email": ADA, "password": PASSWORD})
    phone, app, web = await house.native(), await house.spa(), await house.web()
    form = {"grant_type": "refresh_token", "refresh_token": phone.refresh_token}
    return {
        "201": register,
        "409": taken,
        "login": await http.post("/v1/native/login", json={"email": ADA, "password": PASSWORD}),
        "spa login": await app.post("/v1/spa/login", json={"email": ADA, "password": PASSWORD}),
        "spa refresh": await app.post("/v1/spa/refresh"),
        "web login": await http.post("/v1/web/login", json={"email": ADA, "password": PASSWORD}, headers=WEB_PAGE),
        "web session": await web.get("/v1/web/session"),
        "oauth": await http.post("/oauth/token", data=form),
        "oauth refusal": await http.post("/oauth/token", data={"grant_type": "password"}),
        "revoke": await http.post("/oauth/revoke", data={"token": "x"}),
        "me": await phone.get("/v1/me"),
        "devices": await phone.get("/v1/devices"),
        "current": await phone.get("/v1/sessions/current"),
        "activity": await phone.get("/v1/me/activity"),
        "204": await web.call("POST", "/v1/web/logout"),
        "401": await http.get("/v1/me"),
        "403": await http.post("/v1/spa/refresh"),
        "404": await http.get("/v1/unknown"),
        "405": await http.put("/v1/me"),
        "413": await http.post("/v1/accounts", content=_chunks(), headers={"Content-Type": "application/json"}),
        "415": await http.post("/v1/accounts", content="x"),
        "422": await http.post("/v1/accounts", json={}),
        "431": await http.get("/v1/me", headers={"X": "y" * 33_000}),
    }


async def _chunks() -> Any:
    for _ in range(20):
        yield b" " * 10_000


async def public(house: House) -> dict[str, httpx2.Response]:
    paths = ["/", "/unknown", "/healthz", "/readyz", "/.well-known/jwks.json", "/openapi.json"]
    paths += ["/.well-known/oauth-authorization-server"]
    return {path: await house.http().get(path) for path in paths}


async def test_answers_carry_the_security_headers(house: House) -> None:
    """No answer can be sniffed, framed or leaked by a referrer, and over https the browser is told to stay there."""
    for name, answer in (await one_of_each(house) | await public(house)).items():
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert "max-age=" in headers["strict-transport-security"], name
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, name
        assert "frame-ancestors 'none'" in policy, name
        assert "unsafe" not in policy, name
        assert not {"server", "x-powered-by"} & set(headers), name


async def test_answers_about_people_are_not_cached(house: House) -> None:
    """Token, session, account and error answers say `no-store`; published keys may be kept for a while."""
    for name, answer in (await one_of_each(house)).items():
        assert answer.headers["cache-control"] == "no-store", name
    known = await public(house)
    assert "max-age=" in known["/.well-known/jwks.json"].headers["cache-control"]
    assert "set-cookie" not in known["/.well-known/jwks.json"].headers


async def test_answers_do_not_depend_on_the_host_header(house: House) -> None:
    """No answer repeats or follows a Host or forwarded host that somebody made up."""
    headers = {
        "Host": "evil.test",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "http",
        "Forwarded": "host=evil.test",
    }
    await house.register()
    phone = await house.native()
    for path in ("/", "/v1/me", "/v1/me/", "/v1", "/.well-known/oauth-authorization-server", "/unknown/"):
        answer = await phone.call("GET", path, headers=headers)
        assert "evil.test" not in answer.text + str(answer.headers)
        assert answer.status_code in (200, 404)


async def test_unauthenticated_answers_name_the_scheme(house: House) -> None:
    """Every 401 tells in WWW-Authenticate that a bearer token is asked for, and is `invalid_token` if one was sent."""
    for path in ("/v1/me", "/v1/devices", "/v1/sessions/current", "/v1/web/session", "/v1/me/activity", "/v1/events"):
        bare = await house.http().get(path)
        problem(bare, 401, "unauthenticated")
        assert bare.headers["www-authenticate"] == 'Bearer realm="coatcheck"'
        junk = await house.http().get(path, headers={"Authorization": "Bearer junk"})
        problem(junk, 401, "token_invalid")
        assert 'error="invalid_token"' in junk.headers["www-authenticate"]
    failed = await house.http().post("/v1/native/login", json={"email": ADA, "password": "x"})
    problem(failed, 401, "invalid_credentials")
    assert failed.headers["www-authenticate"].startswith("Bearer")


UNKNOWN = [
    *("/v1/unknown", "/v1/", "/v1", "/v1/me/", "/v1//me", "//v1/me", "/V1/me", "/v1/ME", "/v1/me/a.css", "/v1/me%2f"),
    *("/v1/me;a=b", "/v1/.env", "/.env", "/.git/config", "/v1/native/login/", "/oauth", "/.well-known/unknown"),
    *(
        "/v1/devices/..%2f..%2fme",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fpyproject.toml",
        "/%00",
        "/docs",
        "/redoc",
    ),
]


async def test_unknown_paths_are_not_found(house: House) -> None:
    """A path that is nobody's, or somebody's misspelt, is 404 without a redirect, even with a credential."""
    await house.register()
    phone = await house.native()
    for path in UNKNOWN:
        answer = await phone.get(path)
        problem(answer, 404, "not_found")
        assert "location" not in answer.headers


async def test_unknown_paths_are_not_found_by_any_method(house: House) -> None:
    """What a GET does not find, no other method is 'not allowed' on: it is not there."""
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        answer = await house.http().request(method, "/v1/unknown", json={})
        problem(answer, 404, "not_found")


async def test_wrong_methods_are_not_allowed(house: House) -> None:
    """A known path asked with a method it does not have is 405, and `Allow` names those it has."""
    for method, path, allowed in (
        ("GET", "/v1/native/login", "POST"),
        ("GET", "/v1/spa/logout", "POST"),
        ("PUT", "/v1/native/login", "POST"),
        ("POST", "/v1/devices", "GET"),
        ("GET", "/v1/me/password", "POST"),
    ):
        answer = await house.http().request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert allowed in answer.headers["allow"]


async def test_busy_and_limited_answers_say_when_to_come_back(open_house: OpenHouse) -> None:
    """429 and 503 carry Retry-After, and a refused sign-in leaves nothing behind."""
    async with open_house(hash_workers=1, hash_queue=0, limit_login="6/minute") as house:
        await house.register()
        right = {"email": ADA, "password": PASSWORD}
        with hashing_held_up(house):  # one has the only place, and nobody may wait
            asked = [asyncio.create_task(house.http().post("/v1/native/login", json=right)) for _ in range(5)]
            finished = asyncio.as_completed(asked)
            for _ in range(4):
                await next(finished)
        answers = await asyncio.gather(*asked)
        busy = [answer for answer in answers if answer.status_code != 200]
        assert busy
        for answer in busy:
            problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        living = await house.rows("SELECT id FROM session WHERE ended_at IS NULL")
        assert len(living) == len(answers) - len(busy)
        wrong = {"email": ADA, "password": "x"}
        limited = [await house.http().post("/v1/native/login", json=wrong) for _ in range(7)][-1]
        problem(limited, 429, "rate_limited")
        assert int(limited.headers["retry-after"]) >= 1


async def test_refused_browser_calls_keep_their_cookies(house: House) -> None:
    """No refusal takes a cookie away: one jar serves all tabs, and an answer may be late."""
    await house.register()
    app = await house.spa()
    assert "set-cookie" not in (await app.http.post("/v1/spa/refresh")).headers
    phone = await house.native()
    await phone.call("DELETE", f"/v1/sessions/{app.session_id}")
    ended = await app.post("/v1/spa/refresh")
    problem(ended, 401, "session_revoked")
    assert "set-cookie" not in ended.headers


def test_a_client_that_hangs_up_is_no_error(tmp_path: Path) -> None:
    """A request whose client goes away in the middle of its body leaves no error in the log and nothing undone."""
    with serving(tmp_path / "log", data_dir=tmp_path / "data") as live:
        head = "POST /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", live.port), timeout=5) as connection:
                connection.sendall(head.encode())
        assert [httpx2.get(f"{live.url}/healthz").status_code for _ in range(5)] == [200] * 5
        assert '"level": "error"' not in live.log.read_text()


async def test_two_applications_in_one_process_share_nothing(open_house: OpenHouse) -> None:
    """Settings of one application do not reach another in the same process."""
    async with open_house(limit_login="1/minute") as strict, open_house(limit_login="off") as open_one:
        await strict.register()
        for house, expected in ((open_one, [401, 401]), (strict, [401, 429])):
            answers = [
                await house.http().post("/v1/native/login", json={"email": ADA, "password": "x"}) for _ in range(2)
            ]
            assert [answer.status_code for answer in answers] == expected
        assert (await NativeClient(open_one.http()).login(ADA)).access_token
        assert (await SpaClient(open_one.http()).login(ADA)).cookie
