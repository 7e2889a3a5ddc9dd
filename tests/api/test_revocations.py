"""The public lists of ended sessions: signed, complete, and never fresher than they are."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx2
import jwt
import pytest
from starlette.types import Message

from coatcheck import ids, migrate, revocation_lists, revocation_streams, settings
from coatcheck.errors import RateLimited
from coatcheck.revocation import Event
from coatcheck.revocation_streams import Reader
from coatcheck.routes import streams
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, SECRET, URL, House, MovableClock, NativeClient, opened
from tests.live import Live, serving
from tests.servers import postgres, redis
from tests.waiting import until

List = dict[str, Any]


def _opened(text: str, jwks: dict[str, Any]) -> List:
    """What a list says, its signature checked against the published keys by PyJWT alone."""
    header = jwt.get_unverified_header(text)
    assert header.keys() == {"typ", "alg", "kid"}
    assert (header["typ"], header["alg"]) == (revocation_lists.TYPE, "ES256")
    key = jwt.PyJWKSet.from_dict(jwks)[header["kid"]]
    return json.loads(jwt.PyJWS().decode(text, key, algorithms=["ES256"]))  # type: ignore[no-any-return]


async def _ask(house: House, **params: str | int) -> List:
    answer = await house.http().get("/v1/revocations", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/coatcheck-revocations+jwt"
    assert answer.headers["Cache-Control"] == "no-store"
    return _opened(answer.text, (await house.http().get("/.well-known/jwks.json")).json())


async def _walk(*houses: House, after: str | None = None, limit: int = 1_000) -> tuple[list[str], str]:
    """The session ids of all lists that follow a cursor, asked of these workers by turns, and the cursor reached."""
    found: list[str] = []
    for turn in range(100):
        params: dict[str, str | int] = {"limit": limit} | ({"after": after} if after else {})
        page = await _ask(houses[turn % len(houses)], **params)
        assert page["after"] == after
        assert len(page["sessions"]) <= limit
        found += [entry["sid"] for entry in page["sessions"]]
        after = page["next"]
        if not page["more"]:
            return found, page["next"]
    raise AssertionError("a walk without end")


async def _end(house: House, session_id: str, ended_at: int) -> None:
    """End a session in the database, and tell nobody."""
    sql = "UPDATE session SET ended_at = $1, end_reason = 'admin' WHERE id = $2 RETURNING id"
    await house.rows(sql, ended_at, ids.raw("ses", session_id))


async def _many(house: House, number: int) -> tuple[NativeClient, set[str]]:
    """A phone, and so many other sessions of its account, which one call has ended in one moment."""
    phone = await house.native()
    others = {(await house.native()).session_id for _ in range(number)}
    assert (await phone.call("POST", "/v1/devices/logout-others")).json() == {"ended": number}
    return phone, others


# -- what a list says ----------------------------------------------------------------------------------------------


async def test_revocations_name_what_has_ended_and_nothing_else(house: House) -> None:
    """A list names the ended session with its moment, not the living one, and says who made it, when and for how long;
    its entries say nothing of the person."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    assert (await _ask(house))["sessions"] == []
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    before = house.clock.now() / 1000
    found = await _ask(house)
    assert found.keys() == {"iss", "iat", "keep", "after", "sessions", "next", "more"}
    [entry] = found["sessions"]
    [row] = await house.rows("SELECT ended_at FROM session WHERE ended_at IS NOT NULL")
    assert entry == {"sid": phone.session_id, "at": row["ended_at"] / 1000}
    assert (found["iss"], found["keep"], found["after"], found["more"]) == (URL, 610, None, False)
    assert before - 0.2 <= found["iat"] <= house.clock.now() / 1000


async def test_revocations_are_kept_for_as_long_as_a_token_could_live(house: House) -> None:
    """An entry stays until the last access token of its session has run out everywhere, and then goes."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    house.clock.move(608)
    assert [entry["sid"] for entry in (await _ask(house))["sessions"]] == [phone.session_id]
    house.clock.move(3)
    assert (await _ask(house, limit=7))["sessions"] == []


async def test_revocations_are_known_after_a_restart(open_house: OpenHouse) -> None:
    """A new worker's first list names what ended before its time."""
    async with open_house() as house:
        await house.register()
        _, others = await _many(house, 3)
    async with open_house() as house:
        assert set((await _walk(house))[0]) == others


