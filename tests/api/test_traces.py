"""Traces: what a real OTLP receiver gets, that no secret is among it, and that a dead one is nobody's trouble."""

import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from coatcheck import settings
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, SECRET
from tests.live import free_port, serving
from tests.markers import Wire
from tests.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Receiver:
    """What came in."""

    def __init__(self) -> None:
        self.received = b""
        self.spans: list[Span] = []

    def take(self, body: bytes) -> None:
        self.received += body
        request = ExportTraceServiceRequest.FromString(body)
        for one in request.resource_spans:
            self.spans += [span for scope in one.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def below(self, parent: Span) -> set[str]:
        found = [span for span in self.spans if span.parent_span_id == parent.span_id]
        assert all(span.trace_id == parent.trace_id for span in found)
        return {span.name for span in found}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A real OTLP/HTTP receiver; the environment tells where it is."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


async def test_traces_tell_what_a_request_did_and_no_secret(
    open_house: OpenHouse, stores: Stores, receiver: Receiver
) -> None:
    """Each request is a span under its route's template, with what it asked of the stores right below it; a caller's
    trace goes on; nothing secret, no address and no query string is among the received bytes."""
    async with open_house(traces=True) as house:
        wire = Wire(house)
        await house.register("zq-marked@example.test")
        with pytest.raises(AssertionError):  # refused: the database's own words quote the address
            await house.register("zq-marked@example.test")
        client = house.http(headers=TRACEPARENT, event_hooks={"request": [wire.request], "response": [wire.response]})
        body = {"email": "zq-marked@example.test", "password": PASSWORD}
        grant = (await client.post("/v1/native/login?zq-marked=1", json=body)).json()
        form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
        assert (await client.post("/oauth/token", data=form)).status_code == 200
        await client.get("/zq-marked-path")
        await until(lambda: bool(receiver.named("GET other")))
    [login], [refresh] = receiver.named("POST /v1/native/login"), receiver.named("POST /oauth/token")
    for span in (login, refresh):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
        status = {one.key: one.value.int_value for one in span.attributes}["http.response.status_code"]
        assert status == 200
    assert {"password verify", "SELECT account", "INSERT session"} <= receiver.below(login)
    assert "UPDATE session" in receiver.below(refresh)
    assert ("redis count" in receiver.below(login)) is ("redis_url" in stores)
    requests = {span.span_id for span in receiver.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert all(span.parent_span_id in requests for span in receiver.spans if span.kind == Span.SPAN_KIND_CLIENT)
    assert wire.secrets
    assert wire.found_in(receiver.received.decode("latin-1")) == []
    assert b"zq-marked" not in receiver.received
    assert PASSWORD.encode() not in receiver.received


async def test_traces_never_quote_what_failed(open_house: OpenHouse, receiver: Receiver) -> None:
    """A statement or a request that fails tells the kind of the error, and none of its words."""
    async with open_house(traces=True) as house:

        @house.app.get("/v1/failing")
        async def failing() -> None:
            await house.desk.db.hot.fetch("SELECT zq_marked FROM account")

        house.app.router.routes.insert(0, house.app.router.routes.pop())
        async with house.http() as client:
            assert (await client.get("/v1/failing")).status_code in (500, 503)
        await until(lambda: bool(receiver.named("GET /v1/failing")))
    [request] = receiver.named("GET /v1/failing")
    assert receiver.below(request) == {"SELECT account"}
    assert request.status.code == Span().status.STATUS_CODE_ERROR
    assert b"error.type" in receiver.received
    assert b"zq_marked" not in receiver.received


async def test_traces_dead_receiver_is_nobodys_trouble(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the receiver never answers, requests are answered as ever, and the end does not wait for it."""
    hanging = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # takes connections, never serves them
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{hanging.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    async with open_house(traces=True) as house:
        await house.register()
        phone = await house.native()
        began = time.monotonic()
        for _ in range(30):
            assert (await phone.get("/v1/sessions/current")).status_code == 200
        assert time.monotonic() - began < 8  # the exporter alone waits for ten
        began = time.monotonic()
    assert time.monotonic() - began < 8
    hanging.server_close()


def test_traces_are_flushed_at_the_end_and_named_in_the_log(
    embedded: Stores, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be sent is sent when the server stops; a request's log lines carry its trace id."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    with serving(tmp_path / "log", port=free_port(), traces=1, log_level="debug", **embedded) as live:
        httpx2.get(f"{live.url}/v1/me", headers=TRACEPARENT)
        assert not receiver.spans
    [span] = receiver.named("GET /v1/me")
    assert span.trace_id.hex() == TRACE
    lines = [json.loads(line) for line in live.log.read_text().splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line.get("path") == "/v1/me"]
    assert line["trace_id"] == TRACE


def test_traces_without_the_package_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install. OpenTelemetry's API is always there, by FastAPI; the exporter is not."""
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)  # by other tests
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(settings.SettingsError, match=r"pip install 'coatcheck\[telemetry\]'\.$"):
        settings.check(settings.load({}, secret_key=[SECRET], traces=True))
