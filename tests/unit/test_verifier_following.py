"""coatcheck.verifier: what it learns from an issuer, and what no issuer, proxy or replayer can make it believe."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from coatcheck.verifier import (
    KeysUnknown,
    Refused,
    RevocationsStale,
    SessionRevoked,
    TokenInvalid,
    Verifier,
    following,
    keys,
)
from coatcheck.verifier.endings import Endings, List
from tests.issuer import AUDIENCE, JWKS, LISTS, STREAM, Answer, Issuer, certificate, jwk
from tests.waiting import until

SID = "ses_AAAAAAAAAAAAAAAAAAAAAA"


class Time:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 1_000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def at() -> Time:
    return Time()


@pytest.fixture
def known(at: Time) -> Endings:
    """Stale after 10 s, with clocks 5 s apart at most."""
    return Endings(10, 5, lambda: at.wall, lambda: at.steady)


def _list(at: Time, after: str | None, following: str, *session_ids: str, **changed: Any) -> List:
    fields = {"iat": at.wall, "keep": 610, "after": after, "sessions": list(session_ids), "next": following}
    return List(**(fields | {"more": False} | changed))


# -- lists: order, age, gaps ---------------------------------------------------------------------------------------


def test_endings_are_fresh_for_as_long_as_told(at: Time, known: Endings) -> None:
    """News are good for `max_staleness`, counted from their arrival by a clock that nobody sets."""
    assert not known.is_fresh()
    assert known.take_in(_list(at, None, "1", SID))
    assert known.ended(SID)
    at.pass_by(10)
    assert known.is_fresh()
    at.wall -= 5_000
    at.steady += 0.1
    assert not known.is_fresh()


def test_endings_are_remembered_for_keep(at: Time, known: Endings) -> None:
    """An entry is forgotten after `keep` and what clocks may differ, not before."""
    known.take_in(_list(at, None, "1", SID))
    at.pass_by(615)
    known.take_in(_list(at, "1", "2"))
    assert known.ended(SID)
    at.pass_by(1)
    known.take_in(_list(at, "2", "3"))
    assert not known.ended(SID)


def test_endings_cannot_tell_of_tokens_from_the_future(at: Time, known: Endings) -> None:
    """A token that a clock far ahead has dated outlives the memory of its session's end: we can't tell."""
    known.take_in(_list(at, None, "1"))
    assert known.can_tell(at.wall + 5)
    assert not known.can_tell(at.wall + 6)


def test_endings_do_not_grow(at: Time, known: Endings) -> None:
    """What was forgotten takes no room."""
    for number in range(5):
        known.take_in(_list(at, None if not number else str(number), str(number + 1), f"ses_{number}"))
        at.pass_by(616)
    assert len(known._ended) == 1


@pytest.mark.parametrize("after", [None, "0", "2", ""])
def test_endings_notice_a_gap(at: Time, known: Endings, after: str | None) -> None:
    """A list that does not begin where we are is no news, though what it names has ended; the right one is."""
    known.take_in(_list(at, None, "1"))
    at.pass_by(11)
    assert not known.take_in(_list(at, after, "9", SID))
    assert (known.is_fresh(), known.ended(SID), known.cursor) == (False, True, "1")
    assert known.take_in(_list(at, "1", "2"))
    assert known.is_fresh()


def test_endings_replayed_lists_are_no_news(at: Time, known: Endings) -> None:
    """The last list again, or one as old, leaves us stale, whatever cursors it has."""
    first = _list(at, None, "1")
    known.take_in(first)
    at.pass_by(6)
    again = _list(at, "1", "1", iat=first.iat)
    assert known.take_in(again)
    at.pass_by(5)
    assert known.take_in(again)
    assert not known.is_fresh()
    assert known.take_in(_list(at, "1", "1"))
    assert known.is_fresh()


def test_endings_rolled_back_lists_are_no_news(at: Time, known: Endings) -> None:
    """A list dated before the newest we had is no news, even if it is young enough by itself."""
    known.take_in(_list(at, None, "1"))
    before = at.wall - 1
    at.pass_by(8)
    known.take_in(_list(at, "1", "2", iat=before))
    at.pass_by(3)
    assert not known.is_fresh()


@pytest.mark.parametrize("age, news", [(-5, True), (-6, False), (0, True), (14, True), (16, False), (10**6, False)])
def test_endings_lists_of_another_time_are_no_news(at: Time, known: Endings, age: float, news: bool) -> None:
    """A recording of the issuer, from the first list on, is refused by its date; so is one of the future."""
    known.take_in(_list(at, None, "1", SID, iat=at.wall - age))
    assert known.is_fresh() is news
    assert (known.distance == 0) is news
    assert known.ended(SID), "an ended session does not come back"


def test_endings_are_complete_only_at_the_last_page(at: Time, known: Endings) -> None:
    """Pages before the last teach, but do not make us fresh."""
    assert known.take_in(_list(at, None, "1", SID, more=True))
    assert (known.ended(SID), known.is_fresh()) == (True, False)
    assert known.take_in(_list(at, "1", "2"))
    assert known.is_fresh()


# -- over the wire -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask more often than in earnest; rules about freshness keep their own times."""
    monkeypatch.setattr(following, "POLL", 0.05)


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer().open() as opened:
        yield opened


