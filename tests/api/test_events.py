"""The account's event stream: what was missed is told, nobody can hold too many, and no reader holds anything up."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from coatcheck import account_events, ids
from coatcheck.account_events import Listener
from coatcheck.revocation import Event
from coatcheck.routes import streams
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, House, MovableClock, NativeClient
from tests.live import Live, serving

Told = dict[str, str]


@asynccontextmanager
async def _stream(live: Live, client: NativeClient, last_id: str = "") -> AsyncIterator[AsyncGenerator[Told, None]]:
    """The blocks of a stream, each as its fields; comments left out."""
    headers = {"Authorization": f"Bearer {client.access_token}"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with (
        httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=20) as http,
        http.stream("GET", "/v1/events") as answer,
    ):
        assert answer.status_code == 200
        async with aclosing(_blocks(answer)) as blocks:
            yield blocks


async def _blocks(answer: httpx2.Response) -> AsyncGenerator[Told, None]:
    block: Told = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name:
            block[name] = value
        elif block:
            yield block
            block = {}


@pytest.fixture
def live(servers: Stores, tmp_path: Path) -> Iterator[Live]:
    """`coatcheck serve --workers 2`."""
    with serving(tmp_path / "log", workers=2, **servers) as running:
        yield running


async def _signed_in(live: Live, email: str) -> tuple[httpx2.AsyncClient, NativeClient]:
    # A connection a request, so that both workers answer.
    http = httpx2.AsyncClient(base_url=live.url, limits=httpx2.Limits(max_keepalive_connections=0), timeout=20)
    await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    return http, await NativeClient(http).login(email)


async def test_events_resume_on_any_worker(live: Live) -> None:
    """Whoever comes back with the last id is told what happened meanwhile, on whichever worker, once, and nothing of
    another account; every event has the same id everywhere."""
    http, phone = await _signed_in(live, "ada@example.test")
    async with _stream(live, phone) as blocks:
        begun = await asyncio.wait_for(anext(blocks), 30)
        assert begun["retry"]
    other, _ = await _signed_in(live, "bob@example.test")
    sessions = {(await NativeClient(http).login("ada@example.test")).session_id for _ in range(3)}
    seen: set[tuple[str, ...]] = set()
    for _ in range(8):  # on both workers, most likely
        async with _stream(live, phone, begun["id"]) as blocks:
            assert "retry" in await asyncio.wait_for(anext(blocks), 30)
            told = [await asyncio.wait_for(anext(blocks), 30) for _ in range(3)]
            while "missed" in {block["event"] for block in told}:
                told = [block for block in told if block["event"] != "missed"]
                told.append(await asyncio.wait_for(anext(blocks), 30))
        assert {json.loads(block["data"])["session_id"] for block in told} == sessions
        assert {block["event"] for block in told} == {"session.started"}
        seen.add(tuple(sorted(block["id"] for block in told)))
    assert len(seen) == 1
    await http.aclose()
    await other.aclose()


def _event(house: House, account_id: bytes, kind: str = "session.started") -> Event:
    session_id = ids.new()
    return Event(kind, account_id, session_id, {"session_id": ids.text("ses", session_id)}, house.clock.now())


def _waiting(listener: Listener) -> list[bytes]:
    """Sessions of the events that wait for this reader."""
    return [event.session_id for event in listener._queue._queue if event]  # type: ignore[attr-defined]


async def test_events_resume_tells_what_came_later(house: House) -> None:
    """What came after the id is told, in order, and what happened long before is not; an id that was given before
    anything happened serves as well."""
    events, account = house.desk.feed.events, ids.new()
    with events.listening(account, None) as first:
        begun = first.cursor
    published = [_event(house, account)]
    await house.desk.feed.publish(published[0])
    for _ in range(3):
        house.clock.move(60)
        published.append(_event(house, account))
        await house.desk.feed.publish(published[-1], _event(house, ids.new()))
    every = [event.session_id for event in published]
    for number, event in enumerate(published):
        with events.listening(account, account_events.identify(event)) as listener:
            assert (_waiting(listener), listener.missed) == (every[number + 1 :], False)
    with events.listening(account, begun) as listener:
        assert (_waiting(listener), listener.missed) == (every, False)
        assert listener.cursor == account_events.identify(published[-1])


async def test_events_resume_hears_the_late_of_another_clock(house: House) -> None:
    """An event that was heard after the last one seen is told although, by its worker's clock, it happened before."""
    events, account = house.desk.feed.events, ids.new()
    seen = _event(house, account)
    house.clock.move(-40)
    late = _event(house, account)
    house.clock.move(40)
    await house.desk.feed.publish(seen)
    await house.desk.feed.publish(late)
    with events.listening(account, account_events.identify(seen)) as listener:
        assert _waiting(listener) == [late.session_id]


@pytest.mark.parametrize("last_id", ["1700000000000-0", "nonsense", "9" * 60, "-", "٣-0"])
async def test_events_resume_owns_up_to_what_it_does_not_know(house: House, last_id: str) -> None:
    """With an id from before this worker's memory, or none of ours, `missed` says so, and what is known follows."""
    account = ids.new()
    event = _event(house, account)
    await house.desk.feed.publish(event)
    with house.desk.feed.events.listening(account, last_id) as listener:
        assert listener.missed
        assert _waiting(listener) == [event.session_id]


