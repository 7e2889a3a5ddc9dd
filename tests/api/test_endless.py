"""What never ends on a connection ends there: a real server stays as small as it was."""

import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.live import Live, serving

MEGABYTE = 1_000_000
_HEAD = b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server on the embedded database, whose answer to a sign-in takes a while."""
    folder = tmp_path_factory.mktemp("endless")
    with serving(folder / "log", data_dir=folder / "data", argon2_time=40, argon2_memory_kib=19_456) as running:
        yield running


def _pour(live: Live, begin: bytes, rest: bytes) -> int:
    """Send `begin`, then `rest` again and again, 50 MB of it if the server lets us: how much it took."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(begin)
        sent = 0
        try:
            while sent < 50 * MEGABYTE:
                sent += connection.send(rest * (65_536 // len(rest)))
        except OSError:
            pass
        return sent


@pytest.mark.parametrize(
    "begin, rest",
    [
        (b"GET /healthz HTTP/1.1\r\nX-Endless: ", b"a"),
        (b"GET /healthz HTTP/1.1\r\n", b"X-Many: a\r\n"),
        (b"GET /", b"a"),
        (_CHUNKED + b"1;", b"a"),
        (_CHUNKED + b"1\r\na\r\n0\r\nX-Endless: ", b"a"),
        (_CHUNKED + b"1\r\na\r\n0\r\n", b"X-Many: a\r\n"),
    ],
    ids=["header", "headers", "path", "extension", "trailer", "trailers"],
)
def test_endless_input_is_cut_off(live: Live, begin: bytes, rest: bytes) -> None:
    """A head, trailer or chunk extension without end is refused long before it fills the memory."""
    [worker] = live.workers()
    before = worker.memory_info().rss
    sent = _pour(live, begin, rest)
    assert sent < 20 * MEGABYTE  # what fits in the buffers between us
    assert worker.memory_info().rss < before + 20 * MEGABYTE
    assert httpx2.get(f"{live.url}/healthz", trust_env=False).status_code == 200


def test_endless_input_is_told_why(live: Live) -> None:
    """The refusal is the contract's, and the connection is closed after it."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Endless: " + b"a" * 140_000)
        answer = b""
        while more := connection.recv(65_536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b'"code":"headers_too_large"' in answer


def test_endless_refusal_never_stands_in_for_another_answer(live: Live) -> None:
    """A flood behind a request that is still being worked on gets no word, lest it be taken for that one's answer."""
    form = b'{"email": "nobody@example.test", "password": "not the one of anybody"}'
    head = b"POST /v1/native/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    login = head + b"%d\r\n\r\n%b" % (len(form), form)
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(login + b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * 2 * MEGABYTE)
            while more := connection.recv(65_536):
                answer += more
        except OSError:
            pass
    assert not answer.startswith(b"HTTP/1.1 431")
