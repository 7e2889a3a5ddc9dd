"""The whole app without its screens: what a window, or a test, talks to. All methods run on one asyncio loop."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .api_client import ApiClient
from .live import Live
from .preferences import Appearance, Preferences
from .server_address import server_address
from .session import Session
from .token_store import TokenStore


class Core:
    """`changed` is called after each change of the session, `tell` with each event of the account."""

    def __init__(
        self,
        folder: Path,
        server: str | None = None,
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str, dict[str, Any]], None] = lambda _kind, _data: None,
    ) -> None:
        """Raises AddressRefused for a `server` that can't be used."""
        store = TokenStore(folder)
        self.folder = folder
        self.preferences = Preferences.load(folder)
        if server:
            self.preferences = replace(self.preferences, server=server_address(server))
        self.session = Session(store, self.preferences.server)
        self.session.on_change = self._session_changed
        self.api = ApiClient(self.session)
        self.live = Live(self.session, tell)
        self._changed, self._in_front, self._seen = changed, False, self._session_id()

    async def resume(self) -> None:
        """The app is in front: check the session, then follow its events."""
        self._in_front = True
        self.live.start()

    async def pause(self) -> None:
        """The app is in the background."""
        self._in_front = False
        self.live.stop()

    async def use_server(self, address: str) -> None:
        """Raises AddressRefused, OSError."""
        chosen = replace(self.preferences, server=server_address(address))
        chosen.save(self.folder)
        await self.session.use_server(chosen.server)
        self.preferences = chosen

    async def use_appearance(self, appearance: Appearance) -> None:
        """Raises OSError."""
        self.preferences = replace(self.preferences, appearance=appearance)
        self.preferences.save(self.folder)

    async def close(self) -> None:
        """Stop following and close connections; what is kept stays."""
        await self.pause()
        await self.session.wire.close()

    def _session_id(self) -> str | None:
        return self.session.signed_in.session_id if self.session.signed_in else None

    def _session_changed(self) -> None:
        if self._session_id() != self._seen:
            self._seen = self._session_id()
            if self._in_front:
                self.live.start()
        self._changed()
