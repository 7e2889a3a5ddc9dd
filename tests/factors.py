"""People with second factors, for tests."""

from dataclasses import dataclass, field
from typing import Any

import httpx2
import pyotp

from tests.authenticator import Authenticator
from tests.house import PASSWORD, URL, House, NativeClient

ADA = "ada@example.test"
OWN_PAGE: dict[str, dict[str, str]] = {
    "native": {},
    "spa": {"Origin": URL, "X-Coatcheck-Client": "spa"},
    "web": {"Origin": URL, "X-Coatcheck-Client": "web"},
}


@dataclass
class App:
    """An authenticator app. It never shows a code twice, as a person who waits for the next one would see it."""

    house: House
    seed: str
    id: str = ""
    codes: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        """The code of now, or so many steps of 30 s from now."""
        return pyotp.TOTP(self.seed).at(self.house.clock.now() // 1000 + 30 * steps)

    def next_code(self) -> str:
        """Waits for a new code."""
        self.house.clock.move(30)
        return self.code()


async def enrol_app(house: House, client: NativeClient, name: str | None = None) -> App:
    """Add an authenticator app; the client has just signed in."""
    begun = await client.call("POST", "/v1/me/factors/totp")
    assert begun.status_code == 200, begun.text
    app = App(house, begun.json()["secret"])
    body: dict[str, Any] = {"challenge_token": begun.json()["challenge_token"], "code": app.code()}
    added = await client.call("POST", "/v1/me/factors/totp/confirm", json=body | ({"name": name} if name else {}))
    assert added.status_code == 201, added.text
    app.id, app.codes = added.json()["factor"]["id"], added.json()["recovery_codes"]
    return app


async def enrol_passkey(client: NativeClient, passkey: Authenticator | None = None) -> tuple[Authenticator, list[str]]:
    """Add a passkey; the client has just signed in. Recovery codes beside it, if it is the first factor."""
    passkey = passkey or Authenticator()
    begun = await client.call("POST", "/v1/me/passkeys/options")
    assert begun.status_code == 200, begun.text
    credential = passkey.create(begun.json()["public_key"])
    body = {"challenge_token": begun.json()["challenge_token"], "credential": credential}
    added = await client.call("POST", "/v1/me/passkeys", json=body)
    assert added.status_code == 201, added.text
    return passkey, added.json()["recovery_codes"]


async def sign_in(
    house: House, door: str = "native", http: httpx2.AsyncClient | None = None, email: str = ADA, **more: Any
) -> httpx2.Response:
    """Address and password at a door."""
    http = http or house.http()
    body = {"email": email, "password": PASSWORD} | more
    return await http.post(f"/v1/{door}/login", json=body, headers=OWN_PAGE[door])


async def pending(house: House, door: str = "native", **more: Any) -> str:
    """The challenge token of a sign-in whose password was right."""
    answer = await sign_in(house, door, **more)
    assert (answer.status_code, answer.json()["code"]) == (401, "mfa_required"), answer.text
    return str(answer.json()["challenge_token"])


async def verify(
    house: House,
    token: str,
    method: str = "totp",
    door: str = "native",
    http: httpx2.AsyncClient | None = None,
    **answer: Any,
) -> httpx2.Response:
    """The second step at a door."""
    http = http or house.http()
    body = {"challenge_token": token, "method": method} | answer
    return await http.post(f"/v1/{door}/login/verify", json=body, headers=OWN_PAGE[door])


async def options(house: House, token: str | None = None) -> tuple[str, dict[str, Any]]:
    """A passkey's challenge: for a pending sign-in, or for a new one."""
    answer = await house.http().post("/v1/passkeys/options", json={"challenge_token": token} if token else {})
    assert answer.status_code == 200, answer.text
    return answer.json()["challenge_token"], answer.json()["public_key"]


async def passkey_sign_in(
    house: House, passkey: Authenticator, door: str = "native", token: str | None = None, **lies: Any
) -> httpx2.Response:
    """A passkey by itself, or as the second factor of what is pending."""
    challenge, public_key = await options(house, token)
    return await verify(house, challenge, "passkey", door, credential=passkey.get(public_key, **lies))


async def signed_in(house: House, app: App) -> NativeClient:
    """A phone that has just come in with password and code."""
    answer = await verify(house, await pending(house), code=app.next_code())
    assert answer.status_code == 200, answer.text
    told = answer.json()
    http = house.http("coatcheck-phone/1")
    return NativeClient(http, told["access_token"], told["refresh_token"], told["device_token"], told)
