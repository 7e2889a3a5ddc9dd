"""Who you are, this device's ticket, what happened last. Shown from what is kept, before any network."""

from typing import Any

from ..history import line
from ..ticket import Ticket
from ..times import ago
from ..words import count, stub_number
from .event_line import EventLine
from .page import Page

_BRIEF = 3  # events


class Home(Page):
    """Everything that isn't known without network stays empty until it is."""

    def refresh(self) -> None:
        """First what is kept, then the server's words."""
        self._greet()
        if not self.app.signed_in:
            return
        api = self.app.core.api
        self.ask("account", api.me(), lambda _account: self._greet(), self._quiet)
        self.ask("devices", api.devices(), self._show_devices, self._quiet)
        self.ask("events", api.activity(), self._show_events, self._quiet)

    def _greet(self) -> None:
        account = self.app.account
        self.heading = f"Hello, {account['name']}" if account.get("name") else "Hello"
        self.lead = f"You're signed in as {account['email']}." if account.get("email") else ""
        self._show_device(self.app.device)

    def _show_device(self, device: dict[str, Any] | None) -> None:
        box = self.ids.device
        if device is None:
            box.clear_widgets()
            return
        if box.children and box.children[0].device["id"] == device["id"]:
            ticket = box.children[0]
            if "sessions" in device or "sessions" not in ticket.device:
                ticket.show(device)
        else:
            box.clear_widgets()
            ticket = Ticket(device)
            self.bind(wide=ticket.setter("wide"))
            ticket.wide = self.wide
            ticket.bind(on_stub=lambda _ticket: self.app.sign_out())
            box.add_widget(ticket)
        ticket.number, ticket.action, ticket.current = f"No {stub_number(device['id'])}", "Sign out", True

    def _show_devices(self, devices: list[dict[str, Any]]) -> None:
        current = next((device for device in devices if device["current"]), None)
        if current:
            self._show_device(current)
        others = len(devices) - (1 if current else 0)
        verb = "other device holds", "other devices hold"
        self.ids.others.text = f"{count(others, *verb)} a ticket of yours." if others else "No other device holds one."

    def _show_events(self, page: dict[str, Any]) -> None:
        self.ids.latest.clear_widgets()
        for event in page["events"][:_BRIEF]:
            told = line(event)
            self.ids.latest.add_widget(
                EventLine(icon=told.icon, title=told.title, detail=ago(event["at"]), alarm=told.alarm)
            )

    def _quiet(self, _sentence: str) -> None:
        """The line about the network says it already."""
