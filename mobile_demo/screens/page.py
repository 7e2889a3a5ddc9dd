"""What the screens have in common: a column that scrolls, a way to bring it up to date, pulled or pressed."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kivy.app import App
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.screenmanager import Screen

from ..shown import Shown
from .page_head import PageHead

T = TypeVar("T")
_PULL = dp(70)  # how far a list is pulled down to mean "refresh"


class Page(Screen):  # type: ignore[misc]  # kivy has no types
    """`refresh` is called when the screen comes to the front and whenever the account has news."""

    heading = StringProperty()
    lead = StringProperty()
    trouble = StringProperty()
    can_refresh = BooleanProperty(False)
    wide = BooleanProperty(False)
    loading = NumericProperty(0)

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._asked: dict[str, int] = {}

    @property
    def app(self) -> Any:
        """The running app."""
        return App.get_running_app()

    def refresh(self) -> None:
        """Bring up to date; screens that show something of the server do."""

    def ask(
        self, about: str, work: Coroutine[Any, Any, T], done: Callable[[T], None], failed: Callable[[str], None]
    ) -> None:
        """Of several questions about one thing only the latest one's answer is shown: they may come in any order."""
        asked = self._asked[about] = self._asked.get(about, 0) + 1

        def latest(result: T) -> None:
            if asked == self._asked[about]:
                done(result)

        self.app.work(work, latest, failed)

    def on_pre_enter(self, *_: Any) -> None:
        """In front: forget old trouble, look again."""
        self.trouble = ""
        self.ids.scroll.scroll_y = 1
        self.app.bind(on_news=self._news)
        self.refresh()

    def on_leave(self, *_: Any) -> None:
        """Out of sight: silent."""
        self.app.unbind(on_news=self._news)

    def pulled(self, scroll: Any) -> None:
        """The list was let go; if far below its top, refresh."""
        overscroll = scroll.effect_y.overscroll if scroll.effect_y else 0
        if self.can_refresh and overscroll < -_PULL:
            self.refresh()

    def _news(self, _app: object, _kind: str, _data: dict[str, Any]) -> None:
        self.refresh()


__all__ = ["Page", "PageHead", "Shown"]  # named in the .kv files