async def test_events_resume_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account's fifty last events are kept, and so many accounts'; who wants more is told that some are missing."""
    events, account = house.desk.feed.events, ids.new()
    with events.listening(account, None) as first:
        begun = first.cursor
    house.clock.move(60)
    published = [_event(house, account) for _ in range(60)]
    for event in published:
        events.tell(event)
    with events.listening(account, begun) as listener:
        assert listener.missed
        assert _waiting(listener) == [event.session_id for event in published[10:]]
    monkeypatch.setattr(account_events, "_MOST_ACCOUNTS", 3)
    for _ in range(5):
        events.tell(_event(house, ids.new()))
    assert len(events._kept) == 3
    with events.listening(account, begun) as listener:
        assert (_waiting(listener), listener.missed) == ([], True)


async def test_events_heard_twice_are_told_once(house: House) -> None:
    """An ending that is published, comes back from the stream and is swept is one event."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    account_id = ids.raw("acc", phone.grant["account"]["id"])
    assert account_id
    with house.desk.feed.events.listening(account_id, None) as listener:
        await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        house.desk.feed._ended.clear()
        await house.desk.feed._sweep()
        assert len(_waiting(listener)) == 1


# -- bounds ----------------------------------------------------------------------------------------------------------


async def test_events_streams_are_bounded(open_house: OpenHouse) -> None:
    """Over twenty of an account: 429; over what a worker holds: 503; both say when to come back, and a place that was
    given back can be taken again."""
    async with open_house(event_streams=25) as house:
        await house.register()
        await house.register("bob@example.test")
        phone, other = await house.native(), await house.native("bob@example.test")
        account_id = ids.raw("acc", phone.grant["account"]["id"])
        assert account_id
        with ExitStack() as places:
            for _ in range(20):
                places.enter_context(house.desk.feed.events.listening(account_id, None))
            answer = await phone.get("/v1/events")
            assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
                429,
                "rate_limited",
                "60",
            )
            for _ in range(5):
                places.enter_context(house.desk.feed.events.listening(ids.new(), None))
            answer = await other.get("/v1/events")
            assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
                503,
                "unavailable",
                "30",
            )
        assert (house.desk.feed.events.open, house.desk.feed.events._room) == (0, 25)
        assert house.desk.feed.events._listeners == {}  # nobody who was refused is remembered
        with house.desk.feed.events.listening(account_id, None):
            assert house.desk.feed.events.open == 1


async def _asgi(house: House, client: NativeClient, takes: int) -> list[Message]:
    """What the application sends on a stream to a reader that takes so many messages and then nothing more."""
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {client.access_token}".encode())],
        "client": ("203.0.113.7", 4_000),
    }

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) >= takes:
            await asyncio.Event().wait()

    await asyncio.wait_for(house.app(scope, receive, send), 20)
    return sent


async def test_events_slow_reader_is_dropped_and_nothing_buffered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that takes nothing in is cut off, holds no more than a hundred events meanwhile, and its place is free
    again; others hear everything."""
    monkeypatch.setattr(streams, "PATIENCE", 1.0)
    await house.register()
    phone = await house.native()
    account_id = ids.raw("acc", phone.grant["account"]["id"])
    assert account_id
    events = house.desk.feed.events
    stuck = asyncio.create_task(_asgi(house, phone, takes=3))
    deadline = time.monotonic() + 30
    while not events.open:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    (slow,) = events._listeners[account_id]
    with events.listening(account_id, None) as quick:
        for _ in range(300):
            await house.desk.feed.publish(_event(house, account_id))
            assert await quick.next(5)
        assert not quick.lost
        assert slow.lost
        assert len(_waiting(slow)) <= 100
        sent = await stuck
        assert len(sent) == 3
        assert events.open == 1


async def test_events_who_lies_too_far_behind_is_dropped(house: House) -> None:
    """A stream whose reader falls a hundred events behind ends, and tells what it still had."""
    with house.desk.feed.events.listening(account := ids.new(), None) as listener:
        await house.desk.feed.publish(*(_event(house, account) for _ in range(101)))
        assert listener.lost


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_events_streams_end_when_the_server_stops(embedded: Stores, tmp_path: Path) -> None:
    """Asked to stop, the server ends its streams in good order, says when to come back, and need not break off any."""
    with serving(tmp_path / "log", **embedded) as live:
        http, phone = await _signed_in(live, "ada@example.test")
        async with (
            _stream(live, phone) as blocks,
            httpx2.AsyncClient(base_url=live.url, timeout=20) as reader,
            reader.stream("GET", "/v1/revocations/stream") as lists,
        ):
            await asyncio.wait_for(anext(blocks), 30)
            chunks = lists.aiter_bytes()
            await asyncio.wait_for(anext(chunks), 30)
            live.process.send_signal(signal.SIGTERM)
            last = [block async for block in blocks]
            _ = [chunk async for chunk in chunks]  # raises when it breaks off
            assert [500 <= int(block["retry"]) <= 4_000 for block in last] == [True]
        await http.aclose()
        await asyncio.to_thread(live.process.wait, 30)
        assert "shutdown exceeded" not in live.log.read_text()


async def test_events_end_with_the_credential(house: House, clock: MovableClock) -> None:
    """A stream lasts no longer than its access token would be believed: then the client brings a new one."""
    await house.register()
    phone = await house.native()
    clock.move(599)
    task = asyncio.create_task(_asgi(house, phone, takes=100))
    deadline = time.monotonic() + 30
    while not house.desk.feed.events.open:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    clock.move(10)
    account_id = ids.raw("acc", phone.grant["account"]["id"])
    assert account_id
    await house.desk.feed.publish(_event(house, account_id))  # wakes it
    sent = await task
    assert not sent[-1]["more_body"]
    assert house.desk.feed.events.open == 0
