"""What a worker and its credentials weigh: sizes, memory, and the time until the first answer."""

import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx2

from tests.house import PASSWORD
from tests.live import command, environment, free_port, serving
from tests.load.effort import Effort, say
from tests.load.figures import AtMost, Figure

_PATIENCE = 60.0  # seconds until the first answer
_CREDENTIALS = {"email": "ada@example.test", "password": PASSWORD}
MEGABYTE = 1_000_000


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """On the embedded database, with the settings everybody starts with."""
    say(f"starting {effort.slow_trials + 1} times")
    first = _start(folder / "data")
    again = [_start(folder / "data") for _ in range(effort.slow_trials)]
    # On fresh data: the runs above made a secret of their own.
    with serving(folder / "log", data_dir=folder, argon2_memory_kib=19_456, argon2_time=2) as live:
        [worker] = live.workers()
        fresh = worker.memory_info().rss / MEGABYTE
        async with httpx2.AsyncClient(base_url=live.url, trust_env=False, timeout=20) as http:
            sizes = await _sizes(http, live.origin)
            for _ in range(20):
                await http.post("/v1/native/login", json=_CREDENTIALS)
        used = worker.memory_info().rss / MEGABYTE
    return [
        *sizes,
        Figure(
            "coatcheck serve to first answer, embedded",
            statistics.median(again),
            "s",
            AtMost(1.5),
            f"median of {len(again)}",
        ),
        Figure("the same, the database made on the way", first, "s"),
        Figure("memory of a worker (RSS), embedded, at its first answer", fresh, "MB", AtMost(120)),
        Figure("the same after a registration and 20 logins", used, "MB", AtMost(120)),
    ]


async def _sizes(http: httpx2.AsyncClient, origin: str) -> list[Figure]:
    (await http.post("/v1/accounts", json=_CREDENTIALS)).raise_for_status()
    native = (await http.post("/v1/native/login", json=_CREDENTIALS)).raise_for_status().json()
    cookies = {}
    for door in ("spa", "web"):
        own_page = {"Origin": origin, "X-Coatcheck-Client": door}
        answer = (await http.post(f"/v1/{door}/login", json=_CREDENTIALS, headers=own_page)).raise_for_status()
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            cookies[name] = len(f"{name}={value}")
    longest = max(cookies, key=lambda name: cookies[name])
    return [
        Figure("access token", len(native["access_token"]), "bytes", AtMost(520)),
        Figure("the longest cookie, with its name", cookies[longest], "bytes", AtMost(200), longest),
        Figure("refresh token", len(native["refresh_token"]), "bytes"),
    ]


def _start(data: Path) -> float:
    """Seconds from the command to the first answer."""
    port = free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        command("serve", "--port", str(port)),
        env=environment(data_dir=data),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx2.Client(trust_env=False) as http:
            while time.monotonic() - began < _PATIENCE and process.poll() is None:
                with suppress(httpx2.TransportError):
                    http.get(f"http://127.0.0.1:{port}/v1/me")
                    return time.monotonic() - began
                time.sleep(0.005)  # nothing tells us when a port opens
        raise RuntimeError("no first answer")
    finally:
        process.terminate()
        process.wait(10)
