"""The app: builds the core and the screens, hands the one to the others, and decides which screen is in front."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from kivy.animation import Animation
from kivy.app import App
from kivy.core.window import Window
from kivy.lang import Builder
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.utils import platform

from . import words
from .background import Background, on_ui
from .core import Core
from .frame import Frame
from .preferences import Appearance
from .theme import Theme

T = TypeVar("T")
_NEEDS_SESSION = ("home", "devices", "activity", "settings")
_SIGNED_OUT = ("sign_in", "sign_up")


class CoatcheckApp(App):  # type: ignore[misc]  # kivy has no types
    """What the screens see: who is signed in, whether the network is there, and `work`."""

    title = "Coatcheck"
    icon = str(Path(__file__).with_name("icon.png"))
    theme = ObjectProperty(rebind=True)
    signed_in = BooleanProperty(False)
    account = ObjectProperty({})
    device = ObjectProperty(None, allownone=True)
    offline = BooleanProperty(False)
    farewell = StringProperty()
    server = StringProperty()
    busy = NumericProperty(0)
    ready = BooleanProperty(False)
    appearance = StringProperty("system")
    frame_here = StringProperty()  # the name of the screen in front
    sweep = NumericProperty(0)  # 0 to 1, while something is being done

    __events__ = ("on_news",)

    def __init__(self, server: str | None = None, folder: Path | None = None, **more: Any) -> None:
        super().__init__(**more)
        self._given = server, folder
        self._session_id: str | None = None
        self._running: Any = None
        self.theme = Theme()
        self.background = Background()
        self.core: Core

    # -- Kivy's own moments ------------------------------------------------------------------------------------------

    def build(self) -> Frame:
        """The core first, so that the first frame already shows who is signed in.

        It is made here and not in the network's thread: what it imports would crawl there while a window is drawn.
        """
        self.core = self._make_core()
        Window.softinput_mode = "below_target"  # the keyboard pushes up the field being typed in
        Window.bind(on_keyboard=self._key)
        self.theme.bind(paper=lambda _theme, paper: setattr(Window, "clearcolor", paper))
        Window.clearcolor = self.theme.paper
        Builder.load_file(str(Path(__file__).with_name("theme.kv")))
        self.frame = Frame.load()
        return self.frame

    def on_start(self) -> None:
        """The window is there."""
        self.ready = True
        self.appearance = self.core.preferences.appearance
        self.theme.use(self.appearance)
        self._look()
        self.background.run(self.core.resume())

    def on_pause(self) -> bool:
        """To the background: silent, but ready to come back."""
        if self.ready:
            self.background.run(self.core.pause())
        return True

    def on_resume(self) -> None:
        """Back in front: ask whether the session still lives."""
        if self.ready:
            self.background.run(self.core.resume())

    def on_stop(self) -> None:
        """The window is closed; what is kept stays."""
        if self.ready:  # Kivy tells it twice
            self.ready = False
            self.background.stop(self.core.close())

    def on_news(self, kind: str, data: dict[str, Any]) -> None:
        """An event of the account, or `resumed`: what is shown may be old. For the screens to bind."""

    def on_busy(self, _app: object, busy: int) -> None:
        """The line under the header runs while something is being done."""
        if busy and self._running is None:
            self._running = Animation(sweep=1, duration=0.7) + Animation(sweep=0, duration=0.7)
            self._running.repeat = True
            self._running.start(self)
        elif not busy and self._running:
            self._running.cancel(self)
            self._running = None

    def open_settings(self, *_: object) -> bool:
        """Kivy's own settings screen (F1) isn't ours."""
        return False

    # -- for the screens -----------------------------------------------------------------------------------------------

    def work(
        self,
        work: Coroutine[Any, Any, T],
        done: Callable[[T], None] = lambda _result: None,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Do it in the background. A failure is told in words: to `failed`, or in a line at the bottom."""
        self.busy += 1

        def finished(result: T) -> None:
            self.busy -= 1
            done(result)

        def refused(error: Exception) -> None:
            self.busy -= 1
            if sentence := words.refusal(error, signed_in=self.signed_in):
                (failed or self.say)(sentence)

        self.background.run(work, finished, refused)

    def say(self, sentence: str) -> None:
        """A line at the bottom, for a few seconds."""
        self.frame.say(sentence)

    def show(self, name: str) -> None:
        """Bring a screen to the front."""
        self.frame.show(name)

    def try_again(self) -> None:
        """Look for the network now."""
        self.background.run(self.core.resume())

    def sign_out(self) -> None:
        """At once here; the server hears of it now or later."""
        self.background.run(self.core.session.sign_out())

    def use_appearance(self, appearance: Appearance) -> None:
        """Light, dark, or as the system is."""
        self.appearance = appearance
        self.theme.use(appearance)
        self.work(self.core.use_appearance(appearance))

    # -- the core's news ---------------------------------------------------------------------------------------------

    def _make_core(self) -> Core:
        server, folder = self._given

        def changed() -> None:
            on_ui(self._look)

        def tell(kind: str, data: dict[str, Any]) -> None:
            on_ui(self.dispatch, "on_news", kind, data)

        return Core(folder or Path(self.user_data_dir), server, changed, tell)

    def _look(self) -> None:
        """Take over what the session says now, and show the screen that fits."""
        session, before = self.core.session, self._session_id
        signed_in = session.signed_in
        self.account = signed_in.account if signed_in else {}
        self.device = signed_in.device if signed_in else None
        self._session_id = signed_in.session_id if signed_in else None
        self.signed_in = signed_in is not None
        self.offline = session.online is False
        self.farewell = words.farewell(session.farewell)
        self.server = session.wire.server
        here = self.frame.here
        if self.signed_in and (here in ("", *_SIGNED_OUT) or before != self._session_id):
            self.frame.forget()
            self.show("home")
        elif not self.signed_in and (here == "" or here in _NEEDS_SESSION):
            self.frame.forget()
            self.show("sign_in")

    def _key(self, _window: object, key: int, *_: object) -> bool:
        """The back button (Escape on a desktop) leads one step back; from the first screen out of the app."""
        if key != 27:
            return False
        return self.frame.back() or platform != "android"
