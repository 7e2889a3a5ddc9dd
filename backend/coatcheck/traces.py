"""Traces for OpenTelemetry (docs/traces.md). The only file that imports it, and itself imported only when TRACES is on.

On, it puts itself around what it watches: the application, the database, Redis, the hashing of passwords. Off, there is
nothing to pass. A span says what kind of thing was done and how long it took; never with which values: no query string,
header, SQL, parameter or message of an error gets in. Exported by a thread of its own from a bounded queue: a receiver
that is slow or dead costs spans, never a request.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import lru_cache, wraps
from re import IGNORECASE
from re import compile as pattern
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import event
from sqlalchemy.engine import Engine

from .desk import Desk
from .passwords import Hasher

_FLUSH = 1.0  # seconds the end of the process waits for what is not yet sent
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
_KIND = pattern(r"\s*(\w+)")
_TABLE = pattern(r"\b(?:FROM|INTO|UPDATE)\s+\"?([a-z_]+)", IGNORECASE)

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


class Traces:
    """One worker's."""

    def __init__(self) -> None:
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = Resource.create({} if named else {"service.name": "coatcheck"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # else the exit waits for 30 s
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("coatcheck")
        self._parent = TraceContextTextMapPropagator()

    def around(self, app: App) -> App:
        """ASGI middleware: a span for each request, which goes on with the caller's trace (W3C Trace Context)."""

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            told = [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"]
            parent = self._parent.extract({"traceparent": told[0]} if len(told) == 1 else {})
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            with self._span(method, SpanKind.SERVER, parent, {"http.request.method": method}) as span:

                async def sending(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        _answered(span, message["status"])
                    await send(message)

                with structlog.contextvars.bound_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}"):
                    try:
                        await app(scope, receive, sending)
                    finally:
                        # A template, never a path that somebody typed.
                        route = getattr(scope.get("route"), "path", "other")
                        span.update_name(f"{method} {route}")
                        span.set_attribute("http.route", route)

        return traced

    @asynccontextmanager
    async def watching(self, desk: Desk) -> AsyncIterator[None]:
        """Spans for what requests ask of this desk; what waits at the end is sent, for a second at the most."""
        self._watch(desk)
        try:
            yield
        finally:
            # Not in the loop's own threads: asyncio waits for those without end.
            flush = threading.Thread(target=self._provider.shutdown, daemon=True)
            flush.start()
            await asyncio.to_thread(flush.join, _FLUSH)
            if flush.is_alive():
                self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it would go on trying

    def _watch(self, desk: Desk) -> None:
        for name in ("fetch", "fetch_one", "run_many"):
            self._wrap(desk.db.hot, name, _statement)
        self._watch_orm(desk.db.engine.sync_engine)
        for name in ("append", "count", "ping") if desk.redis else ():
            self._wrap(desk.redis, name, lambda *_, name=name: (f"redis {name}", {"db.system.name": "redis"}))
        self._watch_hashing(desk.hasher)

    def _span(self, name: str, kind: SpanKind, parent: Any, told: dict[str, str]) -> Any:
        # What an exception says may quote a parameter.
        return self._tracer.start_as_current_span(
            name, parent, kind, told, record_exception=False, set_status_on_exception=False
        )

    def _wrap(self, owner: Any, name: str, about: Callable[..., tuple[str, dict[str, str]]]) -> None:
        plain = getattr(owner, name)

        @wraps(plain)
        async def traced(*args: Any, **options: Any) -> Any:
            if not _in_request():
                return await plain(*args, **options)
            called, told = about(*args)
            with self._span(called, SpanKind.CLIENT, None, told) as span:
                try:
                    return await plain(*args, **options)
                except BaseException as error:
                    _failed(span, error)
                    raise

        setattr(owner, name, traced)

    def _watch_orm(self, engine: Engine) -> None:
        def began(connection: Any, _cursor: Any, sql: str, _parameters: Any, _context: Any, _many: bool) -> None:
            if _in_request():
                name, told = _statement(sql)
                connection.info["span"] = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=told)

        def ended(connection: Any, *_: Any) -> None:
            if span := connection.info.pop("span", None):
                span.end()

        def failed(context: Any) -> None:
            if context.connection and (span := context.connection.info.pop("span", None)):
                _failed(span, context.original_exception)
                span.end()

        event.listen(engine, "before_cursor_execute", began)
        event.listen(engine, "after_cursor_execute", ended)
        event.listen(engine, "handle_error", failed)

    def _watch_hashing(self, hasher: Hasher) -> None:
        plain = hasher.turn

        @asynccontextmanager
        async def turn() -> AsyncIterator[Any]:
            async with plain() as place:
                for name in ("hash", "verify"):
                    self._wrap(place, name, lambda *_, name=name: (f"password {name}", {}))
                yield place

        hasher.turn = turn  # type: ignore[method-assign]


def _in_request() -> bool:
    """Whether right below a request that is still under way: neither the background nor a call within a call."""
    span = trace.get_current_span()
    return span.is_recording() and getattr(span, "kind", None) is SpanKind.SERVER


@lru_cache(512)
def _kind_and_table(sql: str) -> tuple[str, str]:
    kind, table = _KIND.match(sql), _TABLE.search(sql)
    return kind[1].upper() if kind else "SQL", table[1].lower() if table else ""


def _statement(sql: str, *_parameters: object) -> tuple[str, dict[str, str]]:
    kind, table = _kind_and_table(sql)
    told = {"db.operation.name": kind} | ({"db.collection.name": table} if table else {})
    return f"{kind} {table}".strip(), told


def _answered(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def _failed(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)
