"""Bad input: whatever arrives at any route that takes JSON, the answer is the contract's problem and echoes nothing."""

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from coatcheck.errors import FieldError
from coatcheck.routes import problems
from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, NativeClient
from tests.live import Live, serving

MARKER = "zqMARKERqz"  # whatever we send holds it; no answer may
JSON = {"Content-Type": "application/json"}
LIMITS_OFF = {"limit_login": "off", "limit_register": "off"}


@dataclass
class Target:
    """One route that takes JSON, with headers that let a request reach it and a body it would take."""

    method: str
    path: str
    headers: dict[str, str]
    good: dict[str, Any]
    needs_more: bool  # than an empty object
    needs_one: bool  # a body at all


SAMPLES: dict[str, Any] = {
    "email": "new@example.test",
    "name": "A name",
    "device": {"name": "Phone"},
    "method": "totp",
    "code": "123456",
    "credential": {},
    "session_id": "ses_x",
    "role": "support",
    "disabled": False,
    "after": None,
    "limit": 10,
    "keep": True,
}


def targets(house: House, phone: NativeClient, device: str) -> list[Target]:
    """Every operation of the OpenAPI document with a JSON body."""
    document = house.app.openapi()
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" not in content:
                continue
            described = content["application/json"]["schema"]
            described = described.get("anyOf", [described])[0]  # a body that may be missing is described as one of two
            schema = document["components"]["schemas"][described["$ref"].split("/")[-1]]
            headers = {"Authorization": f"Bearer {phone.access_token}"}
            if path.startswith(("/v1/spa/", "/v1/web/")):
                headers = {"Origin": URL, "X-Coatcheck-Client": path.split("/")[2]}
            good = {name: SAMPLES.get(name, PASSWORD) for name in schema["properties"]}
            for name, own in (("device_id", device), ("account_id", phone.grant["account"]["id"])):
                path = path.replace(f"{{{name}}}", own)  # noqa: PLW2901  # filled in
            needs_one = bool(operation["requestBody"].get("required"))
            found.append(Target(method.upper(), path, headers, good, bool(schema.get("required")), needs_one))
    return found


async def everything(house: House) -> list[Target]:
    await house.register()
    await house.rows("UPDATE account SET roles = 'admin'")  # others' bodies are not looked at under /v1/admin
    phone = await house.native()
    [device] = (await phone.get("/v1/devices")).json()["devices"]
    return targets(house, phone, device["id"])


async def send(house: House, target: Target, content: bytes, **headers: str) -> httpx2.Response:
    sent = target.headers | JSON | headers
    return await house.http().request(target.method, target.path, content=content, headers=sent)


def check(answer: httpx2.Response, *statuses: int) -> None:
    """The contract's problem, with one of these statuses, that tells nothing of what was sent."""
    assert answer.status_code in statuses, (answer.request.url, answer.request.content[:80], answer.text)
    problem = answer.json()
    codes = {400: "malformed_request", 413: "body_too_large", 415: "unsupported_media_type", 422: "invalid_request"}
    assert problem["code"] in (codes.get(answer.status_code), "weak_password")
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "code", "detail"} <= set(problem) <= {*problem, "errors"}
    assert problem["status"] == answer.status_code
    assert ("errors" in problem) == (answer.status_code == 422)
    assert answer.headers["cache-control"] == "no-store"
    assert MARKER.lower() not in (answer.text + str(answer.headers)).lower()


async def rows(house: House) -> list[Any]:
    return [await house.rows(f"SELECT * FROM {table} ORDER BY id") for table in ("account", "device", "session")]


def malformed() -> list[bytes]:
    marker = MARKER.encode()
    return [
        *(b"", b" ", marker, b"{", b'{"email": "' + marker, b"{'email': 1}", b'{"email":1,}', b"[" * 30_000),
        *(b'{"a":' * 9_000 + b"1" + b"}" * 9_000, b'{"email": NaN}', b'{"email": Infinity}', b"-Infinity"),
        *(b'{"email": "\xff' + marker + b'"}', b'{"email": "\xed\xa0\x80"}', "{}".encode("utf-16"), b"\xef\xbb\xbf{}"),
        *(b'{"email": "a", "email": "' + marker + b'"}', b'{"x": {"y": 1, "y": 2}}', b"9" * 5_000),
        *(b'{"email": ' + b"9" * 5_000 + b"}", b'{"email": "a\nb"}', b'{"email": 1} {"email": 2}', b"{}\0", b"\0"),
    ]


async def test_bad_json_is_malformed(open_house: OpenHouse) -> None:
    """Broken, repeated-name, endless, NaN and wrongly encoded JSON is 400 (an empty body may be 422) at every route."""
    async with open_house(**LIMITS_OFF) as house:
        routes = await everything(house)
        assert len(routes) >= 7
        before = await rows(house)
        for target in routes:
            for content in [one for one in malformed() if one or target.needs_one]:
                check(await send(house, target, content), *((400, 422) if not content.strip() else (400,)))
        assert await rows(house) == before


