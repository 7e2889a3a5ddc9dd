"""The app in a process of its own, with somebody at the glass who does as told: JSON lines over a Unix socket.

    python -m tests.mobile.stage SOCKET [the app's own arguments]

Touches and keys go through Kivy's window, as a finger's do: what is covered, disabled or out of sight isn't reached.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")

STEP = 0.1  # seconds between finger down and finger up: longer than a list waits to see whether it is scrolled
FINGER = ("tap", "focus")  # take their time, so they run beside the UI thread


class Stage:
    """Each `do_…` runs on the UI thread, but those of `FINGER`."""

    def __init__(self) -> None:
        self.frames: list[float] = []

    def do_texts(self) -> list[str]:
        """Every text in sight, in reading order."""
        found = []
        for widget in visible():
            for name in ("text", "hint_text"):
                text = getattr(widget, name, "")
                if text and isinstance(text, str):
                    found.append(text)
        return found

    def do_screen(self) -> str:
        """The name of the screen in front."""
        return str(app().frame_here)

    def do_tap(self, text: str, nth: int = 0) -> bool:
        """Touch the button that says so; False when there is none that could be touched."""

        def buttons() -> list[Any]:
            return [one for one in visible() if hasattr(one, "on_release") and says(one) == text and not one.disabled]

        found = on_ui(buttons)
        if len(found) <= nth:
            return False
        touch(found[nth])
        return True

    def do_focus(self, label: str) -> bool:
        """Touch the field with this label."""

        def line() -> Any:
            field = next((one for one in visible() if type(one).__name__ == "Field" and one.label == label), None)
            if field:
                field.text = ""
            return field.ids.input if field else None

        if (found := on_ui(line)) is None:
            return False
        touch(found)
        return bool(found.focus)

    def do_where(self, text: str) -> list[float] | None:
        """Where on the window a button, or the line of a field, is: from the left, from the top."""
        from kivy.core.window import Window

        for one in visible():
            if type(one).__name__ == "Field" and one.label == text:
                one = one.ids.input  # noqa: PLW2901
            elif not (hasattr(one, "on_release") and says(one) == text):
                continue
            x, y = one.to_window(*one.center)
            return [x, Window.height - y]
        return None

    def do_focused(self, label: str) -> bool:
        """Whether what is typed goes into this field."""
        return any(one.ids.input.focus for one in visible() if type(one).__name__ == "Field" and one.label == label)

    def do_type(self, text: str) -> None:
        """On the keyboard."""
        from kivy.core.window import Window

        Window.dispatch("on_textinput", text)

    def do_key(self, code: int) -> bool:
        """A key of the window: 27 is the back button, 13 is done."""
        from kivy.core.window import Window

        return bool(Window.dispatch("on_keyboard", code, 0, None, []))

    def do_typed(self, label: str) -> str:
        """What stands in a field."""
        return str(next(one for one in visible() if type(one).__name__ == "Field" and one.label == label).text)

    def do_pull(self) -> None:
        """Pull the list down, as to refresh it."""
        app().frame.ids.screens.current_screen.ids.scroll.effect_y.overscroll = -200
        app().frame.ids.screens.current_screen.pulled(app().frame.ids.screens.current_screen.ids.scroll)

    def do_resize(self, width: int, height: int) -> None:
        """Another window."""
        from kivy.core.window import Window

        Window.size = width, height

    def do_scroll(self, to: float) -> None:
        """1 is the top, 0 the bottom."""
        app().frame.ids.screens.current_screen.ids.scroll.scroll_y = to

    def do_appearance(self, name: str) -> None:
        """Light or dark, without the settings screen."""
        app().use_appearance(name)

    def do_pause(self) -> None:
        """The app goes to the background."""
        app().dispatch("on_pause")

    def do_resume(self) -> None:
        """It comes back."""
        app().dispatch("on_resume")

    def do_screenshot(self, file: str) -> str:
        """What the window shows, as a picture; the name it got."""
        from kivy.core.window import Window

        return str(Window.screenshot(name=file))

    def do_frames(self) -> list[float]:
        """Seconds between frames since the last question."""
        found, self.frames[:] = list(self.frames), []
        return found

    def do_overlaps(self) -> list[str]:
        """Words that run out of their window."""
        from kivy.core.window import Window

        return [
            one.text
            for one in visible()
            if isinstance(getattr(one, "text", None), str)
            and one.text
            and one.width > 1
            and (one.to_window(one.x, one.y)[0] < -1 or one.to_window(one.right, one.y)[0] > Window.width + 1)
        ]

    def do_stop(self) -> None:
        """Close the window."""
        app().stop()


def app() -> Any:
    """The running app."""
    from kivy.app import App

    return App.get_running_app()


def visible() -> Iterator[Any]:
    """Every widget in sight; under a dialog nothing else."""
    from kivy.core.window import Window
    from kivy.uix.modalview import ModalView

    roots = [one for one in Window.children if isinstance(one, ModalView)][:1] or Window.children
    for root in roots:
        yield from _in_sight(root)


def _in_sight(widget: Any) -> Iterator[Any]:
    if widget.opacity == 0 or widget.width == 0 or widget.height == 0:
        if not (widget.opacity and widget.children):
            return
    else:
        yield widget
    for child in reversed(widget.children):
        yield from _in_sight(child)


def says(widget: Any) -> str:
    """A button's text, or the words for who can't see its icon."""
    return getattr(widget, "text", "") or getattr(widget, "label", "")


def bring_into_sight(widget: Any) -> None:
    """Scroll to it, if it is in something that scrolls."""
    from kivy.uix.scrollview import ScrollView

    parent = widget.parent
    while parent is not None and parent is not parent.parent:
        if isinstance(parent, ScrollView):
            parent.scroll_to(widget, padding=20, animate=False)
            return
        parent = parent.parent


def touch(widget: Any) -> None:
    """A finger down and up in its middle."""
    from kivy.tests.common import UnitTestTouch

    def down() -> Any:
        finger = UnitTestTouch(*widget.to_window(*widget.center))
        finger.touch_down()
        return finger

    on_ui(partial(bring_into_sight, widget))
    on_ui(lambda: None)  # a frame, for the scrolling
    finger = on_ui(down)
    time.sleep(STEP)
    on_ui(finger.touch_up)
    on_ui(lambda: None)


def serve(path: str, stage: Stage) -> None:
    """Do as told, until the other side hangs up."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    connection, _ = server.accept()
    for line in connection.makefile("r"):
        name, arguments = json.loads(line)
        wish = partial(getattr(stage, f"do_{name}"), *arguments)
        answer = wish() if name in FINGER else on_ui(wish)
        connection.sendall(json.dumps(answer).encode() + b"\n")


def on_ui(call: Callable[[], Any]) -> Any:
    """Its result, from the UI thread."""
    from kivy.clock import Clock

    done, result = threading.Event(), []

    def calling(_dt: float) -> None:
        result.append(call())
        done.set()

    Clock.schedule_once(calling)
    done.wait(10)
    return result[0] if result else None


def watch_frames(stage: Stage) -> None:
    """Note how long each frame took."""
    from kivy.clock import Clock

    last = [time.perf_counter()]

    def frame(_dt: float) -> None:
        now = time.perf_counter()
        stage.frames.append(now - last[0])
        last[0] = now

    Clock.schedule_interval(frame, 0)


def main(path: str, *arguments: str) -> None:
    """The app as it always starts, with the stage beside it."""
    from kivy.clock import Clock

    from mobile_demo.start import run

    stage = Stage()
    Path(path).unlink(missing_ok=True)
    threading.Thread(target=serve, args=(path, stage), daemon=True).start()
    Clock.schedule_once(lambda _dt: watch_frames(stage))
    run(list(arguments))


if __name__ == "__main__":
    os.environ["KIVY_NO_ARGS"] = "1"
    main(*sys.argv[1:])
