"""One line of the security history."""

from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout


class EventLine(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """`icon` is a name in icon.py; an `alarm` is worth a second look."""

    icon = StringProperty("check")
    title = StringProperty()
    detail = StringProperty()
    alarm = BooleanProperty(False)
