"""How each door is asked in the soak, as bytes, and what is in its answers."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from coatcheck import ids
from tests.faults.evidence import Silence, Told
from tests.load.asking import ORIGIN, Headers
from tests.load.traffic import Answer, connect

PATIENCE = 10.0  # seconds for an answer
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a signed-in client holds. `renewal`: refresh token, or the web door's cookie; `access` is as young."""

    door: str
    renewal: str
    session: str
    generation: int
    access: str = ""
    csrf: str = ""

    @property
    def shown(self) -> Headers:
        """What authenticates a request."""
        if self.door == "web":
            return {"Cookie": f"__Host-coatcheck-session={self.renewal}"}
        return {"Authorization": f"Bearer {self.access}"}

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A request of who is signed in."""
        unsafe = method != "GET" and self.door == "web"
        return written(method, path, {**self.shown, **(_own_page("web", self.csrf) if unsafe else {})}, body)

    def refreshing(self) -> bytes:
        """The web door's cookie renews itself."""
        if self.door == "native":
            return written(
                "POST", "/oauth/token", {}, form={"grant_type": "refresh_token", "refresh_token": self.renewal}
            )
        return written("POST", "/v1/spa/refresh", self._refresh_cookie)

    def signing_out(self) -> bytes:
        """The door's own way."""
        if self.door == "native":
            return written("POST", "/oauth/revoke", {}, form={"token": self.renewal})
        if self.door == "spa":
            return written("POST", "/v1/spa/logout", self._refresh_cookie)
        return self.request("POST", "/v1/web/logout")

    @property
    def _refresh_cookie(self) -> Headers:
        return {"Cookie": f"__Host-coatcheck-refresh={self.renewal}", **_own_page("spa")}


def signing_in(door: str, email: str, password: str, device: str) -> bytes:
    """On the device of this secret; empty: a new one."""
    body: dict[str, Any] = {"email": email, "password": password}
    if door == "native":
        return written("POST", "/v1/native/login", {}, body | ({"device": {"token": device}} if device else {}))
    cookie = {"Cookie": f"__Host-coatcheck-device={device}"} if device else {}
    return written("POST", f"/v1/{door}/login", {**cookie, **_own_page(door)}, body)


def written(
    method: str, path: str, headers: Headers, body: object = None, form: Mapping[str, str] | None = None
) -> bytes:
    """A whole request."""
    content = urlencode(form).encode() if form else json.dumps(body).encode() if body is not None else b""
    kind = {"Content-Type": _FORM if form else "application/json"} if content else {}
    all_headers = {"Host": "localhost", **headers, **kind, "Content-Length": str(len(content))}
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


async def exchange(port: int, request: bytes, hang_up: float | None) -> Answer | Silence:
    """The answer; or hang up so many seconds after asking, whatever was answered."""
    connection = None
    try:
        async with asyncio.timeout(PATIENCE):
            [connection] = await connect(port, 1)
            if hang_up is None:
                return await connection.exchange(request)
            with suppress(TimeoutError):
                async with asyncio.timeout(hang_up):
                    await connection.exchange(request)
            return "hung up"
    except TimeoutError:
        return "silent"
    except OSError:
        return "broken"
    finally:
        if connection:
            connection.close()


def handed_out(door: str, answer: Answer) -> Keys | None:
    """The credentials in an answer."""
    body = json.loads(answer.body) if answer.body else {}
    renewal = body.get("refresh_token") or cookie(answer, "refresh") or cookie(answer, "session")
    if not renewal or answer.status >= 400:
        return None
    sealed = urlsafe_b64decode(renewal[6:])
    session, generation = ids.text("ses", sealed[5:21]), int.from_bytes(sealed[21:25])
    access = body.get("access_token", "")
    if access:
        claims = json.loads(urlsafe_b64decode(access.split(".")[1] + "=="))
        assert (claims["sid"], claims["gen"]) == (session, generation), (claims, session, generation)
    csrf = body.get("csrf_token") or answer.header("x-csrf-token") or ""
    return Keys(door, renewal, session, generation, access, csrf)


def told(answer: Answer, keys: Keys | None) -> Told:
    """What counts of it."""
    if keys:
        token = sha256(keys.renewal.encode()).hexdigest()[:12]
        return Told(answer.status, session=keys.session, token=token, generation=keys.generation)
    if answer.status < 400:
        return Told(answer.status)
    with suppress(ValueError):
        code = json.loads(answer.body).get("code", "")
        return Told(answer.status, code, waits=answer.header("retry-after") is not None)
    return Told(answer.status, f"no problem: {answer.body[:40]!r}")


def cookie(answer: Answer, wanted: str) -> str:
    """The value of a cookie that is set; empty when it is none, or taken away."""
    for line in answer.head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "set-cookie" and value.startswith(f"__Host-coatcheck-{wanted}="):
            return value.partition("=")[2].partition(";")[0].strip('"')
    return ""


def _own_page(door: str, csrf: str = "") -> Headers:
    if door == "native":
        return {}
    return {"Origin": ORIGIN, "X-Coatcheck-Client": door, **({"X-CSRF-Token": csrf} if csrf else {})}
