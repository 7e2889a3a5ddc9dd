"""The top of a page: its heading, a sentence, and a way to bring it up to date."""

from kivy.properties import ObjectProperty
from kivy.uix.boxlayout import BoxLayout


class PageHead(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """Follows its page's `heading` and `lead`."""

    page = ObjectProperty(None, allownone=True, rebind=True)