@asynccontextmanager
async def _verifying(issuer: Issuer, patience: float = 5) -> AsyncIterator[Verifier]:
    """A verifier that waits so many seconds at its start for an issuer that may have nothing good to say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coatcheck.verifier.verifier._START", patience)
        async with Verifier(issuer=issuer.url, audience=AUDIENCE) as verifier:
            yield verifier


def _says(verifier: Verifier, text: str) -> type[Refused] | None:
    try:
        verifier.check(text)
    except Refused as refused:
        return type(refused)
    return None


async def test_following_asks_where_there_is_no_stream(issuer: Issuer) -> None:
    """Without a stream the lists are asked for, and an ending is known soon."""
    async with _verifying(issuer) as verifier:
        assert _says(verifier, issuer.token()) is None
        issuer.ended.append(SID)
        await until(lambda: _says(verifier, issuer.token()) is SessionRevoked)
        assert issuer.asked[STREAM] >= 1


async def test_following_listens_to_the_stream(issuer: Issuer) -> None:
    """With a stream nobody asks for lists, and an ending is known as soon as it is sent."""
    issuer.streaming = True
    async with _verifying(issuer) as verifier:
        assert _says(verifier, issuer.token()) is None
        asked = issuer.asked.get(LISTS, 0)
        issuer.ended.append(SID)
        issuer.send(issuer.list("0", "1"))
        await until(lambda: _says(verifier, issuer.token()) is SessionRevoked, 1)
        assert issuer.asked.get(LISTS, 0) == asked


@pytest.mark.parametrize("says", ["nothing", "the same", "noise"])
async def test_following_falls_back_when_the_stream_has_no_news(issuer: Issuer, says: str) -> None:
    """A stream that is silent for two seconds, or only repeats its last list, or makes noise, is left for questions."""
    issuer.streaming = True
    async with _verifying(issuer) as verifier:
        await until(lambda: verifier.is_fresh)
        same = issuer.list("0", "0", iat=time.time() - 1)

        def left() -> bool:
            if says == "the same":
                issuer.send(same)
            if says == "noise":
                for writer in issuer.streams:
                    writer.write(b": still here\n\n")
            return issuer.asked.get(LISTS, 0) > 0

        await until(left, 5)
        await until(lambda: verifier._endings.staleness() < 1)


async def test_following_resumes_after_something_was_left_out(issuer: Issuer) -> None:
    """A stream in which one list was left out is left at once, and what was in it is asked for."""
    issuer.streaming = True
    async with _verifying(issuer) as verifier:
        issuer.ended.append(SID)  # told in a list from 0 to 1, which somebody swallows
        issuer.send(issuer.list("1", "2", sessions=[]))
        await until(lambda: issuer.asked.get(LISTS, 0) >= 1, 1)
        await until(lambda: _says(verifier, issuer.token()) is SessionRevoked)


def _forged(issuer: Issuer) -> Iterator[Callable[[str | None], str]]:
    foreign = generate_private_key(SECP256R1())
    yield lambda after: issuer.list(after, "1", key=foreign)
    yield lambda after: issuer.list(after, "1", typ="at+jwt")
    yield lambda after: issuer.list(after, "1", typ="JWT")
    yield lambda after: issuer.list(after, "1", iss="https://other.example.com")
    yield lambda after: issuer.list(after, "1", iss=None)
    yield lambda after: issuer.list(after, "1", iat=time.time() - 3_600)
    yield lambda after: issuer.list(after, "1", iat=time.time() + 3_600)
    yield lambda after: issuer.list(after, "1", iat="soon")
    yield lambda after: issuer.list(after, "1", keep=0)
    yield lambda after: issuer.list(after, "1", sessions=[SID])
    yield lambda after: issuer.list(after, "1", sessions=None)
    yield lambda after: issuer.list(after, "1", next=None)
    yield lambda after: issuer.list("elsewhere", "1")
    yield lambda _: issuer.token()
    yield lambda _: "{}"
    yield lambda _: ""


@pytest.mark.parametrize("number", range(len(list(_forged(Issuer())))))
@pytest.mark.parametrize("streaming", [False, True])
async def test_following_takes_no_forged_list_for_news(issuer: Issuer, number: int, streaming: bool) -> None:
    """Forged, foreign, malformed, old and future lists never make us fresh, asked for or streamed; honest ones do."""
    forge = list(_forged(issuer))[number]
    honest = issuer.routes[LISTS]
    issuer.routes[LISTS] = lambda params: (200, {}, forge(params.get("after")).encode())
    issuer.streaming, issuer.greeting = streaming, forge
    async with _verifying(issuer, 0.01) as verifier:
        await until(lambda: issuer.asked.get(LISTS, 0) >= 3)
        assert _says(verifier, issuer.token()) is RevocationsStale
        issuer.routes[LISTS] = honest
        await until(lambda: _says(verifier, issuer.token()) is None)


async def test_following_no_redirect(issuer: Issuer) -> None:
    """A redirect is no answer: nobody is asked but the issuer, for keys, lists or the stream."""
    async with Issuer().open() as elsewhere:
        for number, status in enumerate((301, 302, 307, 308)):
            elsewhere.routes["/x"] = elsewhere._jwks
            away: Answer = (status, {"Location": f"{elsewhere.url}/x"}, b"")
            issuer.routes |= dict.fromkeys((JWKS, LISTS, STREAM), lambda _, away=away: away)  # type: ignore[misc]
            async with _verifying(issuer, 0.01) as verifier:
                await until(lambda: issuer.asked.get(JWKS, 0) > number)  # noqa: B023
                assert _says(verifier, issuer.token()) is KeysUnknown
        assert issuer.asked[JWKS] >= 4
        assert elsewhere.asked == {}


@pytest.mark.parametrize("status", [200, 201, 203, 206, 301, 404, 500])
async def test_following_takes_only_a_plain_answer(issuer: Issuer, status: int) -> None:
    """Good keys in an answer of another status than 200 are no keys."""
    issuer.routes[JWKS] = lambda _: (status, {}, issuer._jwks({})[2])
    async with _verifying(issuer, 5 if status == 200 else 0.2) as verifier:
        assert _says(verifier, issuer.token()) is (None if status == 200 else KeysUnknown)


@pytest.mark.parametrize("blanks, taken", [(1_000, True), (2_000_000, False)])
async def test_following_takes_no_huge_answer(issuer: Issuer, blanks: int, taken: bool) -> None:
    """Good keys in an answer of megabytes are no keys: it is not read to its end."""
    issuer.routes[JWKS] = lambda _: (200, {}, issuer._jwks({})[2] + b" " * blanks)
    async with _verifying(issuer, 5 if taken else 0.5) as verifier:
        assert _says(verifier, issuer.token()) is (None if taken else KeysUnknown)


async def test_following_never_goes_through_a_proxy_to_this_machine(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What travels in the clear stays on this machine, whatever proxy the environment names."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with _verifying(issuer) as verifier:
        assert _says(verifier, issuer.token()) is None


@pytest.mark.parametrize("trusted", [True, False])
async def test_following_checks_the_issuers_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """An https issuer is asked only if its certificate is good: a stranger in its place gets no hearing."""
    cert, key = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    issuer = Issuer()
    issuer.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.tls.load_cert_chain(cert, key)
    async with issuer.open(), _verifying(issuer, 5 if trusted else 0.5) as verifier:
        assert _says(verifier, issuer.token()) is (None if trusted else KeysUnknown)
        assert (issuer.asked == {}) is not trusted


# -- keys ----------------------------------------------------------------------------------------------------------


async def test_keys_flood_of_unknown_names_costs_one_fetch(issuer: Issuer) -> None:
    """However many unknown keys are named, the issuer is asked once an interval; none of them is ever good."""
    async with _verifying(issuer) as verifier:
        assert _says(verifier, issuer.token()) is None
        verifier._keys._tried -= keys.REFETCH  # the interval is over
        asked = issuer.asked[JWKS]
        flood = [issuer.token({"kid": f"unknown-{number}"}) for number in range(200)]
        for text in flood:
            assert _says(verifier, text) in (KeysUnknown, TokenInvalid)
            await asyncio.sleep(0)
        await until(lambda: issuer.asked[JWKS] == asked + 1)
        for text in flood * 5:
            assert _says(verifier, text) in (KeysUnknown, TokenInvalid)
            await asyncio.sleep(0)
        await until(lambda: _says(verifier, flood[0]) is TokenInvalid)
        assert issuer.asked[JWKS] == asked + 1
        assert _says(verifier, issuer.token()) is None


async def test_keys_new_one_is_fetched_when_it_is_named(issuer: Issuer) -> None:
    """A key changed in an emergency is known after one fetch; until then the answer is 503, not a sign-out."""
    async with _verifying(issuer) as verifier:
        old = issuer.token()
        assert _says(verifier, old) is None
        verifier._keys._tried -= keys.REFETCH
        issuer.private = generate_private_key(SECP256R1())
        issuer.keys = [jwk(issuer.private, "issuer-kid-2")]
        new = issuer.token({"kid": "issuer-kid-2"})
        assert _says(verifier, new) is KeysUnknown
        issuer.routes[LISTS] = lambda params: (
            200,
            {},
            issuer.list(params.get("after"), issuer.next(), kid="issuer-kid-2").encode(),
        )
        await until(lambda: _says(verifier, new) is None)
        await until(lambda: _says(verifier, old) is TokenInvalid)


async def test_keys_are_fetched_before_they_are_too_old(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are renewed at three quarters of the age the issuer names, without any token asking."""
    monkeypatch.setattr(keys, "_LEAST", 0.4)
    issuer.max_age = "public, max-age=0"
    async with _verifying(issuer) as verifier:
        asked, began = issuer.asked[JWKS], time.monotonic()
        await until(lambda: issuer.asked[JWKS] >= asked + 4)
        assert time.monotonic() - began > 0.8
        await until(lambda: _says(verifier, issuer.token()) is None)