@pytest.mark.parametrize("after", ["", "x", "1.2", "-1", "1" * 40, "1.1.ses_", "1;2", "1.2.acc_" + "A" * 22, "\u0661"])
async def test_revocations_refuse_a_cursor_that_is_none(embedded: Stores, clock: MovableClock, after: str) -> None:
    """A cursor we have not made is 422, for lists and for streams; one of ours is good."""
    async with opened(clock, **embedded) as house:
        for path in ("/v1/revocations", "/v1/revocations/stream"):
            answer = await house.http().get(path, params={"after": after})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), path
            assert [error["field"] for error in answer.json()["errors"]] == ["after"]
        assert (await _ask(house, after=(await _ask(house))["next"]))["sessions"] == []


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3"])
async def test_revocations_refuse_a_limit_out_of_bounds(embedded: Stores, clock: MovableClock, limit: str) -> None:
    """Between one and a thousand entries may be asked for."""
    async with opened(clock, **embedded) as house:
        assert (await house.http().get("/v1/revocations", params={"limit": limit})).status_code == 422
        assert (await _ask(house, limit=1))["more"] is False


# -- nothing is missed ---------------------------------------------------------------------------------------------


async def test_revocations_after_a_cursor_are_the_later_ones(house: House) -> None:
    """A reader is told of what ended since, and after half a minute no more of what it has read before."""
    await house.register()
    early, late, laptop = await house.native(), await house.native(), await house.native()
    await laptop.call("DELETE", f"/v1/sessions/{early.session_id}")
    house.clock.move(31)
    first = await _ask(house)
    assert [entry["sid"] for entry in first["sessions"]] == [early.session_id]
    await laptop.call("DELETE", f"/v1/sessions/{late.session_id}")
    assert [entry["sid"] for entry in (await _ask(house, after=first["next"]))["sessions"]] == [late.session_id]


async def test_revocations_come_in_pages_of_one_moment(house: House) -> None:
    """Sessions that ended in the same millisecond come in pages too, each once, none missing."""
    await house.register()
    _, others = await _many(house, 7)
    for limit in (1, 3, 7):
        found, _ = await _walk(house, limit=limit)
        assert len(found) == 7
        assert set(found) == others


async def test_revocations_pages_may_come_from_several_workers(two_workers: tuple[House, House]) -> None:
    """A walk whose pages come from one worker and the other by turns misses nothing."""
    first, second = two_workers
    await first.register()
    _, others = await _many(first, 9)

    async def both_know() -> bool:
        return all([len((await _walk(worker))[0]) == 9 for worker in two_workers])

    await until(both_know, 3)
    for order in (two_workers, (second, first)):
        found, _ = await _walk(*order, limit=2)
        assert len(found) == 9
        assert set(found) == others


async def test_revocations_committed_late_are_not_missed(house: House) -> None:
    """An ending that is dated 14 s back, by a slow commit or a slow clock, reaches a reader who has read past it."""
    await house.register()
    phone = await house.native()
    _, cursor = await _walk(house)
    await _end(house, phone.session_id, house.clock.now() - 14_000)

    async def told() -> bool:
        return phone.session_id in (await _walk(house, after=cursor))[0]

    await until(told, 3)


async def test_revocations_dated_far_back_are_not_missed(two_workers: tuple[House, House]) -> None:
    """An ending that a worker whose clock is an hour behind tells reaches a reader who has read past it."""
    first, second = two_workers
    await first.register()
    phone = await first.native()
    _, cursor = await _walk(second)
    slow = MovableClock()
    slow.move(-3_600)
    first.desk.clock = slow
    await phone.call("DELETE", "/v1/sessions/current")
    [row] = await first.rows("SELECT ended_at FROM session WHERE ended_at IS NOT NULL")
    assert row["ended_at"] < second.clock.now() - 3_599_000

    async def told() -> bool:
        return phone.session_id in (await _walk(second, after=cursor))[0]

    await until(told, 3)


