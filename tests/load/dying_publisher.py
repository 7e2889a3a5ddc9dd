"""`coatcheck` that dies between commit and publish: kill -9 on itself the first time it is about to tell of an ending.

    python -m tests.load.dying_publisher serve --port 8001

The fault is put in from outside; the product knows nothing of it.
"""

import os
import signal

from coatcheck import cli
from coatcheck.revocation import Event, Feed

_publish = Feed.publish


async def _die_before_publishing(feed: Feed, *events: Event) -> None:
    if any(event.kind == "session.ended" for event in events):
        os.kill(os.getpid(), signal.SIGKILL)
    await _publish(feed, *events)


if __name__ == "__main__":
    Feed.publish = _die_before_publishing  # type: ignore[method-assign,assignment]
    cli.main()
