"""A box whose content is there only while `shown`: what is hidden by size or opacity would still take touches."""

from typing import Any

from kivy.properties import BooleanProperty
from kivy.uix.boxlayout import BoxLayout


class Shown(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """As large as its content, or nothing at all; as wide as there is room when `fits` is False."""

    shown = BooleanProperty(True)
    fits = BooleanProperty(True)

    def __init__(self, **more: Any) -> None:
        self._content: list[Any] = []
        super().__init__(**more)

    def add_widget(self, widget: Any, *more: Any, **named: Any) -> None:
        """Content, from the .kv file."""
        if widget not in self._content:
            self._content.append(widget)
        if self.shown:
            super().add_widget(widget, *more, **named)

    def on_shown(self, *_: object) -> None:
        """Put it in, or take it out."""
        if self.shown and not self.children:
            for widget in self._content:
                self.add_widget(widget)
        elif not self.shown:
            self.clear_widgets()
