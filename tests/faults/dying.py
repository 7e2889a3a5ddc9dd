"""`coatcheck` that dies at a marked point: kill -9 on itself, the first time it gets there.

    DIE_AT=logout-committed python -m tests.faults.dying serve --port 8001

The fault is put in from outside; the product knows nothing of it.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from coatcheck import cli, login, sessions
from coatcheck.revocation import Feed

Step = Callable[..., Awaitable[Any]]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(step: Step) -> Step:
    @wraps(step)
    async def dying(*args: Any, **options: Any) -> Any:
        _die()

    return dying


def _after(step: Step) -> Step:
    @wraps(step)
    async def dying(*args: Any, **options: Any) -> Any:
        await step(*args, **options)
        _die()

    return dying


def _telling(kind: str, wrap: Callable[[Step], Step]) -> Callable[[Step], Step]:
    """Only where an event of this kind is told of."""

    def wrapped(step: Step) -> Step:
        deadly = wrap(step)

        @wraps(step)
        async def dying(feed: Feed, *events: Any) -> Any:
            return await (deadly if any(event.kind == kind for event in events) else step)(feed, *events)

        return dying

    return wrapped


# Each point: whose step, its name, and how it is changed.
POINTS: dict[str, tuple[Any, str, Callable[[Step], Step]]] = {
    "refresh-before": (sessions, "_advance", _before),
    "refresh-committed": (sessions, "_advance", _after),
    "login-uncommitted": (login, "_start", _after),
    "login-committed": (Feed, "publish", _telling("session.started", _before)),
    "login-told": (Feed, "publish", _telling("session.started", _after)),
    "logout-uncommitted": (sessions, "end", _after),
    "logout-committed": (Feed, "publish", _telling("session.ended", _before)),
    "logout-told": (Feed, "publish", _telling("session.ended", _after)),
}

if __name__ == "__main__":
    whose, name, wrap = POINTS[os.environ["DIE_AT"]]
    setattr(whose, name, wrap(getattr(whose, name)))
    cli.main()
