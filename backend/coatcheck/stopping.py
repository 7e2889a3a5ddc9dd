"""Being asked to stop (SIGTERM, Ctrl-C). The server lets running requests finish first; open streams never would."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def announced(tell: Callable[[], None]) -> Iterator[None]:
    """While inside, have `tell` called on the event loop when the process is asked to stop; then the server's own
    handler has its turn. Nowhere but in a main thread are there signals: elsewhere this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def asked(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        then = before[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    # A handler of Python's own only: without one, the default is to die at once, and that stays so.
    ours = [number for number, handler in before.items() if callable(handler)]
    for number in ours:
        signal.signal(number, asked)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
