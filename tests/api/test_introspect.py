"""`POST /oauth/introspect`: services that hold a credential learn what an access token is worth; nobody else does."""

import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from coatcheck import introspection, migrate, settings
from coatcheck.errors import Conflict, NotFound, Unavailable
from tests.conftest import OpenHouse, Stores
from tests.house import SECRET, URL, House, MovableClock, opened
from tests.live import command, environment
from tests.servers import Server, postgres


@pytest_asyncio.fixture
async def credential(house: House) -> str:
    """Of the service `parcels`."""
    return await introspection.add(house.desk, "parcels")


def _basic(name: str, credential: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{credential}".encode()).decode()}


def _bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


async def _ask(house: House, token: str, headers: dict[str, str], **options: Any) -> httpx2.Response:
    return await house.http(**options).post("/oauth/introspect", data={"token": token}, headers=headers)


async def _inactive(house: House, token: str, credential: str) -> bool:
    """Whether the answer is the one that says nothing."""
    answer = await _ask(house, token, _bearer(credential))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return bool(answer.json() == {"active": False})


# -- the answer ----------------------------------------------------------------------------------------------------


async def test_introspect_tells_what_a_good_token_says(house: House, credential: str) -> None:
    """A living session's access token is active, with its claims and nothing about the person, by Basic and Bearer."""
    account = await house.register()
    phone, browser = await house.native(), await house.spa()
    for client, door in ((phone, "native"), (browser, "spa")):
        for headers in (_bearer(credential), _basic("parcels", credential)):
            answer = await _ask(house, client.access_token, headers)
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "no-store"
            told = answer.json()
            assert (told.pop("active"), told.pop("token_type"), told.pop("client_id")) == (True, "Bearer", door)
            assert (told.pop("iss"), told.pop("aud"), told.pop("sub")) == (URL, URL, account["id"])
            assert told.pop("sid") == client.session_id
            assert told.pop("amr") == ["pwd"]
            now = house.clock.now() // 1000
            assert now < told.pop("exp") <= now + 600
            assert now - 5 <= told.pop("auth_time") <= now
            assert told == {}


async def test_introspect_tells_nothing_of_a_dead_token(house: House, credential: str) -> None:
    """A token whose session has ended, whose account is gone or whose time is over is inactive at once."""
    await house.register()
    phone, tablet, laptop = await house.native(), await house.native(), await house.native()
    assert not await _inactive(house, phone.access_token, credential)
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    assert await _inactive(house, phone.access_token, credential)
    assert not await _inactive(house, tablet.access_token, credential)
    await laptop.call("DELETE", "/v1/me")
    assert await _inactive(house, tablet.access_token, credential)
    await house.register()
    late = await house.native()
    assert not await _inactive(house, late.access_token, credential)
    house.clock.move(606)
    assert await _inactive(house, late.access_token, credential)


async def test_introspect_tells_nothing_of_other_credentials(house: House, credential: str) -> None:
    """Refresh tokens, cookies, device tokens, the service's own credential, foreign tokens and garbage are inactive."""
    await house.register()
    phone, browser, page = await house.native(), await house.spa(), await house.web()
    header, payload, signature = phone.access_token.split(".")
    foreign = f"{header}.{payload}.{signature[:-6]}AAAAAA"
    others = [phone.refresh_token, phone.device_token, browser.cookie, page.cookie, credential, foreign, "", "x", "\0"]
    others += ["é", phone.access_token + "=", phone.access_token * 2, "x" * 50_000, phone.session_id]
    for token in others:
        assert token is not None
        assert await _inactive(house, token, credential), token
    assert not await _inactive(house, phone.access_token, credential)
    assert (await phone.refresh()).status_code == 200, "and nothing happened to the refresh token"


async def test_introspect_ignores_the_hint(house: House, credential: str) -> None:
    """`token_type_hint` is only that (RFC 7662 section 2.1)."""
    await house.register()
    phone = await house.native()
    for hint in ("access_token", "refresh_token", "something"):
        form = {"token": phone.access_token, "token_type_hint": hint}
        answer = await house.http().post("/oauth/introspect", data=form, headers=_bearer(credential))
        assert answer.json()["active"] is True


async def test_introspect_leaves_the_owners_address_alone(house: House, credential: str) -> None:
    """The session is not shown as seen from the service's address."""
    await house.register()
    phone = await house.native()
    house.clock.move(120)
    assert (await _ask(house, phone.access_token, _bearer(credential), ip="198.51.100.1")).json()["active"]
    await house.desk.presence.flush()
    [row] = await house.rows("SELECT ip FROM session")
    assert row["ip"] == "203.0.113.7"


# -- who may ask ---------------------------------------------------------------------------------------------------


def _wrong(credential: str) -> list[dict[str, str]]:
    another = introspection.PREFIX + "A" * 43
    return [
        *(_bearer(another), _bearer(credential + "A"), _bearer(credential[:-1]), _bearer(""), _bearer("cct_s_")),
        *(_basic("parcels", another), _basic("other", credential), _basic("", credential), _basic("parcels", "")),
        *({"Authorization": "Basic !!!"}, {"Authorization": "Basic"}, {"Authorization": credential}),
        *({"Authorization": "Basic " + b64encode(b"\xff:\xff").decode()}, {"Authorization": f"Digest {credential}"}),
    ]


async def test_introspect_needs_a_service_credential(open_house: OpenHouse) -> None:
    """Without a credential, and with a wrong one in whatever form, there is no answer about any token: 401."""
    async with open_house(limit_login="off") as house:
        credential = await introspection.add(house.desk, "parcels")
        await house.register()
        phone = await house.native()
        answer = await _ask(house, phone.access_token, {})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.json()["code"] == "unauthenticated"
        for headers in (*_wrong(credential), _bearer(phone.access_token)):
            answer = await _ask(house, phone.access_token, headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), headers
            assert answer.json()["code"] == "invalid_credentials"
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert answer.headers["Cache-Control"] == "no-store"
            assert "active" not in answer.text
        twice = [("Authorization", f"Bearer {credential}")] * 2
        sent = await house.http().post("/oauth/introspect", data={"token": "x"}, headers=twice)
        assert sent.status_code == 401
        assert (await _ask(house, phone.access_token, _bearer(credential))).json()["active"] is True


async def test_introspect_credential_opens_nothing_else(house: House, credential: str) -> None:
    """A service credential is no access token, and no refresh token."""
    for path in ("/v1/me", "/v1/sessions/current", "/v1/devices"):
        assert (await house.http().get(path, headers=_bearer(credential))).json()["code"] == "token_invalid"
    form = {"grant_type": "refresh_token", "refresh_token": credential}
    assert (await house.http().post("/oauth/token", data=form)).json()["code"] == "token_invalid"


async def test_introspect_guessing_is_limited(house: House, credential: str) -> None:
    """After ten wrong credentials in a minute an address gets 429, while the right one still answers."""
    headers = _bearer(introspection.PREFIX + "A" * 43)
    answers = [await _ask(house, "x", headers) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert await _inactive(house, "x", credential)
    assert (await _ask(house, "x", headers, ip="198.51.100.1")).status_code == 401


@pytest.mark.parametrize(
    "body, kind, status",
    [
        (b"", "application/x-www-form-urlencoded", 400),
        (b"token_type_hint=x", "application/x-www-form-urlencoded", 400),
        (b"token=a&token=b", "application/x-www-form-urlencoded", 400),
        (b"token=%ff", "application/x-www-form-urlencoded", 400),
        (b'{"token": "a"}', "application/json", 415),
        (b"token=" + b"a" * 70_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_introspect_refuses_bad_forms(house: House, credential: str, body: bytes, kind: str, status: int) -> None:
    """No token, two of them, another type and too much of it are refused as elsewhere."""
    headers = _bearer(credential) | {"Content-Type": kind}
    answer = await house.http().post("/oauth/introspect", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"] == "invalid_request"


async def test_introspect_takes_no_query(house: House, credential: str) -> None:
    """A token in the address, where logs would keep it, is not looked at; GET is not known."""
    answer = await house.http().post("/oauth/introspect?token=x", data={"a": "b"}, headers=_bearer(credential))
    assert answer.status_code == 400
    assert (await house.http().get("/oauth/introspect?token=x", headers=_bearer(credential))).status_code == 405


async def test_introspect_without_database_is_503(redis_server: Server, clock: MovableClock) -> None:
    """Without the database there is no answer, neither active nor not."""
    with postgres() as database:
        stores = {"database_url": database.url, "redis_url": redis_server.url}
        await migrate.upgrade(settings.load({}, secret_key=[SECRET], database_url=database.url))
        async with opened(clock, **stores) as house:
            credential = await introspection.add(house.desk, "parcels")
            await house.register()
            phone = await house.native()
            assert await introspection.examine(house.desk, phone.access_token)
            database.kill()
            house.desk.feed._heard = float("-inf")
            with pytest.raises(Unavailable):
                await introspection.examine(house.desk, phone.access_token)
            answer = await _ask(house, "x", _bearer(credential))
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_introspect_stands_in_the_metadata(house: House) -> None:
    """Clients find the address, and how to call it, in the authorization server's metadata (RFC 8414)."""
    told = (await house.http().get("/.well-known/oauth-authorization-server")).json()
    assert told["introspection_endpoint"] == f"{URL}/oauth/introspect"
    assert told["introspection_endpoint_auth_methods_supported"] == ["client_secret_basic", "Bearer"]


# -- services ------------------------------------------------------------------------------------------------------


async def test_services_keep_no_credential(house: House, credential: str) -> None:
    """The table holds a hash; neither it nor the name is what a service shows."""
    [row] = await house.rows("SELECT * FROM service")
    assert introspection.PREFIX not in str(row)
    assert credential.encode() not in bytes(row["secret_hash"])
    for text in (bytes(row["secret_hash"]).hex(), row["name"]):
        assert (await _ask(house, "x", _bearer(text))).status_code == 401


async def test_services_are_removed_at_once(house: House, credential: str) -> None:
    """A removed service is refused at its next question; another one goes on; the name may be used again."""
    other = await introspection.add(house.desk, "letters")
    assert await _inactive(house, "x", credential)
    await introspection.remove(house.desk, "parcels")
    assert (await _ask(house, "x", _bearer(credential))).status_code == 401
    assert await _inactive(house, "x", other)
    assert await _inactive(house, "x", await introspection.add(house.desk, "parcels"))
    assert (await _ask(house, "x", _bearer(credential))).status_code == 401
    with pytest.raises(NotFound):
        await introspection.remove(house.desk, "unknown")


@pytest.mark.parametrize("name", ["", "Parcels", "a b", "a:b", "-a", "a" * 64, "ä", "a\n"])
async def test_services_have_plain_names(embedded: Stores, clock: MovableClock, name: str) -> None:
    """A name is small letters, digits and hyphens; one name is one service."""
    async with opened(clock, **embedded) as house:
        with pytest.raises(Conflict):
            await introspection.add(house.desk, name)
        await introspection.add(house.desk, "a" * 63)
        with pytest.raises(Conflict):
            await introspection.add(house.desk, "a" * 63)


def test_services_command_line(tmp_path: Path) -> None:
    """`coatcheck services` adds, lists and removes; it shows a credential once and ends mistakes in one sentence."""

    def run(*args: str) -> "subprocess.CompletedProcess[str]":
        given = environment(data_dir=tmp_path, log_level="error")
        return subprocess.run(command("services", *args), env=given, capture_output=True, text=True, check=False)

    credential = run("add", "parcels").stdout.strip()
    assert introspection._CREDENTIAL.fullmatch(credential)
    listed = run("list").stdout
    assert listed.startswith("parcels  since 20")
    assert credential not in listed
    again = run("add", "parcels")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.splitlines()[-1].startswith("coatcheck: There is a service parcels already")
    assert run("remove", "parcels").stdout == "Removed parcels.\n"
