"""Clients that send a byte now and then, to hold what others need."""

import socket
from contextlib import ExitStack, suppress

import pytest

from tests.proxy import people, wire
from tests.proxy.topology import Deployed

_HEAD = b"POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_BEGUN = [
    b"",
    _HEAD[:30],
    _HEAD,
    _HEAD + b"Content-Length: 60000\r\n\r\n{",
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
]
MANY = 200


def trickle(connections: list[socket.socket]) -> None:
    """One byte more on each."""
    for connection in connections:
        with suppress(OSError):
            connection.sendall(b"X")


@pytest.mark.parametrize("through_the_proxy", [True, False])
async def test_slow_clients_hold_up_nobody(deployment: Deployed, through_the_proxy: bool) -> None:
    """While hundreds of requests are half sent and trickle on, headers and bodies, others sign up, sign in and refresh
    through the proxy; every one of their requests is answered."""
    with ExitStack() as stack:
        slow = []
        for number in range(MANY):
            connection = stack.enter_context(wire.connect(deployment, through_the_proxy, ip="127.66.0.1"))
            connection.sendall(_BEGUN[number % len(_BEGUN)])
            slow.append(connection)
        async with deployment.http("127.66.0.2") as http:
            ada = await people.phone(http, f"slow-{through_the_proxy}@example.test")
            for _ in range(10):
                trickle(slow)
                assert (await ada.refresh()).status_code == 200
                assert (await ada.get("/v1/me")).status_code == 200
