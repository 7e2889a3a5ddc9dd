"""The server's address, with a check; the appearance; how the ticket is kept on this device."""

from kivy.properties import StringProperty

from ..server_address import AddressRefused, server_address
from ..server_check import check
from .page import Page


class SettingsPage(Page):
    """Reachable before anybody has signed in, for without a server nobody can. (Kivy has a `Settings` of its own.)"""

    verdict = StringProperty()

    def refresh(self) -> None:
        """What is set now."""
        self.verdict = ""
        if self.app.ready:
            self.ids.address.text = self.app.server
            self.ids.protects.text = self.app.core.session.store.protects

    def check(self) -> None:
        """Is there a Coatcheck server at what was typed?"""
        if address := self._address():
            self.verdict = "Looking…"
            self.app.work(check(address), lambda found: setattr(self, "verdict", found[1]), self._failed)

    def use(self) -> None:
        """Sign in there from now on."""
        if address := self._address():
            self.app.work(self.app.core.use_server(address), lambda _nothing: self._used(address), self._failed)

    def _used(self, address: str) -> None:
        self.app.server = address
        self.app.say("From now on you sign in there.")

    def _address(self) -> str | None:
        try:
            return server_address(self.ids.address.text)
        except AddressRefused as refused:
            self.verdict = str(refused)
            return None

    def _failed(self, sentence: str) -> None:
        self.verdict = sentence
