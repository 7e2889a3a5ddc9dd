"""Somebody who is signed in and asks steadily, whether or not the last answer has come.

    python -m tests.load.reading PORT SECONDS "Authorization: Bearer ..."

Prints how long each request took, in seconds, as JSON. A process of its own, so that nothing else the bench does delays
a request or the look at its answer.
"""

import asyncio
import json
import sys
import time

import uvloop

from tests.load.traffic import connect, get_request

_CONNECTIONS = 4
_PACE = 0.01  # seconds between the requests of one of them
_PATIENCE = 60.0  # seconds for an answer: who gets none by then hangs


async def read(port: int, seconds: float, credential: str) -> list[float]:
    """How long each request took from the moment it was due."""
    began = time.perf_counter()
    starts = [began + index * _PACE / _CONNECTIONS for index in range(_CONNECTIONS)]
    return [
        took
        for times in await asyncio.gather(*(_read(port, seconds, credential, due) for due in starts))
        for took in times
    ]


async def _read(port: int, seconds: float, credential: str, due: float) -> list[float]:
    [connection], request, times = await connect(port, 1), get_request("/v1/sessions/current", credential), []
    until = due + seconds
    while due < until:
        await asyncio.sleep(due - time.perf_counter())
        async with asyncio.timeout(_PATIENCE):
            await connection.ask(request)
        times.append(time.perf_counter() - due)
        due += _PACE
    connection.close()
    return times


if __name__ == "__main__":
    print(json.dumps(uvloop.run(read(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))))
