"""The other side: somebody signed in to the single-page app, as a plain HTTP client."""

from typing import Any, Self

import httpx2

from tests.house import FIREFOX, PASSWORD
from tests.live import Live

SPA_ORIGIN = "http://localhost:5173"


class Browser:
    """Signed in through the spa door; keeps the access token only."""

    def __init__(self, server: Live, agent: str | None = None) -> None:
        headers = {"User-Agent": agent or FIREFOX, "Origin": SPA_ORIGIN, "X-Coatcheck-Client": "spa"}
        self.http = httpx2.AsyncClient(base_url=server.url, headers=headers)
        self.grant: dict[str, Any] = {}

    async def sign_in(self, email: str) -> Self:
        """Raises HTTPStatusError."""
        answer = await self.http.post("/v1/spa/login", json={"email": email, "password": PASSWORD})
        self.grant = answer.raise_for_status().json()
        self.http.headers["Authorization"] = f"Bearer {self.grant['access_token']}"
        return self

    @property
    def session_id(self) -> str:
        return str(self.grant["session"]["id"])

    async def devices(self) -> list[dict[str, Any]]:
        """Where the account is signed in."""
        answer = await self.http.get("/v1/devices")
        return answer.raise_for_status().json()["devices"]  # type: ignore[no-any-return]

    async def sign_out_phone(self) -> None:
        """End the session of the one device that came through the native door."""
        phone = next(d for d in await self.devices() if any(s["door"] == "native" for s in d["sessions"]))
        (await self.http.delete(f"/v1/devices/{phone['id']}")).raise_for_status()

    async def status(self) -> tuple[int, str]:
        """Status and code of the next request."""
        answer = await self.http.get("/v1/me")
        return answer.status_code, answer.json().get("code", "")
