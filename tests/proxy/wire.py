"""Bytes on a connection, as no honest client would send them, and what comes back."""

import re
import socket
import time
from contextlib import suppress

from tests.proxy.topology import ADDRESSES, Deployed


def connect(house: Deployed, through_the_proxy: bool, ip: str = "127.9.8.7") -> socket.socket:
    """A connection to the proxy, with TLS and HTTP/1.1, or to a server."""
    to = ("127.0.0.1", house.ports[house.proxy]) if through_the_proxy else (ADDRESSES[0], house.port)
    connection = socket.create_connection(to, timeout=30, source_address=(ip, 0))
    if not through_the_proxy:
        return connection
    return house.trust.wrap_socket(connection, server_hostname="localhost")


def answers(connection: socket.socket, patience: float = 1.0) -> list[tuple[int, bytes]]:
    """Status and body of all answers that come before the other side hangs up, or is silent for so many seconds."""
    received = b""
    connection.settimeout(patience)
    with suppress(OSError):
        while part := connection.recv(65_536):
            received += part
    return split(received)


def split(received: bytes) -> list[tuple[int, bytes]]:
    """Answers one after the other. Interim ones are none."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        assert first, received[:200]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0 if first[1] in (b"100", b"204", b"304") else len(rest)
        if first[1] != b"100":
            found.append((int(first[1]), rest[:size]))
        received = rest[size:]
    return found


def one_by_one(connection: socket.socket, parts: list[bytes], pause: float) -> None:
    """Send slowly."""
    for part in parts:
        with suppress(OSError):
            connection.sendall(part)
        time.sleep(pause)
