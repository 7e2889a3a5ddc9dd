"""Each place that takes a credential: how it is asked, and what it answers to credentials of its kind and others."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx2

from tests.factors import OWN_PAGE
from tests.house import PASSWORD, URL, House
from tests.streams import stream_status

SESSION, REFRESH, DEVICE = (f"__Host-coatcheck-{name}" for name in ("session", "refresh", "device"))
ACCESS_TOKENS = ("native access token", "spa access token")


@dataclass
class Issued:
    """One credential of each kind, by its name, and the worker that is asked."""

    credentials: dict[str, str]
    house: House = field(init=False)
    asked: int = 0

    def http(self) -> httpx2.AsyncClient:
        """A client from an address of its own, so that no limit answers for the rule under test."""
        self.asked += 1
        return self.house.http(ip=f"198.51.{self.asked // 250}.{self.asked % 250 + 1}")


class Outcome(NamedTuple):
    """What a place answered: the status, and the problem's code or whatever else tells a yes from a no."""

    status: int
    said: str = ""


Send = Callable[[Issued, str], Awaitable[Outcome]]


def outcome(answer: httpx2.Response) -> Outcome:
    """Of an answer in JSON, or of a page that redirects to the sign-in."""
    if answer.status_code == 303:
        return Outcome(303, answer.headers["location"].partition("?")[0])
    is_json = answer.content and "json" in answer.headers["content-type"]
    return Outcome(answer.status_code, str(answer.json().get("code", "")) if is_json else "")


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def cookie(name: str, value: str) -> dict[str, str]:
    return {"Cookie": f"{name}={value}"}


async def read_with_bearer(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().get("/v1/sessions/current", headers=bearer(credential)))


async def write_with_bearer(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().patch("/v1/me", json={"name": "Countess"}, headers=bearer(credential)))


async def follow_events_with_bearer(issued: Issued, credential: str) -> Outcome:
    return Outcome(await stream_status(issued.house.app, "/v1/events", bearer(credential)))


async def open_page_with_bearer(issued: Issued, credential: str) -> Outcome:
    headers = {"Sec-Fetch-Site": "same-origin"} | bearer(credential)
    return outcome(await issued.http().get("/account", headers=headers))


async def read_web_session_with_bearer(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().get("/v1/web/session", headers=bearer(credential)))


async def read_with_cookie(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().get("/v1/sessions/current", headers=cookie(SESSION, credential)))


async def write_with_bare_cookie(issued: Issued, credential: str) -> Outcome:
    """Without Origin and CSRF token, as only a bearer's call may come."""
    return outcome(await issued.http().patch("/v1/me", json={"name": "Countess"}, headers=cookie(SESSION, credential)))


async def write_with_cookie(issued: Issued, credential: str) -> Outcome:
    headers = OWN_PAGE["web"] | {"X-CSRF-Token": issued.credentials["web CSRF token"]} | cookie(SESSION, credential)
    return outcome(await issued.http().patch("/v1/me", json={"name": "Countess"}, headers=headers))


async def follow_events_with_cookie(issued: Issued, credential: str) -> Outcome:
    return Outcome(await stream_status(issued.house.app, "/v1/events", cookie(SESSION, credential)))


async def open_page(issued: Issued, credential: str) -> Outcome:
    headers = {"Sec-Fetch-Site": "same-origin"} | cookie(SESSION, credential)
    return outcome(await issued.http().get("/account", headers=headers))


async def send_form(issued: Issued, credential: str) -> Outcome:
    fields = {"name": "Countess", "csrf_token": issued.credentials["web CSRF token"]}
    headers = {"Origin": URL} | cookie(SESSION, credential)
    return outcome(await issued.http().post("/account/profile", data=fields, headers=headers))


async def send_csrf_token(issued: Issued, credential: str) -> Outcome:
    headers = OWN_PAGE["web"] | {"X-CSRF-Token": credential} | cookie(SESSION, issued.credentials["web session cookie"])
    return outcome(await issued.http().patch("/v1/me", json={"name": "Countess"}, headers=headers))


