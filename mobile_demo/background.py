"""The only bridge between the screens and the network: one asyncio loop in a thread of its own.

Work runs there; what comes of it is handed over on the UI thread, between two frames. The UI thread never waits.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kivy.clock import Clock

from .refusals import Ended, Refused, Superseded, Unreachable

T = TypeVar("T")


class Background:
    """Start it once; `stop` ends what is still running."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def run(
        self,
        work: Coroutine[Any, Any, T],
        done: Callable[[T], None] = lambda _result: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """`done` or `failed` is called on the UI thread. Without `failed`, a failure that isn't the network's is a bug
        of ours: it is raised there."""

        async def working() -> None:
            try:
                result = await work
            except Exception as error:  # noqa: BLE001  # whatever it is, the screen says so
                on_ui(failed or _raise, error)
            else:
                on_ui(done, result)

        asyncio.run_coroutine_threadsafe(working(), self._loop)

    def stop(self, last: Coroutine[Any, Any, None], patience: float = 1.0) -> None:
        """Run `last`, for so many seconds at most, then end the thread."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(last, self._loop).result(patience)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(patience)


def _raise(error: Exception) -> None:
    if not isinstance(error, Unreachable | Refused | Superseded | Ended):
        raise error


def on_ui(call: Callable[..., None], *args: Any) -> None:
    """Call it on the UI thread, before the next frame."""
    Clock.schedule_once(lambda _dt: call(*args), -1)
