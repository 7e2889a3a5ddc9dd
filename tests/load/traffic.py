"""The load: a few kept connections, each sending the next request when it has its answer (a closed loop).

Raw HTTP/1.1 and nothing more, so that the client costs a fraction of what it measures: requests are bytes, answers are
looked at no further than status and length. Under load any answer but 200 ends the stage.
"""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple, Protocol, cast
from urllib.parse import urlencode

_PATIENCE = 10.0  # seconds for one answer


class User(Protocol):
    """Whoever sits behind one connection."""

    def request(self) -> bytes:
        """The next request, all of it."""

    def answered(self, body: bytes) -> None:
        """What came back."""


class Repeating:
    """Sends the same requests in turn, for ever."""

    def __init__(self, *requests: bytes) -> None:
        self._requests = cycle(requests)

    def request(self) -> bytes:
        return next(self._requests)

    def answered(self, body: bytes) -> None:
        pass


class Refreshing:
    """Refreshes many sessions in turn, each with the token of its last answer: every refresh is a true rotation."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = deque(tokens)

    def request(self) -> bytes:
        return refresh_request(self._tokens[0])

    def answered(self, body: bytes) -> None:
        presented, successor = self._tokens.popleft(), json.loads(body)["refresh_token"]
        assert generation(successor) == generation(presented) + 1, "not a rotation"
        self._tokens.append(successor)


class Answer(NamedTuple):
    """Status, the header lines as they came, body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name, given in small letters."""
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name.encode():
                return value.strip().decode()
        return None


class Connection(asyncio.Protocol):
    """One kept connection with one request at a time on it."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer, which must be a 200."""
        answer = await self.exchange(request)
        if answer.status != 200:
            raise RuntimeError(f"refused: {answer.head.decode()}\n{answer.body.decode()}")
        return answer.body

    async def exchange(self, request: bytes) -> Answer:
        """Whatever the answer is. Raises ConnectionResetError."""
        assert self._transport is not None
        if not self.is_open:
            raise ConnectionResetError("the server closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        if len(body) >= _content_length(head):
            self._received = b""
            self._answer.set_result(Answer(int(head[9:12]), head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)


async def connect(port: int, number: int) -> list[Connection]:
    """So many connections to 127.0.0.1."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(number)]


async def load(connections: Sequence[Connection], users: Sequence[User], seconds: float) -> tuple[int, float]:
    """Every user keeps asking for so long: the number of answers, and the time until the last of them."""
    began = time.perf_counter()
    asking = [_keep_asking(*one, began + seconds) for one in zip(connections, users, strict=True)]
    async with asyncio.timeout(seconds + _PATIENCE):
        counts = await asyncio.gather(*asking)
    return sum(counts), time.perf_counter() - began


async def _keep_asking(connection: Connection, user: User, until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        user.answered(await connection.ask(user.request()))
        count += 1
    return count


def get_request(path: str, *headers: str) -> bytes:
    """A GET without a body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def json_request(path: str, body: object) -> bytes:
    """A POST of JSON."""
    return _post(path, "application/json", json.dumps(body))


def form_request(path: str, fields: Mapping[str, str]) -> bytes:
    """A POST of a form."""
    return _post(path, "application/x-www-form-urlencoded", urlencode(fields))


def _post(path: str, kind: str, body: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def refresh_request(token: str) -> bytes:
    """RFC 6749 section 6."""
    return form_request("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token})


def generation(refresh_token: str) -> int:
    """How often its session has been rotated (refresh_tokens.py says where that stands)."""
    return int.from_bytes(urlsafe_b64decode(refresh_token[6:])[21:25])
