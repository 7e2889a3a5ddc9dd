"""The only file that speaks HTTP. Turns every outcome into an answer or one of `refusals.py`.

TLS is verified against certifi's authorities, given explicitly because Android has none that Python finds. There is no
switch to turn that off. Neither proxies nor `.netrc` are read from the environment: the latter would replace our
Authorization header.
"""

import json
import ssl
from collections.abc import Callable
from typing import Any

import certifi
import httpx2

from .refusals import NoRoom, Refused, SecondStep, Unreachable, Untrusted
from .server_address import server_address

_TIMEOUT = httpx2.Timeout(10.0, connect=5.0)  # seconds
_STREAM_TIMEOUT = httpx2.Timeout(10.0, connect=5.0, read=40.0)  # the server says something every 15 s
_LONGEST_WAIT = 15 * 60.0  # seconds that a Retry-After is believed


class Wire:
    """Requests to one server. Raises AddressRefused for one that could be overheard."""

    def __init__(self, server: str) -> None:
        self.server = server_address(server)
        self._http = httpx2.AsyncClient(
            base_url=self.server,
            verify=ssl.create_default_context(cafile=certifi.where()),
            timeout=_TIMEOUT,
            trust_env=False,
            headers={"User-Agent": "Coatcheck-App/0.1", "Accept": "application/json"},
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        bearer: str | None = None,
        body: dict[str, Any] | None = None,
        form: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON object, `{}` for 204. Raises Unreachable, Refused."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            answer = await self._http.request(method, path, headers=headers, json=body, data=form)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None
        return _judge(answer)

    async def listen(
        self, bearer: str, opened: Callable[[], None], tell: Callable[[str, dict[str, Any]], None]
    ) -> None:
        """Follow `GET /v1/events` until the server closes it. Raises Unreachable, Refused."""
        headers = {"Authorization": f"Bearer {bearer}", "Accept": "text/event-stream"}
        request = self._http.stream("GET", "/v1/events", headers=headers, timeout=_STREAM_TIMEOUT)
        try:
            async with request as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    _judge(answer)
                opened()
                await _read_events(answer, tell)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from None

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


async def _read_events(answer: httpx2.Response, tell: Callable[[str, dict[str, Any]], None]) -> None:
    kind, data = "", ""
    async for line in answer.aiter_lines():
        if not line:
            if kind:
                tell(kind, _object(data))
            kind, data = "", ""
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value


def _judge(answer: httpx2.Response) -> dict[str, Any]:
    if answer.status_code == 204 or (answer.status_code == 202 and not answer.content):  # 202: a mail decides
        return {}
    content = _object(answer.text)
    retry_after = _seconds(answer.headers.get("Retry-After"))
    if answer.is_success and (content or answer.text.strip() == "{}"):
        return content
    code = content.get("code")
    # What doesn't speak our language (a proxy, a captive portal, another program) says nothing about the session.
    if answer.status_code < 400 or answer.status_code >= 500 or not isinstance(code, str):
        raise Unreachable(retry_after)
    challenge = content.get("challenge_token")
    if isinstance(challenge, str):
        _go_on(code, answer.status_code, challenge, content)
    raise Refused(code, answer.status_code, _field_errors(content), retry_after)


def _go_on(code: str, status: int, challenge: str, content: dict[str, Any]) -> None:
    """Raise what the sign-in still needs, if we know it."""
    if code == "mfa_required" and isinstance(methods := content.get("methods"), list):
        known = tuple(method for method in methods if isinstance(method, str))
        raise SecondStep(code, status, challenge_token=challenge, methods=known)
    if code == "session_limit" and isinstance(devices := content.get("devices"), list):
        raise NoRoom(code, status, challenge_token=challenge, devices=devices)


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _field_errors(content: dict[str, Any]) -> dict[str, str]:
    found = content.get("errors")
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return {str(one.get("field", "")): str(one.get("message", "")) for one in listed}


def _seconds(header: str | None) -> float | None:
    return min(float(header), _LONGEST_WAIT) if header and header.isascii() and header.isdigit() else None


def _unreachable(error: httpx2.HTTPError) -> Unreachable:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted()
        cause = cause.__cause__ or cause.__context__
    return Unreachable()
