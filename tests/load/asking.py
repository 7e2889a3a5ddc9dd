"""One who asks one server at a time, cheaply, and looks at the answers: sign in, use, sign out."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from tests.house import PASSWORD
from tests.load.traffic import Answer, Connection, connect

PATIENCE = 10.0  # seconds for one answer
ORIGIN = "http://localhost:8000"  # the address that all workers of a bench say they have
EMAIL = "ada@example.test"

Headers = Mapping[str, str]


class Asker:
    """Keeps a connection to a port of 127.0.0.1, and opens a new one when the server has closed it."""

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        self.port = port
        self._patience = patience
        self._connection: Connection | None = None

    async def ask(
        self, method: str, path: str, headers: Headers | None = None, body: bytes = b"", kind: str = "application/json"
    ) -> Answer:
        """Whatever is answered. Raises OSError (TimeoutError too) when there is no answer; nothing is sent twice."""
        if self._connection is None or not self._connection.is_open:
            [self._connection] = await connect(self.port, 1)
        all_headers = {"Host": "localhost", **(headers or {})}
        if body:
            all_headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items()), "", ""]
        try:
            async with asyncio.timeout(self._patience):
                return await self._connection.exchange("\r\n".join(lines).encode() + body)
        except BaseException:
            self.close()  # an answer that comes late must not be taken for the next one's
            raise

    async def post(self, path: str, body: Mapping[str, Any], headers: Headers | None = None) -> Answer:
        """JSON."""
        return await self.ask("POST", path, headers, json.dumps(body).encode())

    async def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        """RFC 6749 style."""
        return await self.ask("POST", path, None, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has signed in through a door: what authenticates, what renews."""

    door: str
    session_id: str
    credential: Headers
    renewal: str  # refresh token (native), Cookie header (spa); the web session renews itself
    device_token: str = ""  # native

    async def is_refused(self, at: Asker) -> bool:
        """Whether this server refuses the access token, or cookie, because the session has ended."""
        answer = await at.ask("GET", "/v1/sessions/current", self.credential)
        if answer.status == 200:
            return False
        assert answer.status == 401, answer
        assert json.loads(answer.body)["code"] == "session_revoked", answer
        return True

    def renewal_request(self) -> tuple[str, str, bytes, str]:
        """Method, path, body and its type."""
        if self.door == "native":
            form = {"grant_type": "refresh_token", "refresh_token": self.renewal}
            return "POST", "/oauth/token", urlencode(form).encode(), "application/x-www-form-urlencoded"
        if self.door == "spa":
            return "POST", "/v1/spa/refresh", b"", ""
        return "GET", "/v1/web/session", b"", ""

    def renewal_headers(self) -> Headers:
        """What goes with it."""
        if self.door == "spa":
            return {"Cookie": self.renewal, **_own_page("spa")}
        return self.credential if self.door == "web" else {}

    def renewed(self, answer: Answer) -> "Visitor":
        """The same with what a renewal has handed out."""
        if self.door == "web":
            return self
        grant = json.loads(answer.body)
        renewal = grant["refresh_token"] if self.door == "native" else _cookie(answer, "refresh")
        return replace(self, credential={"Authorization": f"Bearer {grant['access_token']}"}, renewal=renewal)

    async def renews(self, at: Asker) -> bool:
        """Whether a refresh is granted; what it hands out is thrown away."""
        method, path, body, kind = self.renewal_request()
        return (await at.ask(method, path, self.renewal_headers(), body, kind)).status == 200


async def register(at: Asker, email: str = EMAIL) -> None:
    """A new account."""
    answer = await at.post("/v1/accounts", {"email": email, "password": PASSWORD})
    assert answer.status == 201, answer


async def sign_in(
    at: Asker, door: str = "native", email: str = EMAIL, device: str = "", device_token: str = ""
) -> Visitor:
    """A new device of theirs, or the one that holds this token."""
    known = {name: value for name, value in (("name", device), ("token", device_token)) if value}
    body = {"email": email, "password": PASSWORD} | ({"device": known} if known else {})
    answer = await at.post(f"/v1/{door}/login", body, _own_page(door))
    assert answer.status == 200, answer
    grant = json.loads(answer.body)
    session_id = grant["session"]["id"]
    if door == "web":
        return Visitor(door, session_id, {"Cookie": _cookie(answer, "session")}, "")
    renewal = grant["refresh_token"] if door == "native" else _cookie(answer, "refresh")
    bearer = {"Authorization": f"Bearer {grant['access_token']}"}
    return Visitor(door, session_id, bearer, renewal, grant.get("device_token", ""))


async def sign_out(at: Asker, by: Visitor, whom: Visitor) -> None:
    """A remote logout: one device ends another's session. Raises OSError when no answer comes."""
    answer = await at.ask("DELETE", f"/v1/sessions/{whom.session_id}", by.credential)
    assert answer.status == 204, answer


async def is_ready(at: Asker) -> bool:
    """Whether a worker says that nothing is missing."""
    with suppress(OSError):
        return bool(json.loads((await at.ask("GET", "/readyz")).body)["status"] == "ok")
    return False


def _own_page(door: str) -> Headers:
    return {} if door == "native" else {"Origin": ORIGIN, "X-Coatcheck-Client": door}


def _cookie(answer: Answer, wanted: str) -> str:
    """The `Cookie` header that gives this one back."""
    for line in answer.head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "set-cookie" and wanted in value.partition("=")[0]:
            return value.partition(";")[0]
    raise AssertionError(f"no cookie {wanted}")
