"""The calls the screens make, one method each. Errors are those of `Session.call`."""

from typing import Any
from urllib.parse import quote, urlencode

from .refusals import Refused
from .session import Session

PAGE = 20  # events


class ApiClient:
    """A thin list of what this app asks for; `session` has the rules."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def sign_up(self, email: str, password: str, name: str | None) -> None:
        """Make an account and sign in. Raises Refused, Unreachable."""
        body = {"email": email, "password": password} | ({"name": name} if name else {})
        await self.session.send("POST", "/v1/accounts", body=body)
        await self.session.sign_in(email, password)

    async def me(self) -> dict[str, Any]:
        """`Account`; kept for the next start without network."""
        account = await self.session.call("GET", "/v1/me")
        if signed_in := self.session.signed_in:
            self.session.tell(signed_in.session_id, account=account)
        return account

    async def devices(self, ended: bool = False) -> list[dict[str, Any]]:
        """Each `Device`, the current one first; with `ended` those that were signed out too."""
        answer = await self.session.call("GET", f"/v1/devices{'?ended=true' if ended else ''}")
        devices: list[dict[str, Any]] = answer["devices"]
        current = next((device for device in devices if device["current"]), None)
        if current and (signed_in := self.session.signed_in):
            remembered = {name: current[name] for name in ("id", "name", "platform")}
            self.session.tell(signed_in.session_id, device=remembered)
        return devices

    async def rename(self, device_id: str, name: str) -> dict[str, Any]:
        """The renamed `Device`."""
        return await self.session.call("PATCH", f"/v1/devices/{quote(device_id)}", {"name": name})

    async def sign_out_device(self, device_id: str) -> None:
        """End every session on a device; one that is gone already is what was wished for."""
        try:
            await self.session.call("DELETE", f"/v1/devices/{quote(device_id)}")
        except Refused as refused:
            if refused.code != "not_found":
                raise

    async def sign_out_others(self) -> int:
        """How many sessions ended."""
        answer = await self.session.call("POST", "/v1/devices/logout-others")
        return int(answer["ended"])

    async def activity(self, after: str | None = None) -> dict[str, Any]:
        """`{"events", "next"}`, newest first."""
        query = {"limit": str(PAGE)} | ({"after": after} if after else {})
        return await self.session.call("GET", f"/v1/me/activity?{urlencode(query)}")
