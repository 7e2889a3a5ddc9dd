"""No secret is written down anywhere: logs at every level, audit, exports, CSV, mails, Redis, the database."""

import io
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi.routing import APIRoute

from coatcheck import introspection, logs
from tests import factors, markers
from tests.api.test_growth import _keys_of, _rows_of
from tests.api.test_pages_security import add_app, code
from tests.conftest import OpenHouse, Stores
from tests.house import URL, House, NativeClient, SpaClient, WebClient, link_in
from tests.markers import Wire
from tests.pages import Visitor

ADA = "ada@example.test"
# Forms that hold no more of a secret than any page's: the cookie and the CSRF token, which every journey shows.
PLAIN_FORMS = {
    "/account/sign-out",
    "/account/profile",
    "/account/email",
    "/account/email/again",
    "/account/devices/sign-out-others",
    "/account/devices/sign-out-all",
    "/account/devices/{device_id}",
    "/account/devices/{device_id}/sign-out",
    "/account/sessions/{session_id}/sign-out",
    "/account/security/factors/{factor_id}",
    "/admin",
    "/admin/everybody",
    "/admin/accounts/{account_id}/disable",
    "/admin/accounts/{account_id}/enable",
    "/admin/accounts/{account_id}/reset",
    "/admin/accounts/{account_id}/role",
    "/admin/accounts/{account_id}/sign-out",
    "/admin/accounts/{account_id}/sessions/{session_id}/sign-out",
}
# Forms whose secrets are those of a JSON route that a journey below does call. Marked ones are sent to them as to all.
AS_JSON = {"/account/security/passkey", "/account/sign-in/passkey", "/account/sign-in/limit"}
ENDLESS = {"/v1/revocations/stream", "/v1/events"}  # streams: they take nothing but the credential all others take


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged, down to debug."""
    text = io.StringIO()
    monkeypatch.setattr(logs._out, "write", text.write)
    monkeypatch.setattr(sys, "stderr", text)  # for who does not ask us
    logs.configure("debug")
    yield text
    structlog.reset_defaults()
    logging.basicConfig(force=True, level=logging.WARNING)


def password() -> str:
    return f"marked {secrets.token_hex(8)} monkeys"


def listen(house: House, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Hear what all of this house's clients say and are told."""
    wire, plain = Wire(house), House.http

    def http(self: House, *args: Any, **options: Any) -> httpx2.AsyncClient:
        client = plain(self, *args, **options)
        client.event_hooks = {"request": [wire.request], "response": [wire.response]}
        return client

    monkeypatch.setattr(House, "http", http)
    return wire


async def doors(house: House, wire: Wire, word: str) -> tuple[NativeClient, SpaClient, WebClient]:
    """Registering, a wrong password, all three doors, refreshing, introspection, signing out."""
    await house.register(password=word)
    await house.http().post("/v1/native/login", json={"email": ADA, "password": password()})
    phone = await NativeClient(house.http("coatcheck-phone/1")).login(ADA, word)
    browser, page = await SpaClient(house.http()).login(ADA, word), await WebClient(house.http()).login(ADA, word)
    assert (await phone.call("POST", "/v1/me/reauthenticate", json={"password": word})).status_code == 200
    first = phone.refresh_token
    await phone.refresh()
    await browser.refresh()
    await phone.login(ADA, word)
    credential = await introspection.add(house.desk, "parcels")
    ask = {"token": phone.access_token}
    answer = await house.http().post("/oauth/introspect", data=ask, headers={"Authorization": f"Bearer {credential}"})
    assert answer.json()["active"] is True
    await house.http().post("/oauth/introspect", data=ask, auth=("parcels", credential))
    await phone.refresh(first)
    other = await NativeClient(house.http("coatcheck-phone/1")).login(ADA, word)
    body = {"token": await mailed(house, wire, "/account/not-me")}
    assert (await house.http().post("/v1/not-me", json=body)).status_code == 204
    token = await mailed(house, wire, "/account/not-me", which=0)
    await Visitor(house).post("/account/not-me", look="/account/not-me", token=token)
    assert (await house.http().post("/oauth/revoke", data={"token": other.refresh_token})).status_code == 200
    return phone, browser, page


