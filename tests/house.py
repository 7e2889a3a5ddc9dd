"""A running application for a test, and the clients that talk HTTP to it. Nothing in the application is replaced but
its clock, which moves; nobody sleeps."""

import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Self

import httpx2
from fastapi import FastAPI

from coatcheck import administration, ids, settings
from coatcheck.app import create_app
from coatcheck.clock import Clock
from coatcheck.desk import Desk
from coatcheck.roles import Role

URL = "https://coatcheck.test"
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778"
PASSWORD = "three wise monkeys dancing"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
)
# Cheap hashing: what is under test is never the cost of Argon2, except where a test says so.
CHEAP_HASHING: dict[str, Any] = {"argon2_memory_kib": 64, "argon2_time": 1}


class MovableClock(Clock):
    """Real time, plus what the test has moved it by."""

    def __init__(self) -> None:
        self.moved, self.passed = 0, 0

    def now(self) -> int:
        return super().now() + self.moved

    def steady(self) -> int:
        return super().steady() + self.passed

    def move(self, seconds: float) -> None:
        """Later by so many seconds (set back, if negative: no time ever passes backwards)."""
        self.moved += int(seconds * 1000)
        self.passed += max(0, int(seconds * 1000))


@dataclass
class House:
    """One application: one worker's worth."""

    app: FastAPI
    clock: MovableClock

    @property
    def desk(self) -> Desk:
        return self.app.state.desk  # type: ignore[no-any-return]

    def http(self, user_agent: str = FIREFOX, ip: str = "203.0.113.7", **options: Any) -> httpx2.AsyncClient:
        """A plain HTTP client with a cookie jar of its own, calling from `ip`."""
        transport = httpx2.ASGITransport(self.app, client=(ip, 40_000))
        headers = {"User-Agent": user_agent} | options.pop("headers", {})
        return httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers, **options)

    async def register(self, email: str = "ada@example.test", password: str = PASSWORD, **more: Any) -> dict[str, Any]:
        """A new account."""
        answer = await self.http().post("/v1/accounts", json={"email": email, "password": password, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()  # type: ignore[no-any-return]

    async def native(self, email: str = "ada@example.test", **more: Any) -> "NativeClient":
        """A phone that has just signed in."""
        return await NativeClient(self.http("coatcheck-phone/1")).login(email, **more)

    async def spa(self, email: str = "ada@example.test", **more: Any) -> "SpaClient":
        """A browser that has just signed in to the single-page app."""
        return await SpaClient(self.http()).login(email, **more)

    async def web(self, email: str = "ada@example.test", **more: Any) -> "WebClient":
        """A browser that has just signed in to the account pages."""
        return await WebClient(self.http()).login(email, **more)

    async def staff(self, role: Role = "admin", email: str = "root@example.test") -> "NativeClient":
        """Somebody with a role, who has just signed in."""
        account = await self.register(email)
        await self.give_role(account["id"], role)
        return await self.native(email)

    async def give_role(self, account_id: str, role: Role) -> None:
        """As `coatcheck accounts grant-admin` and its like do."""
        await administration.set_role(self.desk, ids.raw("acc", account_id) or b"", role, None)

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        """What the database holds, to assert what a call left behind."""
        return [dict(row) for row in await self.desk.db.hot.fetch(sql, *args)]

    async def mails(self, to: str | None = None) -> list[EmailMessage]:
        """What lies in the outbox when all that was posted is delivered, oldest first; all of it, or one person's."""
        await self.desk.postman.deliver()
        files = sorted(self.outbox.glob("*.eml"), key=lambda file: file.name.partition("-")[0])
        found = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
        return [one for one in found if to in (None, one["To"])]

    @property
    def outbox(self) -> Path:
        """Where mails go while no server takes them."""
        return self.desk.settings.data_dir / "outbox"

    async def audit(self, kind: str) -> list[dict[str, Any]]:
        """Audit events of one kind, oldest first."""
        return await self.rows("SELECT * FROM audit_event WHERE kind = $1 ORDER BY id", kind)


@dataclass
class NativeClient:
    """A native client: keeps both tokens, nothing else."""

    http: httpx2.AsyncClient
    access_token: str = ""
    refresh_token: str = ""
    device_token: str = ""
    grant: dict[str, Any] = field(default_factory=dict)

    async def login(self, email: str, password: str = PASSWORD, **device: Any) -> Self:
        body: dict[str, Any] = {"email": email, "password": password}
        if self.device_token:
            device = {"token": self.device_token} | device
        if device:
            body["device"] = device
        answer = await self.http.post("/v1/native/login", json=body)
        assert answer.status_code == 200, answer.text
        self.grant = answer.json()
        self.access_token, self.refresh_token = self.grant["access_token"], self.grant["refresh_token"]
        self.device_token = self.grant["device_token"]
        return self

    @property
    def session_id(self) -> str:
        return self.grant["session"]["id"]  # type: ignore[no-any-return]

    async def refresh(self, refresh_token: str | None = None) -> httpx2.Response:
        """Refresh with the kept token, which the answer's replaces, or with another one, which changes nothing here."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token or self.refresh_token}
        answer = await self.http.post("/oauth/token", data=form)
        if refresh_token is None and answer.status_code == 200:
            self.access_token, self.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
        return answer

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request with the kept access token."""
        headers = {"Authorization": f"Bearer {self.access_token}"} | options.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str) -> httpx2.Response:
        return await self.call("GET", path)

    async def prove(self, password: str = PASSWORD) -> httpx2.Response:
        """Step up, and go on with the new access token."""
        answer = await self.call("POST", "/v1/me/reauthenticate", json={"password": password})
        self.access_token = answer.json().get("access_token", self.access_token)
        return answer


@dataclass
class SpaClient:
    """A browser with the single-page app: access token in memory, the rest in the cookie jar."""

    http: httpx2.AsyncClient
    access_token: str = ""
    grant: dict[str, Any] = field(default_factory=dict)

    OWN_PAGE = {"Origin": URL, "X-Coatcheck-Client": "spa"}  # noqa: RUF012  # never changed

    async def login(self, email: str, password: str = PASSWORD, **device: Any) -> Self:
        body: dict[str, Any] = {"email": email, "password": password} | ({"device": device} if device else {})
        answer = await self.post("/v1/spa/login", json=body)
        assert answer.status_code == 200, answer.text
        self.grant = answer.json()
        self.access_token = self.grant["access_token"]
        return self

    @property
    def session_id(self) -> str:
        return self.grant["session"]["id"]  # type: ignore[no-any-return]

    @property
    def cookie(self) -> str | None:
        """The refresh token in the jar."""
        return self.http.cookies.get("__Host-coatcheck-refresh")

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        """A call under /v1/spa/, as our own page makes it."""
        return await self.http.post(path, headers=self.OWN_PAGE | options.pop("headers", {}), **options)

    async def refresh(self) -> httpx2.Response:
        answer = await self.post("/v1/spa/refresh")
        if answer.status_code == 200:
            self.access_token = answer.json()["access_token"]
        return answer

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.access_token}"} | options.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str) -> httpx2.Response:
        return await self.call("GET", path)

    async def prove(self, password: str = PASSWORD) -> httpx2.Response:
        """Step up, and go on with the new access token."""
        answer = await self.call("POST", "/v1/me/reauthenticate", json={"password": password})
        self.access_token = answer.json().get("access_token", self.access_token)
        return answer