WRONG: list[Any] = [
    *(1, 0, -1, 1.5, True, [MARKER], {"$ne": MARKER}, [], {}, f"\0{MARKER}", f"\ud800{MARKER}", f"{MARKER}\udfff"),
    *(10**4_000, f"{MARKER}" * 1_000),
]


async def test_bad_values_are_named_not_echoed(open_house: OpenHouse) -> None:
    """A wrong type, NUL, a lone surrogate or endless text in any field of any route is 422 under that field's name."""
    async with open_house(**LIMITS_OFF) as house:
        routes = await everything(house)
        before = await rows(house)
        for target in routes:
            for name in target.good:
                for value in WRONG:
                    if (name, value) == ("device", {}) or (name == "credential" and isinstance(value, dict)):
                        continue
                    if value is True and name in ("disabled", "keep"):
                        continue
                    if value == 1 and name == "limit":
                        continue
                    answer = await send(house, target, json.dumps(target.good | {name: value}).encode())
                    check(answer, 422)
                    assert {error["field"].split(".")[0] for error in answer.json()["errors"]} == {name}
        assert await rows(house) == before


async def test_bad_shapes_are_refused(open_house: OpenHouse) -> None:
    """A body that is no object, lacks a field or brings an unknown one is 422; of the unknown one the name is told."""
    async with open_house(**LIMITS_OFF) as house:
        for target in await everything(house):
            shapes: list[Any] = [None, [], [MARKER], MARKER, 1, True, {}, [target.good]]
            for value in shapes:
                if (value == {} and not target.needs_more) or (value is None and not target.needs_one):
                    continue
                check(await send(house, target, json.dumps(value).encode()), 422)
            for name in ("roles", "__proto__", "constructor", "a\0b", "\ud800", "x" * 500, ""):
                answer = await send(house, target, json.dumps(target.good | {name: MARKER}).encode())
                check(answer, 422)
                assert len(answer.content) < 2_000
            answer = await send(house, target, json.dumps(target.good | {"roles": MARKER}).encode())
            assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [("roles", "unknown_field")]


async def test_bad_password_is_not_echoed(house: House) -> None:
    """A password that is refused for its length, and one in the wrong place, stay out of the answer."""
    for body in (
        {"email": "a@example.test", "password": MARKER},
        {"email": MARKER + PASSWORD, "password": PASSWORD},
        {"password": MARKER},
        {"email": "a@example.test", "password": MARKER * 200},
    ):
        check(await house.http().post("/v1/accounts", json=body), 422)


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """A body that is sent without saying how long it is."""
    yield body


async def test_bad_content_type_is_refused(open_house: OpenHouse) -> None:
    """A body that does not say it is JSON, or says it twice, is refused; a charset after the type is fine."""
    async with open_house(**LIMITS_OFF) as house:
        for target in await everything(house):
            good = json.dumps(target.good | {"unknown": 1}).encode()
            for kind in ("text/plain", "text/json", "application/x-www-form-urlencoded", f"{MARKER}/x", "", "json"):
                check(await send(house, target, good, **{"Content-Type": kind}), 415)
            bare = await house.http().request(target.method, target.path, content=good, headers=target.headers)
            check(bare, 415)
            headers = httpx2.Headers([*target.headers.items(), ("Content-Type", "text/plain")])
            check(await house.http().request(target.method, target.path, content=chunks(good), headers=headers), 415)
            twice = httpx2.Headers([*target.headers.items(), *([("Content-Type", "application/json")] * 2)])
            check(await house.http().request(target.method, target.path, content=good, headers=twice), 400)
            check(await send(house, target, good, **{"Content-Type": "Application/JSON; charset=utf-8"}), 422)


async def test_big_bodies_are_not_read_to_the_end(open_house: OpenHouse) -> None:
    """A 50 MB body gets 413 and is not taken in, whether or not it says how long it is; 64 KiB are read."""
    async with open_house(**LIMITS_OFF) as house:
        for target in await everything(house):
            read = 0

            async def endless() -> AsyncIterator[bytes]:
                nonlocal read
                yield b'{"email": "'
                for _ in range(800):
                    read += 1
                    yield MARKER.encode() * 6_400

            http, headers = house.http(), target.headers | JSON
            check(await http.request(target.method, target.path, content=endless(), headers=headers), 413)
            assert read < 20
            check(await send(house, target, b'{"email": "' + b"x" * 65_000 + b'"}'), 422)


async def test_big_bodies_are_refused_by_their_length(open_house: OpenHouse) -> None:
    """A body whose Content-Length is too long gets the same 413 problem, at routes that take no body too, and at
    OAuth's addresses in their own shape."""
    async with open_house(**LIMITS_OFF) as house:
        for target in await everything(house):
            check(await send(house, target, b"x" * 70_000), 413)
        app = await house.spa()
        check(await app.post("/v1/spa/logout", content=b"x" * 70_000, headers=JSON), 413)
        answer = await house.http().post("/oauth/token", data={"grant_type": "x" * 70_000})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.json()["error"] == "invalid_request"
        assert (await app.refresh()).status_code == 200