async def second_factors(house: House, phone: NativeClient, word: str) -> None:
    """An app, its codes, a passkey, and every way of signing in with them."""
    app = await factors.enrol_app(house, phone)
    passkey, _ = await factors.enrol_passkey(phone)
    for door in ("native", "spa", "web"):
        told = await factors.pending(house, door, password=word)
        wrong = await factors.verify(house, told, door=door, code="000000")
        assert wrong.status_code == 401
        assert (await factors.verify(house, told, door=door, code=app.next_code())).status_code == 200
    told = await factors.pending(house, password=word)
    assert (await factors.verify(house, told, "recovery_code", code=app.codes[0])).status_code == 200
    assert (await factors.passkey_sign_in(house, passkey)).status_code == 200
    assert (await phone.call("POST", "/v1/me/recovery-codes")).status_code in (200, 201)
    for one in (await phone.get("/v1/me/factors")).json()["factors"]:
        assert (await phone.call("DELETE", f"/v1/me/factors/{one['id']}")).status_code == 204


async def mailed(house: House, wire: Wire, path: str, which: int = -1) -> str:
    """The token of a link to a page, the newest. Its mail may hold it, nothing else."""
    letters = [one for one in await house.mails() if path in one.as_string()]
    token = link_in(letters[which], path)
    wire.mailed |= {token, token[6:]}
    return token


async def addresses(house: House, wire: Wire, phone: NativeClient, word: str) -> None:
    """An address is confirmed, changed, and changed back: every session ends, and a new password is needed."""
    assert (await phone.call("POST", "/v1/me/email-verification")).status_code == 202
    body = {"token": await mailed(house, wire, "/account/verify"), "password": word}
    assert (await house.http().post("/v1/email-verification/confirm", json=body)).status_code == 204
    assert (await phone.call("POST", "/v1/me/email", json={"email": "eve@example.test"})).status_code == 202
    body = {"token": await mailed(house, wire, "/account/email/confirm"), "password": word}
    assert (await house.http().post("/v1/email-change/confirm", json=body)).status_code == 204
    body = {"token": await mailed(house, wire, "/account/email/undo")}
    assert (await house.http().post("/v1/email-change/undo", json=body)).status_code == 204


async def forgotten(house: House, wire: Wire) -> str:
    """A reset by mail, by the API and by the pages; the new password."""
    word = password()
    for page in (False, True):
        visitor, word = Visitor(house), password()
        if page:
            await visitor.post("/account/forgot", look="/account/forgot", email=ADA)
        else:
            await house.http().post("/v1/password-reset", json={"email": ADA})
        token = await mailed(house, wire, "/account/reset")
        if page:
            wire.keep(token)
            look = f"/account/reset?token={token}"
            answer = await visitor.post("/account/reset", look=look, token=token, new_password=word)
        else:
            body = {"token": token, "new_password": word}
            answer = await house.http().post("/v1/password-reset/confirm", json=body)
        assert answer.status_code in (204, 303), answer.text
    return word


async def pages(house: House, wire: Wire, word: str) -> str:
    """The pages that ask for a password; the one that is set last."""
    visitor = Visitor(house)
    await visitor.post("/account/sign-in", look="/account/sign-in", email=ADA, password=password())
    await visitor.sign_in(ADA, word)
    await visitor.post("/account/step-up", look="/account/step-up", password=word)
    newer = password()
    look = "/account/password"
    await visitor.post(look, look=look, current_password=word, new_password=newer)
    assert (await visitor.get("/account/coatcheck-export.json")).status_code == 200
    guest, own = await sign_up(house, "joan@example.test")
    await guest.post("/account/close")
    guest, own = await sign_up(house, "grace@example.test")
    await guest.post("/account/email/again", look="/account/profile")
    token = await mailed(house, wire, "/account/verify")
    await guest.post("/account/verify", look="/account/verify", token=token, password=own)
    await guest.post("/account/email", look="/account/email", email="hopper@example.test")
    token = await mailed(house, wire, "/account/email/confirm")
    await guest.post("/account/email/confirm", look="/account/email/confirm", token=token, password=own)
    token = await mailed(house, wire, "/account/email/undo")
    await guest.post("/account/email/undo", look="/account/email/undo", token=token)
    await page_factors(house)
    return newer