async def test_revocations_that_come_during_a_walk_are_in_the_next(house: House) -> None:
    """What ends while a reader is between two pages, dated before the first of them, is in its next walk."""
    await house.register()
    laptop, _ = await _many(house, 4)
    page = await _ask(house, limit=2)
    assert page["more"]
    await _end(house, laptop.session_id, house.clock.now() - 12_000)
    await house.desk.feed._sweep()
    house.clock.move(25)  # a slow walk
    _, cursor = await _walk(house, after=page["next"], limit=2)
    assert laptop.session_id in (await _walk(house, after=cursor))[0]


async def test_revocations_survive_a_clock_that_is_put_back(house: House) -> None:
    """A cursor that lies in the future, from before the clock was put right, gives everything."""
    await house.register()
    laptop, others = await _many(house, 2)
    house.clock.move(300)
    _, cursor = await _walk(house)
    house.clock.move(-300)
    assert set((await _walk(house, after=cursor))[0]) == others
    await laptop.call("DELETE", "/v1/sessions/current")
    assert set((await _walk(house, after=cursor))[0]) == {*others, laptop.session_id}


# -- cheap, and never fresher than the worker ----------------------------------------------------------------------


async def test_revocations_share_an_answer_until_something_ends(house: House) -> None:
    """Pollers with one question share one signature; an ending is in the very next answer all the same."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    texts = {(await house.http().get("/v1/revocations")).text for _ in range(5)}
    assert len(texts) < 5
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    assert [entry["sid"] for entry in (await _ask(house))["sessions"]] == [phone.session_id]


async def test_revocations_without_redis_come_from_the_database(servers: Stores, clock: MovableClock) -> None:
    """A worker cut off from Redis reads the database before it signs: what another worker ended is in its list."""
    with redis() as cache:
        stores = servers | {"redis_url": cache.url}
        async with opened(clock, **stores) as first, opened(clock, **stores) as second:
            await first.register()
            phone, laptop = await first.native(), await first.native()
            cache.kill()
            assert (await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")).status_code == 204
            second.desk.feed._heard = float("-inf")  # a second is over
            second.desk.feed._swept -= 1

            found = await _ask(second)
            assert [entry["sid"] for entry in found["sessions"]] == [phone.session_id]


async def test_revocations_are_not_signed_by_a_worker_that_cannot_know(clock: MovableClock) -> None:
    """Without Redis and database there is no list and no heartbeat: 503, never a list that says nothing has ended."""
    with postgres() as database, redis() as cache:
        await migrate.upgrade(settings.load({}, secret_key=[SECRET], database_url=database.url))
        async with opened(clock, database_url=database.url, redis_url=cache.url) as house:
            await _ask(house)
            with house.desk.streams.joined(house.desk, "203.0.113.9", None) as (_, reader):
                assert await asyncio.wait_for(anext(reader.lists()), 20)
                database.kill()
                cache.kill()

                async def refused() -> bool:
                    return (await house.http().get("/v1/revocations")).status_code == 503

                await until(refused, 5)
                answer = await house.http().get("/v1/revocations")
                assert (answer.json()["code"], answer.headers["Retry-After"]) == ("unavailable", "1")
                assert (await house.http().get("/v1/revocations/stream")).status_code == 503
                while not reader._queue.empty():  # from before
                    reader._queue.get_nowait()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(reader.lists()), 1.5)


# -- the stream ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A real server on SQLite."""
    folder = tmp_path_factory.mktemp("revocations")
    with serving(folder / "log", data_dir=folder, limit_login="off", limit_register="off") as running:
        yield running