async def test_keys_survive_an_issuer_that_is_away(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the keys can't be renewed the old ones are good for twice their age, then none is."""
    monkeypatch.setattr(keys, "_LEAST", 0.5)
    monkeypatch.setattr(keys, "_RETRY", 0.05)
    issuer.max_age = "max-age=0"
    async with _verifying(issuer) as verifier:
        issuer.routes[JWKS] = lambda _: (503, {}, json.dumps({"keys": []}).encode())
        failing = issuer.asked[JWKS]
        await until(lambda: issuer.asked[JWKS] > failing)
        assert _says(verifier, issuer.token()) is None
        await until(lambda: _says(verifier, issuer.token()) is KeysUnknown)
        issuer.routes[JWKS] = issuer._jwks
        await until(lambda: _says(verifier, issuer.token()) is None)


# -- starting and stopping -----------------------------------------------------------------------------------------


async def test_verifier_starts_without_its_issuer(issuer: Issuer) -> None:
    """A service starts while the issuer is away, answers 503, and recovers by itself."""
    away = issuer.routes.pop(JWKS)
    async with _verifying(issuer, 0.01) as verifier:
        assert _says(verifier, issuer.token()) is KeysUnknown
        issuer.routes[JWKS] = away
        await until(lambda: _says(verifier, issuer.token()) is None)
    assert not issuer.streams


async def test_verifier_works_without_asyncio(issuer: Issuer) -> None:
    """`with` follows in a thread; it checks in any thread, and stops with the block."""

    def use() -> list[type[Refused] | None]:
        with Verifier(issuer=issuer.url, audience=AUDIENCE) as verifier:
            said = [_says(verifier, issuer.token())]
            issuer.ended.append(SID)
            deadline = time.monotonic() + 5
            while (last := _says(verifier, issuer.token())) is None and time.monotonic() < deadline:
                time.sleep(0.01)
            thread = verifier._thread
        assert thread
        assert not thread.is_alive()
        return [*said, last]

    assert await asyncio.to_thread(use) == [None, SessionRevoked]


async def test_verifier_outlives_a_mistake_of_its_own(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something unforeseen in following is logged and tried again; meanwhile we grow stale."""
    calls = 0
    real = following.Follower._poll

    async def broken(follower: following.Follower) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("unforeseen")
        return await real(follower)

    monkeypatch.setattr(following.Follower, "_poll", broken)
    async with _verifying(issuer) as verifier:
        await until(lambda: _says(verifier, issuer.token()) is None)
        assert calls > 1