async def page_factors(house: House) -> None:
    """An app added on a page, its codes, a sign-in and a step-up with it, and its end."""
    guest, own = await sign_up(house, "hedy@example.test")
    seed, _ = await add_app(guest)
    await guest.post("/account/security/codes")
    await guest.post("/account/security/codes/new")
    other = Visitor(house)
    await other.sign_in("hedy@example.test", own)
    look = "/account/sign-in/verify"
    house.clock.move(60)
    await other.post(look, look=look, method="totp", code="000000")
    await other.post(look, look=look, method="totp", code=code(seed, house))
    assert other.last.status_code == 303, other.last.text
    house.clock.move(301)
    look = "/account/step-up?next=/account/security"
    await other.post(look, look=look, password=own)
    look = other.last.headers["location"]
    await other.post(look, look=look, method="totp", code=code(seed, house))
    assert other.last.status_code == 303, other.last.text
    found = re.search(r"/account/security/factors/(fac_[\w-]+)", (await other.get("/account/security")).text)
    assert found
    remove = f"/account/security/factors/{found[1]}/remove"
    await other.post(remove)
    assert other.last.status_code == 303, other.last.text


async def sign_up(house: House, email: str) -> tuple[Visitor, str]:
    """Somebody new on the pages, freshly proved; and the password."""
    guest, own = Visitor(house), password()
    await guest.post("/account/sign-up", look="/account/sign-up", email=email, password=own, name="Guest")
    await guest.sign_in(email, own)
    await guest.post("/account/step-up", look="/account/step-up", password=own)
    return guest, own


async def everything_shown_everywhere(
    house: House, phone: NativeClient, word: str, mark: str, *bearers: str | None
) -> None:
    """Each route there is, with a secret in every place that could take one: header, cookies, query, body."""
    body = {
        "email": ADA,
        "password": word,
        "current_password": word,
        "new_password": mark,
        "token": phone.refresh_token,
        "refresh_token": phone.refresh_token,
        "grant_type": "refresh_token",
        "challenge_token": f"cct_c_{mark}",
        "method": "totp",
        "code": mark,
        "device": {"token": phone.device_token, "name": "x"},
        "csrf_token": mark,
    }
    cookies = {f"__Host-coatcheck-{name}": f"cct_r_{mark}" for name in ("session", "refresh", "device", "login")}
    own = {"Origin": URL, "X-CSRF-Token": mark, "X-Coatcheck-Client": "spa"}
    for route in house.app.routes:
        if not isinstance(route, APIRoute) or route.path in ENDLESS:
            continue
        path = route.path.replace("{", "").replace("}", "")
        for method in route.methods or ():
            transport = httpx2.ASGITransport(house.app, client=("203.0.113.7", 4), raise_app_exceptions=False)
            for bearer in bearers:
                headers = own | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
                client = httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers)
                if bearer is None:
                    client.cookies.update(cookies)
                allowed = [name for name in body if _takes(route, name)] or list(body)
                sent = {name: body[name] for name in allowed}
                forms = {name: value for name, value in sent.items() if isinstance(value, str)}
                options: dict[str, Any] = {"params": {"token": mark, "code": mark}}
                if method in ("POST", "PUT", "PATCH"):
                    form = not route.include_in_schema or path.startswith("/oauth/")
                    options |= {"data": forms} if form else {"json": sent}
                await client.request(method, path, **options)


def _takes(route: APIRoute, name: str) -> bool:
    field = route.body_field
    model: Any = getattr(field, "type_", None) or getattr(getattr(field, "field_info", None), "annotation", None)
    return name in getattr(model, "model_fields", {})


