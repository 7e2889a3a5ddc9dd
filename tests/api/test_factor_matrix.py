"""Every path that signs in, proves or changes a factor, for an account in every state; taken from the route table, so
that a new path without a row here fails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from coatcheck import administration, ids, settings
from coatcheck.app import create_app
from tests.authenticator import Authenticator
from tests.factors import ADA, OWN_PAGE, App, enrol_app, enrol_passkey, options, pending
from tests.house import PASSWORD, SECRET, House, NativeClient
from tests.pages import Visitor

STATES = ("no factor", "app", "passkey", "disabled", "pending")
WORDS = (
    "login",
    "sign-in",
    "oauth/token",
    "spa/refresh",
    "passkey",
    "factor",
    "totp",
    "recovery-code",
    "reauthenticate",
)


@dataclass
class World:
    """An account in a state: its phone (signed in before the state came), what it holds, and what is half-way."""

    house: House
    state: str
    phone: NativeClient
    app: App | None = None
    passkey: Authenticator | None = None
    waiting: dict[str, str] = field(default_factory=dict)


async def world(house: House, state: str) -> World:
    await house.register()
    phone = await house.native()
    made = World(house, state, phone)
    if state in ("app", "disabled", "pending"):
        made.app = await enrol_app(house, phone)
        made.waiting = {door: await pending(house, door) for door in OWN_PAGE}
    if state == "passkey":
        made.passkey, _ = await enrol_passkey(phone)
        made.waiting = {door: await pending(house, door) for door in OWN_PAGE}
    if state == "disabled":
        [account] = await house.rows("SELECT id FROM account")
        await administration.set_disabled(house.desk, account["id"], True, None)
    return made


Ask = Callable[[World], Awaitable[httpx2.Response]]


def login(door: str) -> Ask:
    async def ask(of: World) -> httpx2.Response:
        body = {"email": ADA, "password": PASSWORD}
        return await of.house.http().post(f"/v1/{door}/login", json=body, headers=OWN_PAGE[door])

    return ask


def verify(door: str) -> Ask:
    """The second step, answered as well as this account can."""

    async def ask(of: World) -> httpx2.Response:
        token, answer = of.waiting.get(door, "cct_c_none"), {"method": "totp", "code": "123456"}
        if of.app:
            answer = {"method": "totp", "code": of.app.next_code()}
        if of.passkey:
            token, public_key = await options(of.house, token)
            answer: dict[str, Any] = {"method": "passkey", "credential": of.passkey.get(public_key)}  # type: ignore[no-redef]
        body = {"challenge_token": token} | answer
        return await of.house.http().post(f"/v1/{door}/login/verify", json=body, headers=OWN_PAGE[door])

    return ask


async def page(of: World) -> httpx2.Response:
    return await Visitor(of.house).post("/account/sign-in", look="/account/sign-in", email=ADA, password=PASSWORD)


def page_without_its_step(path: str) -> Ask:
    """A form of the pages, with a good answer, from a browser that does not hold what the step before it left there."""

    async def ask(of: World) -> httpx2.Response:
        code = of.app.next_code() if of.app else "123456"
        fields = {"challenge_token": of.waiting.get("web", ""), "method": "totp", "code": code, "name": "x"}
        known = (await of.house.rows("SELECT id FROM factor")) or [{"id": bytes(16)}]
        where = path.format(factor_id=ids.text("fac", known[0]["id"]))
        return await Visitor(of.house).post(where, look="/account/sign-in", **fields)

    return ask


async def refresh(of: World) -> httpx2.Response:
    return await of.phone.refresh()


async def spa_refresh(of: World) -> httpx2.Response:
    """With what a pending sign-in handed out, if anything, in place of a refresh token."""
    cookie = f"__Host-coatcheck-refresh={of.waiting.get('spa', 'none')}"
    return await of.house.http().post("/v1/spa/refresh", headers=OWN_PAGE["spa"] | {"Cookie": cookie})


async def passkey_options(of: World) -> httpx2.Response:
    return await of.house.http().post("/v1/passkeys/options", json={})


async def reauthenticate(of: World) -> httpx2.Response:
    return await of.phone.call("POST", "/v1/me/reauthenticate", json={"password": PASSWORD})


def change(method: str, path: str, body: dict[str, Any] | None = None) -> Ask:
    """A change by whoever is half-way: the challenge in place of an access token."""

    async def ask(of: World) -> httpx2.Response:
        of.phone.access_token = of.waiting.get("native", "") if of.state == "pending" else of.phone.access_token
        factors = await of.house.rows("SELECT id FROM factor")
        known = ids.text("fac", factors[0]["id"]) if factors else "fac_AAAAAAAAAAAAAAAAAAAAAA"
        return await of.phone.call(method, path.format(factor_id=known), json=body)

    return ask


NO, YES = False, True
IN = dict(zip(STATES, (YES, NO, NO, NO, NO), strict=True))  # the password alone
SECOND = dict(zip(STATES, (NO, YES, YES, NO, YES), strict=True))  # and the factor
LIVING = dict(zip(STATES, (YES, YES, YES, NO, YES), strict=True))  # the session from before
NEVER = dict.fromkeys(STATES, NO)

# path: how it is asked, and in which states a credential comes of it
SIGN_IN: dict[tuple[str, str], tuple[Ask, dict[str, bool]]] = {
    **{("POST", f"/v1/{door}/login"): (login(door), IN) for door in OWN_PAGE},
    **{("POST", f"/v1/{door}/login/verify"): (verify(door), SECOND) for door in OWN_PAGE},
    ("POST", "/account/sign-in"): (page, IN),
    **{
        ("POST", f"/account/sign-in/{step}"): (page_without_its_step(f"/account/sign-in/{step}"), NEVER)
        for step in ("verify", "passkey", "limit")
    },
    ("POST", "/oauth/token"): (refresh, LIVING),
    ("POST", "/v1/spa/refresh"): (spa_refresh, NEVER),
    ("POST", "/v1/passkeys/options"): (passkey_options, NEVER),
    ("POST", "/v1/me/reauthenticate"): (reauthenticate, IN),
}
# path: how it is asked, and in which states (signed in a moment ago) it is done
DONE = dict(zip(STATES, (YES, YES, YES, NO, NO), strict=True))
HELD = dict(zip(STATES, (NO, YES, YES, NO, NO), strict=True))
CHANGES: dict[tuple[str, str], tuple[Ask, dict[str, bool]]] = {
    ("POST", "/v1/me/factors/totp"): (change("POST", "/v1/me/factors/totp"), DONE),
    ("POST", "/v1/me/factors/totp/confirm"): (
        change("POST", "/v1/me/factors/totp/confirm", {"challenge_token": "cct_c_none", "code": "123456"}),
        NEVER,
    ),
    ("POST", "/v1/me/passkeys/options"): (change("POST", "/v1/me/passkeys/options"), DONE),
    ("POST", "/v1/me/passkeys"): (
        change("POST", "/v1/me/passkeys", {"challenge_token": "cct_c_none", "credential": {}}),
        NEVER,
    ),
    ("PATCH", "/v1/me/factors/{factor_id}"): (change("PATCH", "/v1/me/factors/{factor_id}", {"name": "x"}), HELD),
    ("DELETE", "/v1/me/factors/{factor_id}"): (change("DELETE", "/v1/me/factors/{factor_id}"), HELD),
    **{
        ("POST", f"/account/security/{path}"): (page_without_its_step(f"/account/security/{path}"), NEVER)
        for path in ("passkey", "factors/{factor_id}", "factors/{factor_id}/remove")
    },
    ("POST", "/v1/me/recovery-codes"): (change("POST", "/v1/me/recovery-codes"), HELD),
}


def routes() -> set[tuple[str, str]]:
    """Unsafe routes whose path has one of our words."""
    app = create_app(settings.load({}, secret_key=[SECRET]))
    return {
        (method, route.path)
        for route in app.router.routes
        if isinstance(route, Route) and any(word in route.path for word in WORDS)
        for method in (route.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }


def test_factor_matrix_has_a_row_for_every_path() -> None:
    """A path that could sign in or change a factor, and that nobody thought of here, fails this test."""
    assert routes() == set(SIGN_IN) | set(CHANGES)


def hands_out(answer: httpx2.Response) -> bool:
    """Whether a credential is in this answer."""
    cookie = answer.headers.get("set-cookie", "")
    return "coatcheck-session=" in cookie or "coatcheck-refresh=" in cookie or "access_token" in answer.text


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("path", SIGN_IN, ids=" ".join)
async def test_factor_matrix_who_gets_a_credential(house: House, path: tuple[str, str], state: str) -> None:
    """A credential comes of a path in the states that its row names, and in no other."""
    ask, expected = SIGN_IN[path]
    of = await world(house, state)
    before = len(await house.rows("SELECT id FROM session"))
    answer = await ask(of)
    assert hands_out(answer) is expected[state], answer.text
    if not expected[state]:
        assert len(await house.rows("SELECT id FROM session")) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("path", CHANGES, ids=" ".join)
async def test_factor_matrix_who_changes_a_factor(house: House, path: tuple[str, str], state: str) -> None:
    """A change is done in the states that its row names; in any other the factors are as they were."""
    ask, expected = CHANGES[path]
    of = await world(house, state)
    before = await house.rows("SELECT id, name FROM factor")
    answer = await ask(of)
    assert answer.is_success is expected[state], answer.text
    if not expected[state]:
        assert await house.rows("SELECT id, name FROM factor") == before