async def refresh_with_cookie(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/v1/spa/refresh", headers=OWN_PAGE["spa"] | cookie(REFRESH, credential)))


async def refresh_with_form(issued: Issued, credential: str) -> Outcome:
    form = {"grant_type": "refresh_token", "refresh_token": credential}
    return outcome(await issued.http().post("/oauth/token", data=form))


async def introspect(issued: Issued, credential: str) -> Outcome:
    headers = bearer(issued.credentials["service credential"])
    answer = await issued.http().post("/oauth/introspect", data={"token": credential}, headers=headers)
    return Outcome(answer.status_code, "active" if answer.json()["active"] else "inactive")


async def introspect_as_service(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/oauth/introspect", data={"token": "x"}, headers=bearer(credential)))


async def introspect_as_named_service(issued: Issued, credential: str) -> Outcome:
    headers = {"Authorization": "Basic " + b64encode(f"parcels:{credential}".encode()).decode()}
    return outcome(await issued.http().post("/oauth/introspect", data={"token": "x"}, headers=headers))


def verify_sign_in(door: str) -> Send:
    async def verify(issued: Issued, credential: str) -> Outcome:
        body = {"challenge_token": credential, "method": "recovery_code", "code": "wrong"}
        return outcome(await issued.http().post(f"/v1/{door}/login/verify", json=body, headers=OWN_PAGE[door]))

    return verify


def follow_link(path: str, **more: str) -> Send:
    async def follow(issued: Issued, credential: str) -> Outcome:
        return outcome(await issued.http().post(path, json={"token": credential, **more}))

    return follow


async def revoke(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/oauth/revoke", data={"token": credential}))


async def log_out_of_spa(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/v1/spa/logout", headers=OWN_PAGE["spa"] | cookie(REFRESH, credential)))


async def log_out_of_spa_with_bearer(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/v1/spa/logout", headers=OWN_PAGE["spa"] | bearer(credential)))


async def log_out_of_web(issued: Issued, credential: str) -> Outcome:
    headers = OWN_PAGE["web"] | {"X-CSRF-Token": issued.credentials["web CSRF token"]} | cookie(SESSION, credential)
    return outcome(await issued.http().post("/v1/web/logout", headers=headers))


@dataclass(frozen=True)
class Place:
    """Where a credential is sent: which ones belong there, what they are answered, and what all others are."""

    name: str
    send: Send
    right: tuple[str, ...]
    accepted: Outcome | None
    refused: Outcome
    too_long: Outcome | None = None  # the answer to an access token, where it is over the field's length
    ends: int = 0  # sessions that the right credentials end


INVALID, SIGN_IN = Outcome(401, "token_invalid"), Outcome(303, "/account/sign-in")
TOO_LONG, EXPIRED = Outcome(422, "invalid_request"), Outcome(401, "challenge_expired")
DEAD_LINK = Outcome(410, "link_invalid")
NO_SERVICE = Outcome(401, "invalid_credentials")
WEB, SPA, NATIVE = "web session cookie", "spa refresh cookie", "native refresh token"
LINKS = {
    "reset link": ("/v1/password-reset/confirm", {"new_password": "four wise monkeys dancing"}),
    "verification link": ("/v1/email-verification/confirm", {"password": PASSWORD}),
    "address change link": ("/v1/email-change/confirm", {"password": PASSWORD}),
}
PLACES = [
    Place("read with bearer", read_with_bearer, ACCESS_TOKENS, Outcome(200), INVALID),
    Place("write with bearer", write_with_bearer, ACCESS_TOKENS, Outcome(200), INVALID),
    Place("events with bearer", follow_events_with_bearer, ACCESS_TOKENS, Outcome(200), Outcome(401)),
    Place("page with bearer", open_page_with_bearer, (), None, SIGN_IN),
    Place("web session with bearer", read_web_session_with_bearer, (), None, INVALID),
    Place("read with cookie", read_with_cookie, (WEB,), Outcome(200), INVALID),
    Place("write with bare cookie", write_with_bare_cookie, (WEB,), Outcome(403, "csrf_failed"), INVALID),
    Place("write with cookie", write_with_cookie, (WEB,), Outcome(200), INVALID),
    Place("events with cookie", follow_events_with_cookie, (WEB,), Outcome(200), Outcome(401)),
    Place("page with cookie", open_page, (WEB,), Outcome(200), SIGN_IN),
    Place("form with cookie", send_form, (WEB,), Outcome(303, "/account/profile"), SIGN_IN),
    Place("CSRF token", send_csrf_token, ("web CSRF token",), Outcome(200), Outcome(403, "csrf_failed")),
    Place("spa refresh", refresh_with_cookie, (SPA,), Outcome(200), INVALID),
    Place("native refresh", refresh_with_form, (NATIVE,), Outcome(200), Outcome(400, "token_invalid")),
    Place("introspection", introspect, ACCESS_TOKENS, Outcome(200, "active"), Outcome(200, "inactive")),
    Place("service, bearer", introspect_as_service, ("service credential",), Outcome(200), NO_SERVICE),
    Place("service, basic", introspect_as_named_service, ("service credential",), Outcome(200), NO_SERVICE),
    Place("verify native", verify_sign_in("native"), ("pending sign-in",), NO_SERVICE, EXPIRED, TOO_LONG),
    Place("verify spa", verify_sign_in("spa"), (), None, EXPIRED, TOO_LONG),
    Place("verify web", verify_sign_in("web"), (), None, EXPIRED, TOO_LONG),
    *(
        Place(link, follow_link(path, **more), (link,), Outcome(204), DEAD_LINK, TOO_LONG, 3 if "reset" in link else 0)
        for link, (path, more) in LINKS.items()
    ),
    Place("undo link", follow_link("/v1/email-change/undo"), (), None, DEAD_LINK, TOO_LONG),
    Place("not-me link", follow_link("/v1/not-me"), (), None, DEAD_LINK, TOO_LONG),
    # These answer the same whatever they are sent; only the right credentials end sessions.
    Place("revocation", revoke, (NATIVE, *ACCESS_TOKENS), Outcome(200), Outcome(200), ends=2),
    Place("spa logout", log_out_of_spa, (SPA,), Outcome(204), Outcome(204), ends=1),
    Place("spa logout, bearer", log_out_of_spa_with_bearer, ACCESS_TOKENS, Outcome(204), Outcome(204), ends=2),
    Place("web logout", log_out_of_web, (WEB,), Outcome(204), Outcome(204), ends=1),
]
