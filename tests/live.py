"""The real thing in processes of its own: `coatcheck serve`, with as many workers as a test wants."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from tests.house import SECRET

_PATIENCE = 60.0  # seconds for all workers to answer: on a busy machine a start has taken eleven


@dataclass
class Live:
    """A server that listens on 127.0.0.1. `origin` is what its own pages send as Origin."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """Its worker processes; the process itself when there is only one."""
        children = [
            child for child in psutil.Process(self.process.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        return children or [psutil.Process(self.process.pid)]


def command(*args: str, module: str = "coatcheck") -> list[str]:
    """`coatcheck …`, with this Python."""
    return [sys.executable, "-m", module, *args]


def environment(**settings: object) -> dict[str, str]:
    """The environment for one: ours without any COATCHECK_ variable, and those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
    return clean | {f"COATCHECK_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def serving(
    log: Path,
    workers: int = 1,
    port: int | None = None,
    module: str = "coatcheck",
    told: dict[str, str] | None = None,
    **settings: object,
) -> Iterator[Live]:
    """`coatcheck serve` until the block ends; every worker answers before it begins. `told`: more environment."""
    port = port or free_port()
    given = {"secret_key": SECRET, "argon2_memory_kib": 64, "argon2_time": 1} | settings
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("serve", "--port", str(port), "--workers", str(workers), module=module),
            env=environment(**given) | (told or {}),
            stderr=output,
            stdout=output,
            start_new_session=True,
        )
    live = Live(process, port, log)
    try:
        _wait(live, workers)
        yield live
    finally:
        _end(process)


@contextmanager
def second_service(live: Live, log: Path, **chosen: str) -> Iterator[str]:
    """Address of the other service beside it (second_service.py), which has heard from Coatcheck."""
    port = free_port()
    given = {"ISSUER": live.origin, "AUDIENCE": live.origin} | chosen
    command = [sys.executable, "-m", "uvicorn", "tests.second_service:app", "--port", str(port), "--no-access-log"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment() | given, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if httpx2.get(f"{url}/readyz").json()["knows_endings"]:
                    break
            except httpx2.TransportError:
                pass
            time.sleep(0.05)  # nothing tells us when a port opens
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(family, 5)[1]:
        child.kill()


def _wait(live: Live, workers: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        assert live.process.poll() is None, live.log.read_text()
        try:
            if httpx2.get(f"{live.url}/readyz").json()["status"] == "ok" and len(live.workers()) >= workers:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)  # nothing tells us when a port opens
    raise AssertionError(f"not ready within {_PATIENCE} s\n{live.log.read_text()}")


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