@asynccontextmanager
async def _following(live: Live, headers: dict[str, str] | None = None, **params: str) -> AsyncIterator[Any]:
    """The events of a stream: cursor and opened list."""
    jwks: dict[str, Any] = {}

    async def events(answer: httpx2.Response) -> AsyncIterator[tuple[str, List]]:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            assert fields.keys() == {"id", "event", "data"}
            assert fields["event"] == "revocations"
            yield fields["id"], _opened(fields["data"], jwks)
            fields = {}

    async with (
        httpx2.AsyncClient(base_url=live.url, timeout=30, verify=False) as http,
        http.stream("GET", "/v1/revocations/stream", params=params, headers=headers) as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        jwks |= (await http.get("/.well-known/jwks.json")).json()
        yield events(answer)


async def _signed_in(live: Live, email: str, number: int = 1) -> tuple[httpx2.AsyncClient, list[NativeClient]]:
    http = httpx2.AsyncClient(base_url=live.url, timeout=30, verify=False)
    await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    return http, [await NativeClient(http).login(email) for _ in range(number)]


async def _next(events: AsyncIterator[tuple[str, List]], seconds: float) -> tuple[str, List]:
    """The next event, which comes within so many seconds."""
    coming = asyncio.ensure_future(anext(events))
    await until(coming.done, seconds, pause=0.01)
    return coming.result()


async def test_revocation_stream_tells_at_once_and_beats(live: Live) -> None:
    """A stream begins with all there is, goes on without a gap, beats at least once a second with ever newer dates, and
    tells of an ending at once."""
    http, [gone, phone, laptop] = await _signed_in(live, "stream@example.test", 3)
    await laptop.call("DELETE", f"/v1/sessions/{gone.session_id}")
    async with aclosing(http), _following(live) as events:
        cursor, first = await anext(events)
        assert first["after"] is None
        assert gone.session_id in [entry["sid"] for entry in first["sessions"]]
        dates = [first["iat"]]
        for _ in range(3):
            previous = cursor
            cursor, beat = await _next(events, 1)
            assert (beat["after"], beat["sessions"], beat["more"], beat["next"]) == (previous, [], False, cursor)
            dates.append(beat["iat"])
        assert dates == sorted(set(dates))
        await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        async with asyncio.timeout(30):
            async for _, news in events:
                if news["sessions"]:
                    break
        [ending] = news["sessions"]
        assert ending["sid"] == phone.session_id
        assert news["iat"] - ending["at"] < 0.4, "sooner than the next beat"


async def test_revocation_stream_goes_on_where_it_broke(live: Live) -> None:
    """A reader that comes back with its cursor, as parameter or as Last-Event-ID, is told what it has missed."""
    http, [phone, tablet, laptop] = await _signed_in(live, "back@example.test", 3)
    async with aclosing(http):
        async with _following(live) as events:
            first, _ = await anext(events)
        await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
        async with _following(live, after=first) as events:
            second, missed = await anext(events)
        assert missed["after"] == first
        assert phone.session_id in [entry["sid"] for entry in missed["sessions"]]
        await laptop.call("DELETE", f"/v1/sessions/{tablet.session_id}")
        async with _following(live, {"Last-Event-ID": second}, after=first) as events:
            _, missed = await anext(events)
        assert missed["after"] == second
        assert tablet.session_id in [entry["sid"] for entry in missed["sessions"]]


async def test_revocation_stream_reaches_the_other_worker(two_workers: tuple[House, House]) -> None:
    """What ends at one worker is in the streams of the other."""
    first, second = two_workers
    await first.register()
    phone = await first.native()
    jwks = second.desk.keys.jwks()
    with second.desk.streams.joined(second.desk, "203.0.113.9", None) as (_, reader):
        await phone.call("DELETE", "/v1/sessions/current")

        async def told() -> str:
            async for _, text in reader.lists():
                if entries := _opened(text, jwks)["sessions"]:
                    return entries[0]["sid"]  # type: ignore[no-any-return]
            raise AssertionError("the stream has ended")

        telling = asyncio.create_task(told())
        await until(telling.done, 1)
        assert telling.result() == phone.session_id


async def test_revocation_stream_begins_with_many_lists(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long for one list comes in several, each beginning where the one before ended, and a walk may change
    from stream to questions between any two of them."""
    monkeypatch.setattr(revocation_lists, "MOST", 3)
    await house.register()
    _, others = await _many(house, 8)
    jwks = house.desk.keys.jwks()
    with house.desk.streams.joined(house.desk, "203.0.113.9", None) as (known, reader):
        pages = [_opened(text, jwks) for _, text in known]
        following = _opened((await anext(reader.lists()))[1], jwks)
    assert [len(page["sessions"]) for page in pages] == [3, 3, 2]
    assert [page["more"] for page in pages] == [True, True, False]
    chain = [*pages, following]
    assert [page["after"] for page in chain] == [None, *(page["next"] for page in chain[:-1])]
    assert {entry["sid"] for page in pages for entry in page["sessions"]} == others
    rest, _ = await _walk(house, after=pages[0]["next"])
    assert {entry["sid"] for entry in pages[0]["sessions"]} | set(rest) == others
    with house.desk.streams.joined(house.desk, "203.0.113.9", pages[1]["next"]) as (known, _reader):
        again = [_opened(text, jwks) for _, text in known]
    assert {entry["sid"] for page in again for entry in page["sessions"]} >= {
        entry["sid"] for entry in pages[2]["sessions"]
    }


# -- bounds --------------------------------------------------------------------------------------------------------


async def test_revocation_streams_are_bounded(house: House) -> None:
    """An address may hold twenty streams and a worker two hundred; a place that was given back can be taken again."""
    with ExitStack() as places:
        last = places.enter_context(ExitStack())
        last.enter_context(house.desk.streams.joined(house.desk, "203.0.113.9", None))
        for _ in range(revocation_streams.MOST_BY_ADDRESS - 1):
            places.enter_context(house.desk.streams.joined(house.desk, "203.0.113.9", None))
        async with asyncio.timeout(5):
            answer = await house.http(ip="203.0.113.9").get("/v1/revocations/stream")
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await house.http(ip="203.0.113.9").get("/v1/revocations")).status_code == 200
        with house.desk.streams.joined(house.desk, "203.0.113.10", None):
            pass
        last.close()
        with house.desk.streams.joined(house.desk, "203.0.113.9", None):
            pass
        for place in range(revocation_streams.MOST - revocation_streams.MOST_BY_ADDRESS + 1):
            places.enter_context(house.desk.streams.joined(house.desk, f"198.51.100.{place}", None))
        with pytest.raises(RateLimited):
            house.desk.streams.joined(house.desk, "192.0.2.1", None).__enter__()


async def test_revocation_stream_drops_who_lies_too_far_behind() -> None:
    """A reader with sixty-four lists waiting is let go, and none of them is kept; one who reads goes on."""
    slow, quick = Reader(), Reader()
    taken = quick.lists()
    for number in range(65):
        slow.push((str(number), "list"))
        quick.push((str(number), "list"))
        assert (await anext(taken))[0] == str(number)
    assert [told async for told in slow.lists()] == []


async def test_revocation_stream_cuts_who_takes_nothing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that accepts no bytes is cut off after a while, and its place is given back."""
    monkeypatch.setattr(streams, "PATIENCE", 0.05)
    place, gone = ExitStack(), asyncio.Event()
    place.callback(gone.set)

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "data: x\n\n"

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.Event().wait()

    stream = streams.EventStream(endless(), place)
    await asyncio.wait_for(stream({"type": "http"}, receive, send), 20)
    assert gone.is_set()
    assert len(sent) == 4


async def test_revocation_stream_gives_its_place_back_when_the_reader_leaves(live: Live) -> None:
    """A reader may come and go more often than there are places."""
    for _ in range(revocation_streams.MOST_BY_ADDRESS + 5):
        async with _following(live) as events:
            await anext(events)


async def test_revocation_lists_nobody_reads_stay_small(house: House) -> None:
    """What ended long ago is forgotten at later endings, where no service ever asks for the lists."""
    for number in range(100):
        await house.desk.feed.publish(Event("session.ended", b"a" * 16, number.to_bytes(16)))
        house.clock.move(60)
    keep = house.desk.feed.keep / 60_000  # in minutes, an ending each
    assert keep < len(house.desk.lists._entries) <= 2 * keep + 2 < 100
