"""Numbers for Prometheus (docs/metrics.md), on a listener of their own: METRICS_PORT. Imports prometheus_client, alone.

Each worker writes its numbers into files of a common folder, and the process that started the workers adds them up when
it is asked: one address whatever the number of workers, and what a dead worker had counted stays counted. Nothing here
can be reached from the public port. Off, which is the default, no request does anything for it.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from . import background
from .errors import Unavailable
from .settings import PREFIX, Settings, SettingsError

if TYPE_CHECKING:
    from .desk import Desk

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name; has to be set before it is first imported
_WRITE_EVERY = 1.0  # seconds
_COUNT_MAILS_EVERY = 15.0  # seconds
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
_STREAMS = frozenset({"/v1/events", "/v1/revocations/stream"})  # they last for minutes by nature
_COUNTED = {
    "refresh": ("verdict", "Refresh tokens presented, by what they were found to be."),
    "credential": ("how", "Credentials checked: remembered by the worker, or looked into."),
    "breached": ("answer", "New passwords looked up in the range service, by what came of it."),
    "ended": ("reason", "Sessions ended, by reason."),
}

log = structlog.get_logger()


@contextmanager
def listening(settings: Settings) -> Iterator[None]:
    """Around the server and its workers: the listener, if there is to be one. Raises SettingsError."""
    if settings.metrics_port is None:
        yield
        return
    folder = tempfile.mkdtemp(prefix="coatcheck-metrics-")
    os.environ[_FOLDER] = folder
    # When it is done, uvicorn raises the signal again that stopped it: the folder has to go before we do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        server = _listener(settings, folder)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
    finally:
        del os.environ[_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def _listener(settings: Settings, folder: str) -> Any:
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415  # off: never loaded
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: PLC0415

    class Collector(MultiProcessCollector):
        def collect(self) -> Iterable[Any]:
            for file in Path(folder).glob("gauge_live*.db"):  # what a dead worker holds, nobody holds
                pid = int(file.stem.rpartition("_")[2])
                if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
                    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
            return super().collect()  # type: ignore[no-any-return, no-untyped-call]

    registry = CollectorRegistry()
    Collector(registry, folder)  # type: ignore[no-untyped-call]
    try:
        return start_http_server(settings.metrics_port or 0, settings.metrics_host, registry)[0]
    except OSError:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        raise SettingsError(f"{PREFIX}METRICS_PORT: {where} is in use or can't be listened on.") from None


def meter(settings: Settings) -> "Meter | None":
    """This worker's, if somebody listens."""
    return Meter() if settings.metrics_port is not None and _FOLDER in os.environ else None


class Meter:
    """One worker's numbers. Requests are written as they end, everything else once a second."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415  # as above

        own = CollectorRegistry()  # two applications in one process share nothing

        def gauge(name: str, told: str, mode: Any = "livesum") -> Gauge:
            return Gauge(f"coatcheck_{name}", told, multiprocess_mode=mode, registry=own)

        labels = ("method", "route", "status")
        self._requests = Counter("coatcheck_requests", "Requests answered.", labels, registry=own)
        told = "Seconds from request to the answer's end; streams left out."
        self._seconds = Histogram("coatcheck_request_seconds", told, labels[:2], buckets=_BUCKETS, registry=own)
        self._counters = {
            kind: Counter(f"coatcheck_{kind}", told, (label,), registry=own) for kind, (label, told) in _COUNTED.items()
        }
        self._hashing = Counter("coatcheck_hashing_seconds", "Seconds that threads spent hashing.", registry=own)
        self._hashed = Counter("coatcheck_hashed", "Passwords hashed.", registry=own)
        self._gauges = {
            "feed_fresh": gauge("feed_fresh", "1 while every worker believes its feed.", "livemin"),
            "feed_silence_seconds": gauge("feed_silence_seconds", "Since a worker heard from Redis.", "livemax"),
            "feed_lag_seconds": gauge("feed_lag_seconds", "From an event to its being heard, lately.", "livemax"),
            "event_streams": gauge("event_streams", "Event streams open."),
            "credentials_remembered": gauge("credentials_remembered", "Checked credentials in memory."),
            "hashing_waiting": gauge("hashing_waiting", "Passwords being hashed or waiting for it."),
            "database_connections": gauge("database_connections", "Connections of the ORM's pool in use."),
            "mails_waiting": gauge("mails_waiting", "Mails not yet delivered.", "livemostrecent"),
        }
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._written: dict[Any, float] = {}
        self._mails_counted = float("-inf")  # monotonic seconds
        self._task: asyncio.Task[None] | None = None

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One that has been answered. `route` is a template, never a path that somebody typed."""
        key = (method if method in _METHODS else "other", route, status)
        if key not in self._children:
            self._children[key] = self._requests.labels(*key), self._seconds.labels(*key[:2])
        counter, histogram = self._children[key]
        counter.inc()
        if route not in _STREAMS:
            histogram.observe(seconds)

    def start(self, desk: "Desk") -> None:
        """Write once a second from now on."""
        self._task = asyncio.create_task(self._write_forever(desk))

    async def stop(self) -> None:
        """Stop writing."""
        if self._task:
            await background.stop(self._task)

    async def _write_forever(self, desk: "Desk") -> None:
        while True:
            try:
                await self._write(desk)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next writing must come
                log.warning("metrics.write_failed", error=background.reason(error))
            await asyncio.sleep(_WRITE_EVERY)

    async def _write(self, desk: "Desk") -> None:
        for (kind, value), number in desk.counts.items():
            self._rise(self._counters[kind].labels(value), (kind, value), number)
        for reason, number in desk.feed.endings.items():
            self._rise(self._counters["ended"].labels(reason), ("ended", reason), number)
        self._rise(self._hashing, "hashing", desk.hasher.seconds)
        self._rise(self._hashed, "hashed", desk.hasher.hashed)
        for name, now in _observed(desk).items():
            self._gauges[name].set(now)
        if time.monotonic() - self._mails_counted > _COUNT_MAILS_EVERY:
            self._mails_counted = time.monotonic()
            with suppress(Unavailable):
                row = await desk.db.hot.fetch_one("SELECT count(*) AS number FROM outgoing_mail")
                self._gauges["mails_waiting"].set(row["number"] if row else 0)

    def _rise(self, counter: Any, key: Any, number: float) -> None:
        counter.inc(number - self._written.get(key, 0))
        self._written[key] = number


def _observed(desk: "Desk") -> dict[str, float]:
    return {
        "feed_fresh": float(desk.feed.is_fresh()),
        "feed_silence_seconds": desk.feed.silence(),
        "feed_lag_seconds": desk.feed.lag,
        "event_streams": desk.feed.events.open,
        "credentials_remembered": len(desk.verified_tokens) + len(desk.verified_cookies),
        "hashing_waiting": desk.hasher.waiting,
        "database_connections": desk.db.engine.pool.checkedout(),  # type: ignore[attr-defined]
    }
