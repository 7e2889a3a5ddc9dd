"""Every route of the route table, called by everybody: what docs/permissions.md says is what happens.

tests/unit/test_permissions_page.py sees to it that the page has each route.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import pytest

from tests.conftest import Stores
from tests.house import PASSWORD, URL, House, MovableClock, opened
from tests.pages import token_in
from tests.streams import stream_status
from tests.unit.test_permissions_page import documented, routes_of

WHO = ("anonymous", "user", "support", "admin", "disabled", "step-up missing")
OPEN: dict[str, Any] = {"limit_register": "off", "limit_login": "off", "limit_mail": "off", "limit_challenge": "off"}
IDS = {
    "account_id": "acc_" + "A" * 22,
    "session_id": "ses_" + "A" * 22,
    "device_id": "dev_" + "A" * 22,
    "factor_id": "fac_" + "A" * 22,
}
STREAMS = ("/v1/events", "/v1/revocations/stream")
_REFUSED = {
    "unauthenticated": "401",
    "session_revoked": "401",
    "forbidden": "403",
    "reauthentication_required": "step-up",
    "csrf_failed": "csrf",
}


class Persona:
    """Somebody who calls: the API with an access token, pages with a cookie."""

    def __init__(self, who: str, house: House, number: Iterator[int]) -> None:
        self.who, self.house, self.number = who, house, number
        self.email, self.entered = "", cast("bool | None", None)
        self.bearer: dict[str, str] = {}
        self.http = house.http()

    async def ready(self, page: bool) -> None:
        """Signed in, with a new account where the last call ended the session before."""
        if self.who == "anonymous" or (self.who == "disabled" and self.entered == page):
            return
        if self.entered == page:
            answer = await self.http.get("/v1/sessions/current", headers=self.bearer)
            if answer.status_code == 200:
                return
        self.http, self.bearer, self.entered = self.house.http(), {}, page
        self.email = f"p{next(self.number)}@example.test"
        await self.enter(page)

    async def enter(self, page: bool) -> None:
        """A new account and a new session of it."""
        account = await self.house.register(self.email)
        role = {"step-up missing": "admin"}.get(self.who, self.who)
        if role in ("support", "admin"):
            await self.house.give_role(account["id"], role)  # type: ignore[arg-type]
        body = {"email": self.email, "password": PASSWORD}
        if page:
            own = {"Origin": URL, "X-Coatcheck-Client": "web"}
            assert (await self.http.post("/v1/web/login", json=body, headers=own)).status_code == 200
        else:
            grant = (await self.http.post("/v1/native/login", json=body)).json()
            self.bearer = {"Authorization": f"Bearer {grant['access_token']}"}
        if self.who == "disabled":
            await self.house.rows("UPDATE account SET disabled_at = 1 WHERE email = $1 RETURNING id", self.email)
            await self.house.rows(
                "UPDATE session SET ended_at = $1, end_reason = 'admin' WHERE account_id = "
                "(SELECT id FROM account WHERE email = $2) RETURNING id",
                self.house.clock.now(),
                self.email,
            )
            await self.house.desk.feed._sweep()
        if self.who == "step-up missing":
            self.house.clock.move(301)

    async def call(self, method: str, path: str) -> httpx2.Response:
        """As our own pages and apps would, with as little in the body as can be."""
        path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: IDS.get(match[1], "x"), path)
        if path.startswith(("/account", "/admin")):
            return await self._page(method, path)
        headers = self.bearer | {"Origin": URL, "X-Coatcheck-Client": "web" if "/web/" in path else "spa"}
        if method == "GET":
            return await self.http.request(method, path, headers=headers)
        if path.startswith("/oauth/"):
            return await self.http.request(method, path, headers=headers, data={"token": "x"})
        return await self.http.request(method, path, headers=headers, json=_BODIES.get(path, {}))

    async def _page(self, method: str, path: str) -> httpx2.Response:
        same = {"Sec-Fetch-Site": "same-origin"}
        if method == "GET":
            return await self.http.get(path, headers=same)
        look = "/account/sign-up" if self.who in ("anonymous", "disabled") or path in _GUESTS else "/account"
        token = token_in((await self.http.get(look, headers=same)).text)
        return await self.http.request(
            method, path, headers={"Origin": URL}, data=_BODIES.get(path, {}) | {"csrf_token": token}
        )


# Forms for whoever comes, and what has to be sent for a route to come as far as asking for a fresh proof.
_GUESTS = tuple(f"/account/{name}" for name in ("sign-in", "sign-up", "forgot", "reset", "verify", "not-me"))
_GUESTS += ("/account/email/confirm", "/account/email/undo")
_GUESTS += tuple(f"/account/sign-in/{step}" for step in ("verify", "passkey", "limit"))
_BODIES = {"/v1/me/email": {"email": "new@example.test"}, "/account/email": {"email": "new@example.test"}}


def outcome(answer: httpx2.Response) -> str:
    """What it means for who called: a word of docs/permissions.md."""
    where = answer.headers.get("location", "")
    if answer.status_code == 303 and where.startswith("/account/sign-in?"):
        return "401"
    if answer.status_code == 303 and where.startswith("/account/step-up"):
        return "step-up"
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        return _REFUSED.get(str(answer.json()["code"]), "yes")
    return "403" if answer.status_code == 403 else "yes"


async def called(house: House, persona: Persona, method: str, path: str) -> str:
    """The outcome of one call."""
    await persona.ready(path.startswith(("/account", "/admin")))
    if path in STREAMS:
        status = await stream_status(house.app, path, persona.bearer)
        return "yes" if status == 200 else str(status)
    return outcome(await persona.call(method, path))


@pytest.mark.parametrize("who", WHO)
async def test_permissions_are_what_the_page_says(embedded: Stores, clock: MovableClock, who: str) -> None:
    """Each route, called by each of these, answers as docs/permissions.md has it."""
    async with opened(clock, **embedded, **OPEN) as house:
        persona, said = Persona(who, house, iter(range(10_000))), {}
        for method, path in routes_of(house.app):
            said[f"{method} {path}"] = await called(house, persona, method, path)
    assert said == {route: cells[WHO.index(who)] for route, cells in documented().items()}
