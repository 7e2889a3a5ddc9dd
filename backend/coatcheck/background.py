"""Tasks that run beside the requests, and how one is ended for certain."""

import asyncio


async def stop(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it is over.

    Asked again until it obeys: Python 3.11's `asyncio.wait_for` swallows a cancellation that arrives just as what it
    waits for is done, and the drivers are built on it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


def reason(error: BaseException) -> str:
    """For the log: what the store said, where that is why."""
    return repr(error.__cause__ or error)
