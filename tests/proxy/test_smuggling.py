"""Requests that two readers could take for different ones: each is refused or is exactly one request, and never is
what hides in its body answered, to nobody."""

import json
import re

from tests.house import PASSWORD
from tests.proxy import wire
from tests.proxy.topology import Deployed

HOST, KIND = b"Host: localhost", b"Content-Type: application/json"
# What is smuggled. Answered, it leaves an account behind: seen by asking for that address once more.
HIDDEN = "smuggled@example.test"
_PERSON = json.dumps({"email": HIDDEN, "password": PASSWORD}).encode()
MARKER = b"\r\n".join([b"POST /v1/accounts HTTP/1.1", HOST, KIND, b"Content-Length: %d" % len(_PERSON), b"", _PERSON])
CHUNKED, END = b"Transfer-Encoding: chunked", b"0\r\n\r\n"
_LOGIN = b"POST /v1/native/login HTTP/1.1"


def post(*headers: bytes, body: bytes = b"", line: bytes = _LOGIN) -> bytes:
    return b"\r\n".join([line, HOST, KIND, *headers, b"", b""]) + body


def get(*headers: bytes, line: bytes = b"GET /v1/me HTTP/1.1") -> bytes:
    return b"\r\n".join([line, HOST, *headers, b"", b""])


def length(number: int) -> bytes:
    return b"Content-Length: %d" % number


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


WHOLE = len(END + MARKER)
TWO_LENGTHS = [length(0), length(WHOLE)]

# Two framings in one head: whoever believes the wrong one reads the marker as a request of its own.
FRAMINGS = {
    "CL.TE": post(length(WHOLE), CHUNKED, body=END + MARKER),
    "TE.CL": post(CHUNKED, length(4), body=chunk(MARKER) + END),
    "CL.0": get(length(len(MARKER))) + MARKER,
    "two lengths": post(*TWO_LENGTHS, body=END + MARKER),
    "two lengths, the other way": post(*reversed(TWO_LENGTHS), body=END + MARKER),
    "a list of lengths": post(b"Content-Length: 0, %d" % WHOLE, body=END + MARKER),
    "length with a sign": post(b"Content-Length: +%d" % WHOLE, body=END + MARKER),
    "negative length": post(b"Content-Length: -1", body=MARKER),
    "hexadecimal length": post(b"Content-Length: 0x%x" % WHOLE, body=END + MARKER),
    "length with a blank within": post(b"Content-Length: 1 0", body=END + MARKER),
    "length that overflows": post(b"Content-Length: 18446744073709551616", body=MARKER),
    "length in other digits": post(b"Content-Length: \xd9\xa5", body=END + MARKER),
    "blank before the colon, length": post(b"Content-Length : %d" % WHOLE, body=END + MARKER),
    "chunked in HTTP/1.0": post(CHUNKED, length(WHOLE), body=END + MARKER, line=_LOGIN.replace(b"1.1", b"1.0")),
}
# TE.TE: chunked for one reader, nothing known for the other.
OBSCURED = [
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked\x00",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b" Transfer-Encoding: chunked",
    b"Transfer_Encoding: chunked",
]
FRAMINGS |= {f"TE.TE {how!r}": post(length(WHOLE), how, body=END + MARKER) for how in OBSCURED}
FRAMINGS |= {f"only {how!r}": post(how, body=END) for how in OBSCURED}

# Chunks that are read in two ways.
CHUNKS = {
    "size overflows": b"10000000000000000\r\n" + MARKER,
    "size overflows to nothing": b"100000000\r\n" + MARKER,
    "negative size": b"-1\r\n" + MARKER,
    "size with a prefix": b"0x5\r\nhello\r\n" + END,
    "size with blanks": b" 5 \r\nhello\r\n" + END,
    "size with underscores": b"1_0\r\n" + MARKER,
    "bare line feeds": b"5\nhello\n0\n\n" + MARKER,
    "carriage return alone": b"5\rhello\r0\r\r" + MARKER,
    "data longer than said": b"2\r\nhello\r\n" + END + MARKER,
    "no end of data": b"5\r\nhello" + END + MARKER,
    "extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "line feed in an extension": b"5;a\nX: 0\r\nhello\r\n" + END,
    "endless extension": b"5;" + b"a" * 200_000,
    "trailer that frames": chunk(b"{}") + b"0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n",
    "end without an end": b"0\r\n" + MARKER,
}
FRAMINGS |= {f"chunk: {how}": post(CHUNKED, body=body) for how, body in CHUNKS.items()}

