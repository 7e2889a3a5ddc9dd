"""Every kind of credential, sent to every place that expects another kind: refused, and nothing has changed.

A worker remembers what it has verified. Once, a web cookie that it remembered was accepted as an access token, and an
access token as a web cookie, without Origin and CSRF token. So each place is asked twice: by a worker that has just
verified every credential at its own place, and by one that has seen none of them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
import pytest

from coatcheck import introspection
from tests.conftest import OpenHouse
from tests.factors import enrol_app, pending
from tests.house import PASSWORD, URL, House, link_in
from tests.streams import stream_status

ADA, EVE = "ada@example.test", "eve@example.test"
SESSION, REFRESH, DEVICE = (f"__Host-coatcheck-{name}" for name in ("session", "refresh", "device"))
OWN_PAGE = {door: {"Origin": URL, "X-Coatcheck-Client": door} for door in ("spa", "web")}
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


async def verify_sign_in(issued: Issued, credential: str) -> Outcome:
    body = {"challenge_token": credential, "method": "recovery_code", "code": "wrong"}
    return outcome(await issued.http().post("/v1/native/login/verify", json=body))


async def follow_reset_link(issued: Issued, credential: str) -> Outcome:
    body = {"token": credential, "new_password": "four wise monkeys dancing"}
    return outcome(await issued.http().post("/v1/password-reset/confirm", json=body))


async def revoke(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/oauth/revoke", data={"token": credential}))


async def log_out_of_spa(issued: Issued, credential: str) -> Outcome:
    return outcome(await issued.http().post("/v1/spa/logout", headers=OWN_PAGE["spa"] | cookie(REFRESH, credential)))


async def log_out_of_web(issued: Issued, credential: str) -> Outcome:
    headers = OWN_PAGE["web"] | {"X-CSRF-Token": issued.credentials["web CSRF token"]} | cookie(SESSION, credential)
    return outcome(await issued.http().post("/v1/web/logout", headers=headers))


class Place(NamedTuple):
    """Where a credential is sent: which ones belong there, what they are answered, and what any other may be."""

    send: Callable[[Issued, str], Awaitable[Outcome]]
    right: tuple[str, ...]
    accepted: Outcome
    refused: Outcome
    too_long: Outcome | None = None


INVALID, SIGN_IN = Outcome(401, "token_invalid"), Outcome(303, "/account/sign-in")
WEB, SPA, NATIVE = "web session cookie", "spa refresh cookie", "native refresh token"
PLACES = [
    Place(read_with_bearer, ACCESS_TOKENS, Outcome(200), INVALID),
    Place(write_with_bearer, ACCESS_TOKENS, Outcome(200), INVALID),
    Place(follow_events_with_bearer, ACCESS_TOKENS, Outcome(200), Outcome(401)),
    Place(read_web_session_with_bearer, (), Outcome(200), INVALID),
    Place(read_with_cookie, (WEB,), Outcome(200), INVALID),
    Place(write_with_bare_cookie, (WEB,), Outcome(403, "csrf_failed"), INVALID),
    Place(write_with_cookie, (WEB,), Outcome(200), INVALID),
    Place(follow_events_with_cookie, (WEB,), Outcome(200), Outcome(401)),
    Place(open_page, (WEB,), Outcome(200), SIGN_IN),
    Place(send_form, (WEB,), Outcome(303, "/account/profile"), SIGN_IN),
    Place(send_csrf_token, ("web CSRF token",), Outcome(200), Outcome(403, "csrf_failed")),
    Place(refresh_with_cookie, (SPA,), Outcome(200), INVALID),
    Place(refresh_with_form, (NATIVE,), Outcome(200), Outcome(400, "token_invalid")),
    Place(introspect, ACCESS_TOKENS, Outcome(200, "active"), Outcome(200, "inactive")),
    Place(introspect_as_service, ("service credential",), Outcome(200), Outcome(401, "invalid_credentials")),
    Place(
        verify_sign_in,
        ("pending sign-in",),
        Outcome(401, "invalid_credentials"),
        Outcome(401, "challenge_expired"),
        too_long=Outcome(422, "invalid_request"),
    ),
    Place(
        follow_reset_link,
        ("reset link",),
        Outcome(204),
        Outcome(410, "link_invalid"),
        too_long=Outcome(422, "invalid_request"),
    ),
    # These answer the same whatever they are sent; what they must not do is end a session.
    Place(revoke, (NATIVE, *ACCESS_TOKENS), Outcome(200), Outcome(200)),
    Place(log_out_of_spa, (SPA,), Outcome(204), Outcome(204)),
    Place(log_out_of_web, (WEB,), Outcome(204), Outcome(204)),
]


async def issue(house: House) -> Issued:
    """Sign Ada in at every door, and make every other kind of credential for her, for Eve and for a service."""
    await house.register()
    await house.register(EVE)
    await enrol_app(house, await house.native(EVE))
    native, spa, web = await house.native(), await house.spa(), await house.web()
    await house.http().post("/v1/password-reset", json={"email": ADA})
    [reset] = [letter for letter in await house.mails(ADA) if "/account/reset" in str(letter.get_body(("plain",)))]
    passkey = await house.http().post("/v1/passkeys/options", json={})
    found = {
        "native access token": native.access_token,
        NATIVE: native.refresh_token,
        "native device token": native.device_token,
        "spa access token": spa.access_token,
        SPA: spa.cookie,
        "spa device cookie": spa.http.cookies.get(DEVICE),
        WEB: web.cookie,
        "web device cookie": web.http.cookies.get(DEVICE),
        "web CSRF token": web.csrf_token,
        "service credential": await introspection.add(house.desk, "parcels"),
        "passkey challenge": passkey.json()["challenge_token"],
        "pending sign-in": await pending(house, email=EVE),
        "reset link": link_in(reset, "/account/reset"),
    }
    return Issued({name: value for name, value in found.items() if value})


async def use_each_at_its_place(issued: Issued) -> None:
    """Have the worker verify what it remembers, and see that all of it is good."""
    for name in ACCESS_TOKENS:
        assert await read_with_bearer(issued, issued.credentials[name]) == Outcome(200)
        assert await introspect(issued, issued.credentials[name]) == Outcome(200, "active")
    assert await read_with_cookie(issued, issued.credentials[WEB]) == Outcome(200)
    assert await refresh_with_form(issued, issued.credentials[NATIVE]) == Outcome(200)
    assert await refresh_with_cookie(issued, issued.credentials[SPA]) == Outcome(200)


async def state(house: House) -> dict[str, Any]:
    """What a credential in the wrong place could have changed."""
    return {
        "accounts": await house.rows("SELECT id, name, password_hash FROM account ORDER BY id"),
        "sessions": await house.rows("SELECT id, generation, ended_at FROM session ORDER BY id"),
        "challenges": await house.rows("SELECT key, attempts FROM challenge ORDER BY key"),
    }


@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("place", PLACES, ids=[place.send.__name__ for place in PLACES])
async def test_credential_of_another_kind_is_refused(open_house: OpenHouse, place: Place, cache: str) -> None:
    """A place refuses every credential that is not of its kind, whether or not the worker remembers it; nothing
    changes, all credentials stay good, and the place accepts its own."""
    async with open_house() as issuer:
        issued = await issue(issuer)
    assert len(issued.credentials) == 13
    async with open_house() as house:
        issued.house = house
        if cache == "warm":
            await use_each_at_its_place(issued)
        before = await state(house)
        for name in issued.credentials.keys() - set(place.right):
            expected = place.too_long if place.too_long and name in ACCESS_TOKENS else place.refused
            assert await place.send(issued, issued.credentials[name]) == expected, name
        assert await state(house) == before
        await use_each_at_its_place(issued)
        for name in place.right:
            assert await place.send(issued, issued.credentials[name]) == place.accepted, name


@pytest.mark.parametrize("door", ["native", "spa", "web"])
async def test_device_secret_of_another_kind_recognises_no_device(house: House, door: str) -> None:
    """A sign-in that sends another credential in the device secret's place is not taken for the known device."""
    issued = await issue(house)
    issued.house = house
    own = {"native": "native device token", "spa": "spa device cookie", "web": "web device cookie"}[door]
    known = {row["id"] for row in await house.rows("SELECT id FROM device")}
    for name in issued.credentials.keys() - {"native device token", "spa device cookie", "web device cookie"}:
        is_too_long = door == "native" and name in ACCESS_TOKENS
        assert await sign_in_with_device(issued, door, issued.credentials[name]) == (422 if is_too_long else 200)
        found = {row["id"] for row in await house.rows("SELECT id FROM device")}
        assert len(found - known) == (0 if is_too_long else 1), name
        known = found
    assert await sign_in_with_device(issued, door, issued.credentials[own]) == 200
    assert {row["id"] for row in await house.rows("SELECT id FROM device")} == known


async def sign_in_with_device(issued: Issued, door: str, secret: str) -> int:
    body: dict[str, Any] = {"email": ADA, "password": PASSWORD}
    headers = OWN_PAGE.get(door, {})
    if door == "native":
        body["device"] = {"token": secret}
    else:
        headers = headers | cookie(DEVICE, secret)
    return (await issued.http().post(f"/v1/{door}/login", json=body, headers=headers)).status_code
