"""A labelled line to type on; a private one can be shown while typing."""

from kivy.properties import BooleanProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout


class Field(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """`text` is what was typed; `on_enter` is the keyboard's own key for "done"."""

    label = StringProperty()
    hint = StringProperty()
    kind = OptionProperty("text", options=["text", "mail", "url"])
    private = BooleanProperty(False)
    secret = BooleanProperty(False)

    __events__ = ("on_enter",)

    @property
    def text(self) -> str:
        """What was typed."""
        return str(self.ids.input.text)

    @text.setter
    def text(self, text: str) -> None:
        self.ids.input.text = text

    def on_private(self, _field: object, private: bool) -> None:
        """A private field starts hidden."""
        self.secret = private

    def on_enter(self) -> None:
        """For the screens to bind."""
