"""The account's security history, newest first."""

from typing import Any

from kivy.properties import BooleanProperty

from ..history import line
from ..times import ago
from .event_line import EventLine
from .page import Page


class Activity(Page):
    """A page at a time."""

    has_more = BooleanProperty(False)

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._next: str | None = None

    def refresh(self) -> None:
        """The newest page."""
        self.ask("events", self.app.core.api.activity(), self._show_first, self._failed)

    def earlier(self) -> None:
        """The page before."""
        self.app.work(self.app.core.api.activity(self._next), self._add)

    def _show_first(self, page: dict[str, Any]) -> None:
        self.trouble = ""
        self.ids.events.clear_widgets()
        self._add(page)
        self.lead = "What happened to your account, newest first." if page["events"] else "Nothing has happened yet."

    def _add(self, page: dict[str, Any]) -> None:
        for event in page["events"]:
            told = line(event)
            where = f" · {event['ip']}" if event.get("ip") else ""
            words = " · ".join(part for part in (told.detail, f"{ago(event['at'])}{where}") if part)
            self.ids.events.add_widget(EventLine(icon=told.icon, title=told.title, detail=words, alarm=told.alarm))
        self._next = page["next"]
        self.has_more = self._next is not None

    def _failed(self, sentence: str) -> None:
        self.trouble = "" if self.app.offline else sentence
        if not self.ids.events.children:
            self.lead = "Your activity shows here as soon as the server can be reached."
