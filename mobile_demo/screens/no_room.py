"""The account is signed in on as many devices as it may be: the person chooses the one that gives way."""

from collections.abc import Awaitable
from typing import Any

from kivy.properties import StringProperty

from ..refusals import NoRoom as Full
from ..refusals import Refused, Unfinished
from ..times import ago
from ..words import GONE_ALREADY, STILL_NO_ROOM, door_name
from .choice import Choice
from .page import Page
from .steps import go_on, needed


class NoRoom(Page):
    """Remembers the pending sign-in until it is left; nothing of it is kept on the device."""

    chosen = StringProperty()  # a session's id
    _email = _challenge = ""

    def ask_for(self, email: str, step: Full) -> None:
        """`step` says who holds the hooks of `email`; the one unused for longest is chosen to begin with."""
        self._email, self._challenge = email, step.challenge_token
        self.ids.choices.clear_widgets()
        self.chosen = ""
        for device, session in step.held():
            self.ids.choices.add_widget(self._choice(device, session))
        first = self.ids.choices.children[-1:]
        self.chosen = first[0].key if first else ""

    def on_chosen(self, *_: object) -> None:
        """Exactly one."""
        for choice in self.ids.choices.children:
            choice.chosen = choice.key == self.chosen

    def submit(self) -> None:
        """Sign that one out."""
        self.trouble = ""
        entering = self.app.core.session.make_room(self._email, self._challenge, self.chosen)
        self.app.work(_outcome(entering), self._done, self._failed)

    def on_leave(self, *_: object) -> None:
        """Whoever goes back has given it up."""
        super().on_leave()
        self._email = self._challenge = self.chosen = ""
        self.ids.choices.clear_widgets()

    def _choice(self, device: dict[str, Any], session: dict[str, Any]) -> Choice:
        detail = f"{door_name(session['door'], device.get('platform'))}, last seen {ago(session['last_seen_at'])}"
        choice = Choice(key=session["id"], label=device["name"], detail=detail)
        choice.bind(on_release=lambda touched: setattr(self, "chosen", touched.key))
        return choice

    def _done(self, outcome: str | Unfinished | None) -> None:
        if isinstance(outcome, Unfinished):
            go_on(self, self._email, outcome)
            self._failed(STILL_NO_ROOM)
        elif outcome:
            self._failed(outcome)

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence


async def _outcome(entering: Awaitable[None]) -> str | Unfinished | None:
    """What is wrong with the choice, or what is needed beside it; None when all is well."""
    try:
        return await needed(entering)
    except Refused as refused:
        if refused.code != "not_found":
            raise
        return GONE_ALREADY
