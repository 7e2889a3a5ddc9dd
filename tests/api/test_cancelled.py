"""Requests that are broken off at random moments: every answer that arrives is its caller's, nothing is left behind."""

import asyncio
import random
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
import pytest_asyncio

from coatcheck import ids
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, House, NativeClient
from tests.live import Live, serving

AT_ONCE = 8
_FORM = "application/x-www-form-urlencoded"


@pytest_asyncio.fixture
async def house(open_house: OpenHouse) -> AsyncIterator[House]:
    """Refreshes are not counted here; a pool so small that callers wait in line."""
    async with open_house(limit_refresh="off", database_pool=3) as opened:
        yield opened


async def _guests(house: House) -> list[NativeClient]:
    found = []
    for number in range(AT_ONCE):
        await house.register(f"guest{number}@example.test")
        found.append(await house.native(f"guest{number}@example.test"))
    return found


def _own(guest: NativeClient, answer: httpx2.Response, of: str) -> bool:
    """Whether this answer is about this guest."""
    assert answer.status_code == 200, answer.text
    told, session_id = answer.json(), guest.session_id
    match of:
        case "account":
            return bool(told["id"] == guest.grant["account"]["id"])
        case "credential":
            return bool(told["session_id"] == session_id)
        case "devices":
            return [one["id"] for device in told["devices"] for one in device["sessions"]] == [session_id]
        case _:
            return _session_in(told["refresh_token"]) == session_id


def _session_in(refresh_token: str) -> str:
    return ids.text("ses", urlsafe_b64decode(refresh_token[6:])[5:21])


_CALLS: dict[str, Callable[[NativeClient], Awaitable[httpx2.Response]]] = {
    "account": lambda guest: guest.get("/v1/me"),
    "credential": lambda guest: guest.get("/v1/sessions/current"),
    "devices": lambda guest: guest.get("/v1/devices"),
    "grant": lambda guest: guest.refresh(),
}


async def test_cancelled_requests_leave_every_answer_to_its_caller(house: House, cancels: int) -> None:
    """Requests of eight accounts, cancelled at random moments: what is answered is right, and all sessions live on."""
    guests = await _guests(house)
    chance, loop = random.Random(7), asyncio.get_running_loop()
    answered = stopped = 0

    async def visit(guest: NativeClient) -> None:
        nonlocal answered, stopped
        for _ in range(cancels // AT_ONCE):
            of = chance.choice(list(_CALLS))
            if chance.random() < 0.2:
                house.desk.verified_tokens.clear()  # the next credential is verified anew, and acknowledged
            task = asyncio.ensure_future(_CALLS[of](guest))
            if chance.random() < 0.7:
                loop.call_later(chance.random() ** 2 * 0.02, task.cancel)
            try:
                assert _own(guest, await task, of)
                answered += 1
            except asyncio.CancelledError:
                stopped += 1

    await asyncio.gather(*(visit(guest) for guest in guests))
    assert answered > 0
    assert stopped > 0
    await _nothing_is_left(house, guests)


async def _nothing_is_left(house: House, guests: list[NativeClient]) -> None:
    """Every session lives and is refreshed with the token its client kept; each row is its own; no lock is held."""
    await house.desk.presence.flush()
    for guest in guests:
        assert _own(guest, await guest.refresh(), "grant")
        assert _own(guest, await guest.get("/v1/me"), "account")
    rows = await house.rows("SELECT ended_at FROM session")
    assert [row["ended_at"] for row in rows] == [None] * AT_ONCE
    assert await house.audit("token.reused") == []
    await house.register("late@example.test")  # writes: whoever still held a lock would keep it from that


@pytest.fixture
def live(servers: Stores, tmp_path: Path) -> Iterator[Live]:
    """A server with two workers and small pools."""
    with serving(
        tmp_path / "log", workers=2, limit_refresh="off", limit_register="off", database_pool=3, **servers
    ) as running:
        yield running
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_hung_up_connections_leave_every_answer_to_its_caller(live: Live, servers: Stores, cancels: int) -> None:
    """Clients of a real server hang up at random moments, some with half a request: all others are answered right."""
    async with httpx2.AsyncClient(base_url=live.url, trust_env=False, timeout=30) as http:
        guests = [await _sign_up(http, number) for number in range(AT_ONCE)]
    chance, answered = random.Random(9), 0

    async def visit(guest: NativeClient) -> None:
        nonlocal answered
        for _ in range(cancels // AT_ONCE):
            of = chance.choice(list(_RAW))
            if chance.random() < 0.6:
                await _hang_up(live.port, _RAW[of](guest), chance)
                continue
            answer = await _ask(live.port, _RAW[of](guest))
            if answer.status_code == 503:  # more hang up than a small machine can serve: nobody waits for ever
                continue
            assert _own(guest, answer, of)
            answered += 1
            if of == "grant":
                guest.refresh_token = answer.json()["refresh_token"]

    await asyncio.gather(*(visit(guest) for guest in guests))
    assert answered > 0
    for guest in guests:
        for of, written in _RAW.items():  # the connections to the database are all there, and as they should be
            assert _own(guest, await _answered(live.port, written(guest)), of)
    connection = await asyncpg.connect(servers["database_url"])
    assert await connection.fetchval("SELECT count(*) FROM session WHERE ended_at IS NULL") == AT_ONCE
    stuck = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert await connection.fetchval(stuck) == 0
    await connection.close()


async def _sign_up(http: httpx2.AsyncClient, number: int) -> NativeClient:
    credentials = {"email": f"guest{number}@example.test", "password": PASSWORD}
    (await http.post("/v1/accounts", json=credentials)).raise_for_status()
    grant = (await http.post("/v1/native/login", json=credentials)).json()
    return NativeClient(http, grant["access_token"], grant["refresh_token"], grant["device_token"], grant)


def _get(path: str) -> Callable[[NativeClient], bytes]:
    return lambda guest: (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {guest.access_token}\r\n\r\n".encode()
    )


def _refresh(guest: NativeClient) -> bytes:
    form = f"grant_type=refresh_token&refresh_token={guest.refresh_token}"
    head = f"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: {_FORM}\r\nContent-Length: {len(form)}"
    return f"{head}\r\n\r\n{form}".encode()


_RAW: dict[str, Callable[[NativeClient], bytes]] = {
    "account": _get("/v1/me"),
    "credential": _get("/v1/sessions/current"),
    "devices": _get("/v1/devices"),
    "grant": _refresh,
}


async def _hang_up(port: int, request: bytes, chance: random.Random) -> None:
    """Send it, or a part of it, and go at a random moment; half of them with a reset."""
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    transport.write(request[: chance.choice([len(request), len(request), chance.randrange(len(request))])])
    await asyncio.sleep(chance.random() ** 2 * 0.01)
    transport.abort() if chance.random() < 0.5 else transport.close()


async def _answered(port: int, request: bytes) -> httpx2.Response:
    """The answer, once the server has done with what came before."""
    for _ in range(200):
        if (answer := await _ask(port, request)).status_code != 503:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("still unavailable")


async def _ask(port: int, request: bytes) -> httpx2.Response:
    """The answer, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return httpx2.Response(int(head.split(b" ", 2)[1]), content=body)