BROKEN = ("session", "audit_event")  # early in a journey, and at its very end


@pytest.mark.timeout(300)
async def test_markers_turn_up_nowhere(
    open_house: OpenHouse,
    stores: Stores,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Journeys of every kind, and every route with secrets in all places, whole and with broken tables: no trace."""
    off = {f"limit_{name}": "off" for name in ("login", "register", "refresh", "mail", "challenge")}
    folder = stores.get("data_dir", tmp_path)
    async with open_house(**off, data_dir=folder) as house:
        wire, word, mark = listen(house, monkeypatch), password(), f"mark{secrets.token_hex(16)}"
        wire.secrets.add(mark)
        phone, _, _ = await doors(house, wire, word)
        await second_factors(house, phone, word)
        change = {"current_password": word, "new_password": (word := password())}
        assert (await phone.call("POST", "/v1/me/password", json=change)).status_code == 204
        await addresses(house, wire, phone, word)
        word = await pages(house, wire, await forgotten(house, wire))
        phone = await NativeClient(house.http("coatcheck-phone/1")).login(ADA, word)
        exported = (await phone.get("/v1/me/export")).text
        await everything_shown_everywhere(house, phone, word, mark, phone.access_token, f"cct_a_{mark}", None)
        await house.rows("UPDATE account SET roles = 'admin' WHERE email = $1", ADA)
        admin = await NativeClient(house.http("coatcheck-phone/1")).login(ADA, word)
        exported += (await admin.get("/v1/admin/audit.csv")).text + (await admin.get("/v1/admin/audit")).text
        dump = await dumped(stores, house)
        for table in BROKEN:
            await house.rows(f"ALTER TABLE {table} RENAME TO gone_{table}")
            await everything_shown_everywhere(house, admin, word, mark, admin.access_token)
            await house.rows(f"ALTER TABLE gone_{table} RENAME TO {table}")
        written = log.getvalue()
        mails = markers.outbox(house.outbox)

        missing = markers.secret_routes(house) - wire.answered
        assert not missing, f"no journey above shows these routes a secret that they take: {missing}"
        forms = {
            (method, path)
            for method, path in markers.form_routes(house) - wire.answered
            if path not in PLAIN_FORMS | AS_JSON
        }
        assert not forms, f"no journey above fills in these forms: {forms}"
    assert len(wire.secrets) > 60
    assert len(wire.codes) >= 4
    assert "login.failed" in written  # it is where we looked
    assert "Traceback" in written or stores.get("data_dir")
    assert wire.mailed
    assert any(token in mails for token in wire.mailed)
    assert wire.found_in(written) == []
    assert wire.found_in(exported) == []
    assert [found for found in wire.found_in(mails) if found not in wire.mailed] == []
    assert [secret for secret in wire.secrets if secret.encode() in dump] == []


async def dumped(stores: Stores, house: House) -> bytes:
    """All that the stores hold."""
    await house.desk.presence.flush()
    if "data_dir" in stores:
        return b"".join(path.read_bytes() for path in stores["data_dir"].glob("coatcheck.sqlite3*"))
    tables = await house.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await _rows_of(stores["database_url"], row["tablename"]) for row in tables]
    return b"".join(rows) + await _keys_of(stores["redis_url"])


async def test_markers_would_be_found(open_house: OpenHouse, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password, a code and part of a token that somebody logs are found."""
    async with open_house() as house:
        wire, word = listen(house, monkeypatch), password()
        await house.register(password=word)
        phone = await NativeClient(house.http("coatcheck-phone/1")).login(ADA, word)
        wire.keep("123456")
        for leak in (
            word,
            phone.access_token,
            phone.refresh_token[6:],
            phone.access_token.rpartition(".")[2],
            "123456",
        ):
            assert wire.found_in(log.getvalue()) == []
            structlog.get_logger().debug("leak", of=leak)
            assert wire.found_in(log.getvalue()) != []
            log.truncate(0)