LINES = {
    "absolute form": get(line=b"GET http://evil.example/v1/me HTTP/1.1"),
    "absolute form of ourselves": get(line=b"GET https://localhost/v1/me HTTP/1.1"),
    "authority form": get(line=b"CONNECT evil.example:443 HTTP/1.1"),
    "asterisk form": get(line=b"OPTIONS * HTTP/1.1"),
    "folded header": get(b"X-Folded: a\r\n\tb"),
    "blank line first": b"\r\n\r\n" + get(),
    "bare line feeds": get().replace(b"\r\n", b"\n"),
    "carriage returns alone": get().replace(b"\r\n", b"\r"),
    "NUL in a header": get(b"X-Nul: a\x00b"),
    "NUL in the path": get(line=b"GET /v1/m\x00e HTTP/1.1"),
    "blanks in the path": get(line=b"GET /v1/me HTTP/1.1 HTTP/1.1"),
    "blank before the colon": get(b"X-Blank : a"),
    "header without a name": get(b": a"),
    "header without a colon": get(b"nonsense"),
    "two hosts": get(b"Host: evil.example"),
    "no host": b"GET /v1/me HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /v1/me\r\n",
    "HTTP/1.2": get(line=b"GET /v1/me HTTP/1.2"),
    "HTTP/2.0": get(line=b"GET /v1/me HTTP/2.0"),
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade to HTTP/2": get(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"
    ),
    "expectation": post(length(2), b"Expect: 100-continue", body=b"{}"),
    "hop by hop": get(b"Connection: close, X-Forwarded-For, Host, Content-Length"),
    "method of its own": get(line=b"SMUGGLE /v1/me HTTP/1.1"),
    "lower-case method": get(line=b"get /v1/me HTTP/1.1"),
    "body of 64 KiB and a request more": post(CHUNKED, body=chunk(b"x" * 65_537) + END),
    "body with requests in it": post(CHUNKED, body=chunk(b"x" * 65_536 + MARKER * 400)),
}
CORPUS = FRAMINGS | LINES


def carried_out(house: Deployed) -> bool:
    """Whether the marker was ever answered: then its account can sign in."""
    with wire.connect(house, through_the_proxy=False, ip="127.31.0.1") as connection:
        connection.sendall(post(length(len(_PERSON)), b"Connection: close", body=_PERSON))
        return wire.answers(connection, 30)[0][0] == 200


def ask(house: Deployed, sent: bytes, number: int, through_the_proxy: bool) -> list[tuple[int, bytes]]:
    with wire.connect(house, through_the_proxy, ip=f"127.30.0.{number + 1}") as connection:
        wire.one_by_one(connection, [sent], 0)
        return wire.answers(connection, 0.15)


def answer_to_the_next(house: Deployed, number: int, through_the_proxy: bool) -> tuple[int, str]:
    """What somebody else gets who asks for what is not there."""
    with wire.connect(house, through_the_proxy, ip="127.29.0.1") as innocent:
        innocent.sendall(get(b"Connection: close", line=b"GET /v1/nothing-%d HTTP/1.1" % number))
        ((status, body),) = wire.answers(innocent, 30)
        return status, json.loads(body)["code"]


def test_smuggled_requests_are_not_read_by_a_server(deployment: Deployed) -> None:
    """Each of the corpus is refused or is exactly one request, and the marker is never carried out."""
    for number, (name, sent) in enumerate(CORPUS.items()):
        told = ask(deployment, sent, number, through_the_proxy=False)
        assert [status for status, _ in told if status < 400] == [], (name, told)
        assert [status for status, _ in told[1:] if status != 400] == [], (name, told)
        assert answer_to_the_next(deployment, number, through_the_proxy=False) == (404, "not_found"), name
    assert not carried_out(deployment)


def test_smuggled_requests_reach_nobody_through_the_proxy(house: Deployed) -> None:
    """On the connections that the proxy keeps to the servers, the next person gets the answer to what she asked. The
    sender gets a refusal, or the answers to what the proxy read and wrote anew: nothing that hides behind it."""
    for number, (name, sent) in enumerate(CORPUS.items()):
        told = ask(house, sent, number, through_the_proxy=True)
        assert len(told) <= 2, (name, told)
        assert not any(body for status, body in told[:1] if status < 400), (name, told)
        assert answer_to_the_next(house, number, through_the_proxy=True) == (404, "not_found"), name


def test_smuggling_marker_would_be_seen(house: Deployed) -> None:
    """The marker is a request that works: sent openly it makes an account, by which a smuggled one is known."""
    seen = MARKER.replace(b"smuggled@", b"notmuch@")
    seen = re.sub(rb"Content-Length: \d+", length(len(_PERSON) - 1), seen)
    with wire.connect(house, through_the_proxy=True, ip="127.28.0.1") as connection:
        connection.sendall(seen)
        ((status, _),) = wire.answers(connection, 1)
    assert status in (201, 409)