# -- on the wire -------------------------------------------------------------------------------------------------------


def spoken(live: Live, sent: bytes) -> bytes:
    """What the server says to these bytes; empty when it hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        while part := connection.recv(65_536):
            answer += part
            head, complete, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if complete and length and len(body) >= int(length[1]):
                break
    return answer


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1") + body


def wire_cases() -> list[tuple[bytes, tuple[int, ...]]]:
    get, host, post = "GET /v1/me HTTP/1.1", "Host: localhost", "POST /v1/accounts HTTP/1.1"
    chunked = b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n"
    kind = "Content-Type: application/json"
    return [
        (request(get, host, f"Authorization: Bearer {MARKER * 7_000}"), (431,)),
        (request(get, host, *(f"X-{n}: {MARKER * 10}" for n in range(400))), (431, 400)),
        (request(get, host, f"Cookie: __Host-coatcheck-session={MARKER * 4_000}"), (431,)),
        (request(get, host, f"Authorization: Bearer {MARKER}"), (401,)),
        (request(post, host, kind, "Transfer-Encoding: chunked", "Connection: close", body=chunked), (413,)),
        (request(post, host, kind, "Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), (400,)),
        (request(post, host, kind, "Content-Length: -1", body=b"{}"), (400,)),
        (request(f"GET /v1/{'x' * 70_000} HTTP/1.1", host), (404, 400, 414, 431)),
        (request(get, f"Host: {MARKER}/v1/../x:99999999"), (401, 400)),
        (request(get, "Host: a b\x01"), (401, 400)),
        (request(get, "Host: a", "Host: b"), (401, 400)),
        (request(get), (401, 400)),
        (request(f"GET http://{MARKER}/v1/me HTTP/1.1", host), (401, 400, 404)),
        (request("GET //v1/../v1/me HTTP/1.1", host), (400, 404)),
        (request("GET /v1/%00%ff%2e%2e/me HTTP/1.1", host), (400, 404)),
        (request(get, host, f"User-Agent: \0{MARKER}"), (400, 401)),
        (request(get, host, "Bad Header: x"), (400, 401)),
        (request(f"{MARKER} /v1/me HTTP/1.1", host), (400, 404, 405)),
        (request("GET /v1/me HTTP/9.9", host), (400, 401, 505)),
        (MARKER.encode() * 100, (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    ]


def test_bad_requests_on_the_wire_never_break_the_server(tmp_path: Path) -> None:
    """Huge headers, unframed bodies, junk hosts and broken requests get a 4xx or a closed connection; nothing is
    echoed or logged, and the server answers the next person."""
    with serving(tmp_path / "log", data_dir=tmp_path / "data") as live:
        for sent, statuses in wire_cases():
            answer = spoken(live, sent)
            status = int(answer.split(b" ", 2)[1]) if answer else 0
            assert status in (0, *statuses), (sent[:120], answer)
            assert MARKER.encode() not in answer
            assert b"\r\nserver:" not in answer.lower()
            if status == 431:
                assert b'"code":"headers_too_large"' in answer
        assert httpx2.get(f"{live.url}/healthz").status_code == 200
        log = live.log.read_text()
        assert '"level": "error"' not in log
        assert "Traceback" not in log
        assert MARKER not in log


async def test_bad_input_names_at_most_twenty_fields(house: House) -> None:
    """An answer names 20 wrong fields and says that there were more; exactly 20 are all there are."""
    for count, named, more in ((19, 19, None), (20, 20, None), (21, 20, True), (97, 20, True)):
        body = {"email": "new@example.test", "password": PASSWORD} | {f"unknown{n}": n for n in range(count)}
        answer = await house.http().post("/v1/accounts", json=body)
        assert answer.status_code == 422
        told = answer.json()
        assert (len(told["errors"]), told.get("more_errors")) == (named, more)
    assert await house.rows("SELECT id FROM account") == []


async def test_bad_input_with_many_names_is_not_validated(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of more than 100 names, nested or not, is malformed before pydantic looks at any of them."""
    validated: list[object] = []

    def note(one: object) -> FieldError:
        validated.append(one)
        return FieldError("x", "x", "x")

    monkeypatch.setattr(problems, "field_error", note)
    many = {f"unknown{n}": n for n in range(101)}
    for body in (many, {"device": many}, {"device": {"x": [many]}}):
        answer = await house.http().post("/v1/accounts", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert validated == []


async def test_bad_input_with_many_parameters_is_malformed(house: House) -> None:
    """A query of more than 100 parameters is refused before it is read; one of 100 is not."""
    await house.register()
    phone = await house.native()
    for count, status in ((100, 200), (101, 400)):
        query = "&".join(f"unknown{n}=1" for n in range(count))
        assert (await phone.get(f"/v1/devices?{query}")).status_code == status
