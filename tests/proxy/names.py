"""The name server of a container network, as much of it as a proxy asks: which addresses answer to `api`."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

_A, _NO_ERROR, _NO_SUCH_NAME = 1, 0x8180, 0x8183


class Names:
    """Addresses of `api`, to be changed while it runs; nothing else has a name here."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def answer(self, query: bytes) -> bytes:
        """RFC 1035, one question a message."""
        end = query.index(b"\0", 12) + 5
        name, (kind,) = query[12 : end - 4], struct.unpack(">H", query[end - 4 : end - 2])
        known = name == b"\3api\0"
        found = self.addresses if known and kind == _A else []
        records = [struct.pack(">HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address) for address in found]
        head = struct.pack(">HHHHH", _NO_ERROR if known else _NO_SUCH_NAME, 1, len(records), 0, 0)
        return query[:2] + head + query[12:end] + b"".join(records)

    def serve(self) -> None:
        """Until it is told to stop: by an empty message."""
        while True:
            query, asker = self._socket.recvfrom(512)
            if not query:
                return
            with suppress(ValueError, struct.error):
                self._socket.sendto(self.answer(query), asker)

    def stop(self) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))


@contextmanager
def answering(addresses: list[str]) -> Iterator[Names]:
    """A name server on 127.0.0.1, at a port of its own."""
    names = Names(addresses)
    thread = Thread(target=names.serve, daemon=True)
    thread.start()
    try:
        yield names
    finally:
        names.stop()
        thread.join(5)
        names._socket.close()
