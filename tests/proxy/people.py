"""Somebody at each door of a deployment, behind its TLS."""

from typing import Any

import httpx2

from tests.house import PASSWORD, NativeClient
from tests.proxy.topology import PUBLIC_URL


async def register(http: httpx2.AsyncClient, email: str) -> None:
    answer = await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text


async def phone(http: httpx2.AsyncClient, email: str) -> NativeClient:
    """A new account, signed in at the native door."""
    await register(http, email)
    return await NativeClient(http).login(email)


async def browser(http: httpx2.AsyncClient, door: str, email: str) -> dict[str, Any]:
    """A sign-in at the spa's or the web's door, from the page that this proxy serves."""
    own_page = {"Origin": PUBLIC_URL, "X-Coatcheck-Client": door}
    answer = await http.post(f"/v1/{door}/login", json={"email": email, "password": PASSWORD}, headers=own_page)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def addresses(client: NativeClient) -> set[str]:
    """Where this person's sessions come from, as the device list has it."""
    devices = (await client.get("/v1/devices")).json()["devices"]
    return {session["ip"] for device in devices for session in device["sessions"]}
