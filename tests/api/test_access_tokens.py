"""Access tokens over HTTP: one clock decides when one has expired, ours; the library that reads them has no say."""

import httpx2
import pytest

from coatcheck import introspection
from tests.house import House

caches = pytest.mark.parametrize("cache", ["cold", "warm"])


async def said(house: House, token: str, service: str, cache: str) -> tuple[str, bool]:
    """What a resource answers to this token, and whether introspection calls it active."""
    told = []
    for ask in (resource, introspect):
        if cache == "cold":
            house.desk.verified_tokens.clear()
        told.append(await ask(house, token, service))
    return told[0].json().get("code", "ok"), told[1].json()["active"]


async def resource(house: House, token: str, _service: str) -> httpx2.Response:
    return await house.http().get("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})


async def introspect(house: House, token: str, service: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {service}"}
    return await house.http().post("/oauth/introspect", data={"token": token}, headers=headers)


@caches
async def test_access_token_expires_by_our_clock(house: House, cache: str) -> None:
    """After ten minutes of our clock, though hardly a second has passed on the machine's, a token is refused, whether
    or not this worker remembers it; and it signs nobody out."""
    service = await introspection.add(house.desk, "parcels")
    await house.register()
    phone, app = await house.native(), await house.spa()
    for token in (phone.access_token, app.access_token):
        assert await said(house, token, service, cache) == ("ok", True)
    house.clock.move(590)
    assert await said(house, phone.access_token, service, cache) == ("ok", True)
    house.clock.move(16)
    for token in (phone.access_token, app.access_token):
        assert await said(house, token, service, cache) == ("token_expired", False)
        if cache == "cold":
            house.desk.verified_tokens.clear()
        assert (await house.http().post("/oauth/revoke", data={"token": token})).status_code == 200
    headers = {"Authorization": f"Bearer {app.access_token}"}
    app.http.cookies.clear()
    assert (await app.post("/v1/spa/logout", headers=headers)).status_code == 204
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    await phone.refresh()
    assert await said(house, phone.access_token, service, cache) == ("ok", True)


@caches
@pytest.mark.parametrize("hours", [-1, 1])
async def test_access_token_is_read_by_our_clock_alone(house: House, hours: int, cache: str) -> None:
    """A token that expired an hour ago by the machine's clock, or was made in its future, is good while it is by ours,
    and not for longer."""
    house.clock.move(hours * 3_600)
    service = await introspection.add(house.desk, "parcels")
    await house.register()
    phone = await house.native()
    assert await said(house, phone.access_token, service, cache) == ("ok", True)
    house.clock.move(606)
    assert await said(house, phone.access_token, service, cache) == ("token_expired", False)
