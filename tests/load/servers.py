"""The servers that are compared, each in a process of its own on a core that the client leaves alone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.live import free_port, serving

ROOT = Path(__file__).parents[2]
_PATIENCE = 20.0  # seconds until a server answers
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
_SPLIT = len(_CORES) > 1


@dataclass(frozen=True, slots=True)
class Running:
    """A server under load."""

    port: int
    workers: list[psutil.Process]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        times = [worker.cpu_times() for worker in self.workers]
        return sum(one.user + one.system for one in times)


@contextmanager
def apart() -> Iterator[str]:
    """In this block servers under load stay on the first core, and this process, PostgreSQL and Redis use the others,
    where the system allows it. Says what came of it."""
    if not _SPLIT:
        yield "server, client and database share the cores"
        return
    os.sched_setaffinity(0, _CORES[1:])
    try:
        yield f"server on core {_CORES[0]}, client and database on the others"
    finally:
        os.sched_setaffinity(0, _CORES)


@contextmanager
def _on_the_servers_core() -> Iterator[None]:
    """What is started in this block stays on the first core."""
    if _SPLIT:
        os.sched_setaffinity(0, _CORES[:1])
    yield
    if _SPLIT:
        os.sched_setaffinity(0, _CORES[1:])


@contextmanager
def coatcheck(log: Path, **settings: Any) -> Iterator[Running]:
    """`coatcheck serve`, one worker."""
    with ExitStack() as stack:
        with _on_the_servers_core():
            live = stack.enter_context(serving(log, limit_refresh="off", **settings))
        yield Running(live.port, live.workers())


@contextmanager
def floor(log: Path, database: str) -> Iterator[Running]:
    """The bare applications of floors.py, one worker."""
    port = free_port()
    with started([sys.executable, "-m", "tests.load.floors", str(port), database], port, log, ROOT) as running:
        yield running


@contextmanager
def started(command: Sequence[str | Path], port: int, log: Path, folder: Path, **environment: str) -> Iterator[Running]:
    """Any server that will listen on this port; its child processes are its workers, if it has some."""
    with _on_the_servers_core(), log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(os.environ) | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = psutil.Process(process.pid)
    try:
        _wait(process, port, log)
        yield Running(port, server.children(recursive=True) or [server])
    finally:
        family = server.children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in psutil.wait_procs(family, 5)[1]:
            child.kill()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/v1/me")
            return
        except httpx2.TransportError:
            time.sleep(0.05)  # nothing tells us when a port opens
    raise RuntimeError(f"a server did not start\n{log.read_text()}")