@dataclass
class WebClient:
    """A browser on the account pages: one session cookie, and the CSRF token of the page."""

    http: httpx2.AsyncClient
    csrf_token: str = ""
    grant: dict[str, Any] = field(default_factory=dict)

    OWN_PAGE = {"Origin": URL, "X-Coatcheck-Client": "web"}  # noqa: RUF012  # never changed

    async def login(self, email: str, password: str = PASSWORD) -> Self:
        answer = await self.call("POST", "/v1/web/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        self.grant = answer.json()
        self.csrf_token = self.grant["csrf_token"]
        return self

    @property
    def session_id(self) -> str:
        return self.grant["session"]["id"]  # type: ignore[no-any-return]

    @property
    def cookie(self) -> str | None:
        """The session cookie in the jar."""
        return self.http.cookies.get("__Host-coatcheck-session")

    async def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request as our own page makes it, CSRF token included."""
        headers = self.OWN_PAGE | ({"X-CSRF-Token": self.csrf_token} if self.csrf_token else {})
        return await self.http.request(method, path, headers=headers | options.pop("headers", {}), **options)

    async def get(self, path: str) -> httpx2.Response:
        return await self.http.get(path)

    async def prove(self, password: str = PASSWORD) -> httpx2.Response:
        """Step up, and go on with the new cookie and its CSRF token."""
        answer = await self.call("POST", "/v1/me/reauthenticate", json={"password": password})
        self.csrf_token = answer.json().get("csrf_token", self.csrf_token)
        return answer


@contextmanager
def hashing_held_up(house: House) -> Iterator[None]:
    """Nothing is hashed in this block: what needs it waits."""
    let_go = threading.Event()
    for _ in range(house.desk.settings.hash_workers):
        house.desk.hasher._threads.submit(let_go.wait, 60)
    try:
        yield
    finally:
        let_go.set()


@asynccontextmanager
async def opened(clock: MovableClock, **chosen: Any) -> AsyncIterator[House]:
    """An application with its lifespan running."""
    given: dict[str, Any] = {"public_url": URL, "secret_key": [SECRET]} | CHEAP_HASHING | chosen
    app = create_app(settings.load({}, **given), clock)
    async with app.router.lifespan_context(app):
        yield House(app, clock)


def link_in(letter: EmailMessage, path: str = "") -> str:
    """The token of the link to `path` in a mail; both forms hold the same."""
    found = {re.search(rf"{URL}{path}[^\s\"<]*#([\w-]+)", _form(letter, kind)) for kind in ("plain", "html")}
    tokens = {one[1] for one in found if one}
    assert len(tokens) == 1, letter.as_string()
    return tokens.pop()


def _form(letter: EmailMessage, kind: str) -> str:
    part = letter.get_body((kind,))
    assert part is not None
    return str(part.get_content())
