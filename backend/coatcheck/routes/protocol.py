"""uvicorn's side of a connection, with an end to what it takes in before there is a request to refuse.

The parser sets no limit to a request's head: one connection could fill the memory (200 MB of a header that never ended
took 258 MB, measured). What is whole comes as far as Edge, which tells the caller more.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import HeadersTooLarge
from .problems import response

_LET_GO = 3.0  # seconds, longer than a proxy keeps an idle connection (deploy/Caddyfile: 2)
_MOST = 128 * 1024  # bytes among which there is neither a whole head nor a piece of body


def _refusal() -> bytes:
    answer = response(HeadersTooLarge(), "/v1/")
    answer.headers["Connection"] = "close"
    head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
    return b"HTTP/1.1 431 Request Header Fields Too Large\r\n%b\r\n%b" % (head, bytes(answer.body))


_REFUSAL = _refusal()


class Protocol(HttpToolsProtocol):
    """Closes a connection on which too much comes that is no request: an endless head, trailer or chunk extension."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pending = 0  # bytes

    def data_received(self, data: bytes) -> None:
        """What came over the wire."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > _MOST and not self.transport.is_closing():
            # Never into another answer.
            if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A whole head."""
        self._pending = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of body."""
        self._pending = 0
        super().on_body(body)


class ProxiedProtocol(Protocol):
    """Behind a proxy: never hangs up first. A request that is on its way into a connection as it closes is lost, and
    the proxy can't ask again: it does not know what came of it."""

    _leaving = False

    def shutdown(self) -> None:
        """Asked to stop. The next answer on this connection says that it is the last; a proxy that asks nothing more
        for a while has let go of it."""
        self._leaving = True
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.loop.call_later(_LET_GO, super().shutdown)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        """A whole head."""
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False
