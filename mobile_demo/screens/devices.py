"""Where you're signed in: a ticket for each device; end one, or all the others."""

from typing import Any

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty

from ..dialog import Dialog
from ..ticket import Ticket
from ..words import count
from .page import Page

_TEARING = 0.3  # seconds until a torn ticket leaves the list


class Devices(Page):
    """The server's list is the truth; this screen only ever shows the latest one."""

    others = NumericProperty(0)
    with_ended = BooleanProperty(False)

    def refresh(self) -> None:
        """The list anew."""
        self.ask("devices", self.app.core.api.devices(self.with_ended), self._show, self._failed)

    def toggle_ended(self) -> None:
        """Show, or hide, what was signed out."""
        self.with_ended = not self.with_ended
        self.refresh()

    def ask_sign_out_others(self) -> None:
        """One question first: it can't be undone."""
        Dialog(
            lambda _typed: self.app.work(self.app.core.api.sign_out_others(), self._others_out),
            question="Sign out all other devices?",
            explanation="Each of them has to sign in again. This one stays signed in.",
            yes="Sign them out",
        ).open()

    def _show(self, devices: list[dict[str, Any]]) -> None:
        self.trouble = ""
        living = [device for device in devices if any(not one["ended_at"] for one in device["sessions"])]
        ended = [device for device in devices if device not in living]
        self.others = sum(not device["current"] for device in living)
        self.lead = _summary(len(living))
        self._arrange(self.ids.living, living)
        self._arrange(self.ids.ended, ended if self.with_ended else [])
        self.ids.none.text = "None." if self.with_ended and not ended else ""

    def _arrange(self, box: Any, devices: list[dict[str, Any]]) -> None:
        """Tickets that stay are filled anew, so that nothing jumps under a finger."""
        shown = {ticket.device["id"]: ticket for ticket in box.children}
        if [device["id"] for device in devices] == [ticket.device["id"] for ticket in reversed(box.children)]:
            for device in devices:
                shown[device["id"]].show(device)
            return
        box.clear_widgets()
        for device in devices:
            box.add_widget(self._ticket(device))

    def _ticket(self, device: dict[str, Any]) -> Ticket:
        ticket = Ticket(device, wide=self.wide)
        self.bind(wide=ticket.setter("wide"))
        ticket.bind(on_stub=self._act, on_pencil=self._ask_name)
        return ticket

    def _act(self, ticket: Ticket) -> None:
        if ticket.current:
            self._ask_name(ticket)
        else:
            work = self.app.core.api.sign_out_device(ticket.device["id"])
            self.app.work(work, lambda _nothing: self._torn(ticket))

    def _torn(self, ticket: Ticket) -> None:
        if ticket.parent:  # the stream may have been quicker
            ticket.tear()
        self.app.say(f"{ticket.name} is signed out.")
        Clock.schedule_once(lambda _dt: self.refresh(), _TEARING)

    def _others_out(self, ended: int) -> None:
        self.app.say(f"{count(ended, 'sign-in', 'sign-ins')} ended. Only this device is left.")
        self.refresh()

    def _ask_name(self, ticket: Ticket) -> None:
        def rename(name: str) -> None:
            self.app.work(self.app.core.api.rename(ticket.device["id"], name), lambda _device: self.refresh())

        Dialog(rename, ticket.name, question="Rename this device", asks="Its name", yes="Rename it").open()

    def _failed(self, sentence: str) -> None:
        self.trouble = "" if self.app.offline else sentence
        if not self.ids.living.children:
            self.lead = "Your devices show here as soon as the server can be reached."


def _summary(number: int) -> str:
    if number < 2:
        return "Only this device holds a ticket of yours."
    held = count(number, "device holds", "devices hold")
    return f"{held} a ticket of yours. End any of them, and it is refused at its very next request."
