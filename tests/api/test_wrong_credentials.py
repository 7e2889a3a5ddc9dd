"""The credentials of all doors, sent to places that expect another kind: refused, and nothing has changed.

A worker remembers what it has verified. Once, a web cookie that it remembered was accepted as an access token, and an
access token as a web cookie, without Origin and CSRF token. So each place is asked twice: by a worker that has just
verified every credential at its own place, and by one that has seen none of them.
"""

from typing import Any

import pytest

from coatcheck import introspection
from tests.conftest import OpenHouse
from tests.credential_places import (
    ACCESS_TOKENS,
    DEVICE,
    NATIVE,
    PLACES,
    REFRESH,
    SPA,
    WEB,
    Issued,
    Outcome,
    Place,
    cookie,
    introspect,
    read_with_bearer,
    read_with_cookie,
)
from tests.factors import OWN_PAGE, enrol_app, pending
from tests.house import PASSWORD, URL, House, NativeClient, SpaClient, link_in

ADA, EVE, NEW = "ada@example.test", "eve@example.test", "new@example.test"
LIVING = "SELECT id FROM session WHERE ended_at IS NULL"


async def issue(house: House) -> Issued:
    """Sign Ada in at every door, and make every other kind of credential for her, for Eve and for a service."""
    await house.register()
    await house.register(EVE)
    await enrol_app(house, await house.native(EVE))
    native, spa, web = await house.native(), await house.spa(), await house.web()
    await house.http().post("/v1/password-reset", json={"email": ADA})
    await native.call("POST", "/v1/me/email", json={"email": NEW})
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
        "reset link": await mailed(house, ADA, "/account/reset"),
        "verification link": await mailed(house, ADA, "/account/verify"),
        "address change link": await mailed(house, NEW, "/account/email/confirm"),
    }
    return Issued({name: value for name, value in found.items() if value})


async def mailed(house: House, to: str, path: str) -> str:
    """The token of the newest link to this page in somebody's mail."""
    letters = [letter for letter in await house.mails(to) if f"{URL}{path}" in str(letter.get_body(("plain",)))]
    return link_in(letters[-1], path)


async def use_each_at_its_place(issued: Issued) -> None:
    """Have the worker verify what it remembers, see that all of it is good, and go on with what a refresh gives."""
    for name in ACCESS_TOKENS:
        assert await read_with_bearer(issued, issued.credentials[name]) == Outcome(200)
        assert await introspect(issued, issued.credentials[name]) == Outcome(200, "active")
    assert await read_with_cookie(issued, issued.credentials[WEB]) == Outcome(200)
    native = NativeClient(issued.http(), refresh_token=issued.credentials[NATIVE])
    assert (await native.refresh()).status_code == 200
    spa = SpaClient(issued.http())
    spa.http.cookies.set(REFRESH, issued.credentials[SPA], domain="coatcheck.test", path="/")
    assert (await spa.refresh()).status_code == 200
    assert spa.cookie
    issued.credentials |= {NATIVE: native.refresh_token, SPA: spa.cookie}


async def state(house: House) -> dict[str, Any]:
    """What a credential in the wrong place could have changed."""
    return {
        "accounts": await house.rows("SELECT id, name, email, email_verified, password_hash FROM account ORDER BY id"),
        "sessions": await house.rows("SELECT id, generation, ended_at FROM session ORDER BY id"),
        "challenges": await house.rows("SELECT key, attempts FROM challenge ORDER BY key"),
    }


@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("place", PLACES, ids=[place.name for place in PLACES])
async def test_credential_of_another_kind_is_refused(open_house: OpenHouse, place: Place, cache: str) -> None:
    """A place refuses every credential that is not of its kind, whether or not the worker remembers it; nothing
    changes, all credentials stay good, and the place accepts its own."""
    async with open_house() as issuer:
        issued = await issue(issuer)
    assert len(issued.credentials) == 15
    async with open_house() as house:
        issued.house = house
        if cache == "warm":
            await use_each_at_its_place(issued)
        before = await state(house)
        for name in sorted(issued.credentials.keys() - set(place.right)):
            expected = place.too_long if place.too_long and name in ACCESS_TOKENS else place.refused
            assert await place.send(issued, issued.credentials[name]) == expected, name
        assert await state(house) == before
        await use_each_at_its_place(issued)
        living = len(await house.rows(LIVING))
        for name in place.right:
            assert await place.send(issued, issued.credentials[name]) == place.accepted, name
        assert len(await house.rows(LIVING)) == living - place.ends


@pytest.mark.parametrize("door", ["native", "spa", "web"])
async def test_device_secret_of_another_kind_recognises_no_device(house: House, door: str) -> None:
    """A sign-in that sends another credential in the device secret's place is not taken for the known device."""
    issued = await issue(house)
    issued.house = house
    own = {"native": "native device token", "spa": "spa device cookie", "web": "web device cookie"}[door]
    known = {row["id"] for row in await house.rows("SELECT id FROM device")}
    for name in sorted(issued.credentials.keys() - {"native device token", "spa device cookie", "web device cookie"}):
        is_too_long = door == "native" and name in ACCESS_TOKENS
        assert await sign_in_with_device(issued, door, issued.credentials[name]) == (422 if is_too_long else 200)
        found = {row["id"] for row in await house.rows("SELECT id FROM device")}
        assert len(found - known) == (0 if is_too_long else 1), name
        known = found
    assert await sign_in_with_device(issued, door, issued.credentials[own]) == 200
    assert {row["id"] for row in await house.rows("SELECT id FROM device")} == known


async def sign_in_with_device(issued: Issued, door: str, secret: str) -> int:
    body: dict[str, Any] = {"email": ADA, "password": PASSWORD}
    headers = OWN_PAGE[door]
    if door == "native":
        body["device"] = {"token": secret}
    else:
        headers = headers | cookie(DEVICE, secret)
    return (await issued.http().post(f"/v1/{door}/login", json=body, headers=headers)).status_code
