"""A device as a cloakroom ticket: the body says where you're signed in, the stub has its number and its one action."""

from typing import Any

from kivy.animation import Animation
from kivy.app import App
from kivy.clock import Clock
from kivy.graphics import Color, Rectangle
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ListProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from .times import ago, exact, since
from .words import door_name, ending, shape, stub_number

_LONG_PRESS = 0.5  # seconds


class Perforation(Widget):  # type: ignore[misc]  # kivy has no types
    """A dashed line between body and stub."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.bind(pos=self._draw, size=self._draw)
        App.get_running_app().theme.bind(line=self._draw)

    def _draw(self, *_: object) -> None:
        upright = self.height > self.width
        length, dash, gap = max(self.size), dp(6), dp(5)
        self.canvas.clear()
        with self.canvas:
            Color(*App.get_running_app().theme.line)
            at = dp(12)
            while at < length - dp(12):
                pos = (self.center_x, self.y + at) if upright else (self.x + at, self.center_y)
                Rectangle(pos=pos, size=(dp(1.4), dash) if upright else (dash, dp(1.4)))
                at += dash + gap


class SessionLine(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """One living session on the device."""

    door = StringProperty()
    since = StringProperty()


class Ticket(BoxLayout):  # type: ignore[misc]  # kivy has no types
    """Fill it with `show`; `on_stub` is the stub's button, `on_pencil` the pencil."""

    name = StringProperty()
    picture = StringProperty("laptop")
    seen = StringProperty()
    seen_at = StringProperty()
    number = StringProperty()
    action = StringProperty()
    current = BooleanProperty(False)
    ended = BooleanProperty(False)
    wide = BooleanProperty(False)
    torn = NumericProperty(0)
    sessions = ListProperty()

    __events__ = ("on_stub", "on_pencil")

    def __init__(self, device: dict[str, Any], **more: Any) -> None:
        super().__init__(**more)
        self.device = device
        self.show(device)

    def show(self, device: dict[str, Any]) -> None:
        """A `Device` of the contract; without `sessions`, what is known without network."""
        sessions = device.get("sessions", [])
        living = [session for session in sessions if not session["ended_at"]]
        self.device = device
        self.name, self.picture = device["name"], shape(device.get("platform"))
        self.current = bool(device.get("current", not sessions))
        self.ended = bool(sessions) and not living
        self.number = f"No {stub_number(device['id'])}"
        self.action = "" if self.ended else "Rename" if self.current else "Sign out"
        if self.ended:
            self._show_ended(sessions)
        elif living:
            self._show_living(device, living)

    def _show_living(self, device: dict[str, Any], living: list[dict[str, Any]]) -> None:
        where = f" · {living[0]['ip']}" if living[0]["ip"] else ""
        seen = "Active now" if self.current else f"Last seen {ago(device['last_seen_at'])}"
        self.seen, self.seen_at = seen + where, device["last_seen_at"]
        self.sessions = [
            (door_name(session["door"], device.get("platform")), f"since {since(session['created_at'])}")
            for session in living
        ]

    def _show_ended(self, sessions: list[dict[str, Any]]) -> None:
        last = max(sessions, key=lambda session: session["ended_at"])
        self.seen = f"{ending(last['end_reason'], last.get('ended_by'))}, {ago(last['ended_at'])}"
        self.seen_at = last["ended_at"]

    def on_sessions(self, _ticket: object, sessions: list[tuple[str, str]]) -> None:
        """A line for each."""
        self.ids.sessions.clear_widgets()
        for door, begun in sessions:
            self.ids.sessions.add_widget(SessionLine(door=door, since=begun))

    def tear(self) -> None:
        """The stub comes off."""
        Animation(torn=1, duration=0.25, transition="in_quad").start(self)

    def on_touch_down(self, touch: Any) -> bool:
        """A long press beside the buttons tells the exact time."""
        if super().on_touch_down(touch):
            return True
        if self.collide_point(*touch.pos) and self.seen_at:
            Clock.schedule_once(lambda _dt: self._pressed_long(touch), _LONG_PRESS)
        return False

    def _pressed_long(self, touch: Any) -> None:
        if touch.time_end < 0 and self.parent:  # still down, and the ticket still there
            App.get_running_app().say(exact(self.seen_at))

    def on_stub(self) -> None:
        """For the screens to bind."""

    def on_pencil(self) -> None:
        """For the screens to bind."""
