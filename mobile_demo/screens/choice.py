"""One line of several, of which one is chosen."""

from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout


class Choice(ButtonBehavior, BoxLayout):  # type: ignore[misc]  # kivy has no types
    """`key` tells it from the others; a touch anywhere on it is `on_release`."""

    key = StringProperty()
    label = StringProperty()
    detail = StringProperty()
    chosen = BooleanProperty(False)
