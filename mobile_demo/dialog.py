"""A question that covers the screen: a sentence, perhaps a line to type on, and two answers."""

from collections.abc import Callable
from typing import Any

from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.modalview import ModalView


class Dialog(ModalView):  # type: ignore[misc]  # kivy has no types
    """`answered` gets what was typed ("" without a field) when the person says yes; the back button means no."""

    question = StringProperty()
    explanation = StringProperty()
    yes = StringProperty()
    asks = StringProperty()  # the field's label; empty: no field

    ending = BooleanProperty(False)

    def __init__(self, answered: Callable[[str], None], typed: str = "", **more: Any) -> None:
        super().__init__(**more)
        self._answered = answered
        if self.asks:
            self.ids.field.text = typed

    def accept(self) -> None:
        """Close, then answer. An empty line isn't an answer."""
        typed = self.ids.field.text.strip() if self.asks else ""
        if self.asks and not typed:
            return
        self.dismiss()
        self._answered(typed)
