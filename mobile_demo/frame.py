"""What surrounds every screen: the header with its four places, the line about the network, the line at the bottom."""

from pathlib import Path
from typing import Any, Self

from kivy.animation import Animation
from kivy.app import App
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.lang import Builder
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.modalview import ModalView

from .dialog import Dialog
from .field import Field
from .icon import Icon
from .screens import SCREENS
from .ticket import Ticket

_SAID_FOR = 4.0  # seconds
_FOLDER = Path(__file__).parent


class Frame(FloatLayout):  # type: ignore[misc]  # kivy has no types
    """Holds the screens and remembers the way back."""

    here = StringProperty()
    wide = BooleanProperty(False)
    said = StringProperty()

    @classmethod
    def load(cls) -> Self:
        """With all screens made."""
        for name in ("ticket", "dialog", "frame"):
            Builder.load_file(str(_FOLDER / f"{name}.kv"))
        frame = cls()
        for name, screen in SCREENS.items():
            Builder.load_file(str(_FOLDER / "screens" / f"{name}.kv"))
            frame.ids.screens.add_widget(screen(name=name))
        frame.ids.screens.current = "blank"
        return frame

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._way: list[str] = []
        self._silence = Clock.create_trigger(lambda _dt: setattr(self, "said", ""), _SAID_FOR)

    def show(self, name: str) -> None:
        """Bring a screen to the front; `back` leads to the one before."""
        if name == self.here:
            return
        if self.here:
            self._way.append(self.here)
        self._go(name)

    def turn_to(self, name: str) -> None:
        """Bring a screen to the front in place of this one; `back` leads where it led from here."""
        if name != self.here:
            self._go(name)

    def forget(self) -> None:
        """There is no way back from here: somebody signed in or out."""
        self._way.clear()
        self.here = ""

    def back(self) -> bool:
        """One step back; False when there is none left."""
        dialogs = [child for child in Window.children if isinstance(child, ModalView)]
        if dialogs:
            dialogs[0].dismiss()
        elif self._way:
            self._go(self._way.pop())
        else:
            return False
        return True

    def say(self, sentence: str) -> None:
        """For a few seconds at the bottom."""
        self.said = sentence
        self.ids.said.opacity = 0
        Animation(opacity=1, duration=0.15).start(self.ids.said)
        self._silence.cancel()
        self._silence()

    def _go(self, name: str) -> None:
        self.here = name
        App.get_running_app().frame_here = name
        self.ids.screens.current = name


__all__ = ["Dialog", "Field", "Frame", "Icon", "Ticket"]  # named in the .kv files
