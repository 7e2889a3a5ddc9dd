"""compose.yaml brought up for real from this checkout, and looked at: `make containers`.

No part of `make test`: it wants `docker compose`, a Linux engine behind it, and to be root (it kills a process). Where
no image can be had: `tests/proxy/standins/with make containers`. Name, ports and volumes are its own and go at the end.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from tests.house import NativeClient
from tests.proxy import people
from tests.proxy.test_rolling import Load
from tests.proxy.topology import ROOT, Deployed

PORT = 8443
CHOSEN = {"HTTPS_PORT": str(PORT), "HTTP_PORT": "8081", "PUBLIC_URL": f"https://localhost:{PORT}"}
USERS_AND_MIB = {"api": (10001, 512), "proxy": (10002, 256), "postgres": (999, 1024), "redis": (999, 256)}
REFUSED = ["CREATE TABLE x (i int)", "DROP TABLE session", "DELETE FROM audit_event", "UPDATE audit_event SET at = at"]
_PSQL = 'PGPASSWORD="$(cat /run/coatcheck/server_password)" psql -h 127.0.0.1 -U coatcheck_server -d coatcheck -c "{}"'
_REDIS = 'REDISCLI_AUTH="$(cat /run/coatcheck/password)" redis-cli {}'
_MEMORY = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
_AUTHORITY = "caddy/pki/authorities/local/root.crt"


class Containers(Deployed):
    def http(self, ip: str = "127.0.0.1", http2: bool = True) -> httpx2.AsyncClient:
        return super().http(ip, http2)


def docker(*arguments: str, refused: bool = False) -> str:
    """What it says; unless it may be refused, that is the end."""
    env = os.environ | CHOSEN | {"COMPOSE_PROJECT_NAME": "coatcheck-seen"}
    done = subprocess.run(["docker", *arguments], cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    if done.returncode and not refused:
        sys.exit(f"docker {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr if refused else done.stdout


def inside(service: str, script: str) -> str:
    return docker("compose", "exec", "-T", service, "sh", "-c", script, refused=True)


def containers(service: str) -> list[str]:
    return docker("compose", "ps", "-q", service).split()


def seen(what: str, holds: object, told: object = "") -> None:
    """A line a fact; the first that does not hold is the end."""
    print("seen " if holds else "WRONG", what, "" if holds else told, flush=True)
    if not holds:
        sys.exit(1)


def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.2)
    seen(what, held)


def confinement() -> None:
    """As the kernel has it, not as the file says it."""
    for service, (user, memory) in USERS_AND_MIB.items():
        said = inside(service, "cat /proc/1/status").splitlines()
        status = dict(line.split(":\t", 1) for line in said if ":\t" in line)
        may = 1 << 10 if service == "proxy" else 0  # CAP_NET_BIND_SERVICE
        seen(f"{service}: user {user}", status["Uid"].split() == [str(user)] * 4, status["Uid"])
        confined = int(status["CapBnd"], 16) == may and status["NoNewPrivs"] == "1"
        seen(f"{service}: capabilities {may:#x}, never more", confined, status)
        seen(f"{service}: read-only root", "Read-only" in inside(service, "touch /etc/x"))
        seen(f"{service}: {memory} MiB at most", str(memory << 20) in inside(service, _MEMORY).split())


def stores() -> None:
    for statement in REFUSED:
        told = inside("postgres", _PSQL.format(statement))
        seen(f"the servers' role: no {statement}", "permission denied" in told or "must be owner" in told, told)
    seen("Redis asks for a password", "NOAUTH" in inside("redis", "redis-cli ping"))
    seen("Redis keeps an append-only file", "yes" in inside("redis", _REDIS.format("config get appendonly")))


def gateway() -> str:
    """Where a caller on this machine comes from, as the proxy sees it."""
    routes = [line.split() for line in inside("proxy", "cat /proc/net/route").splitlines()]
    (way,) = [route[2] for route in routes if route[1] == "00000000"]
    return str(IPv4Address(bytes.fromhex(way)[::-1]))


async def use(house: Containers) -> None:
    """Sign up, look, sign a phone out from a laptop; then what can go."""
    async with house.http() as one, house.http() as other:
        page = await one.get("/")
        seen("the app, over HTTP/2", page.http_version == "HTTP/2" and "<title>" in page.text)
        seen("HSTS", page.headers["Strict-Transport-Security"].startswith("max-age=63072000"))
        phone = await people.phone(one, "ada@example.test")
        laptop = await NativeClient(other).login("ada@example.test")
        addresses = await people.addresses(laptop)
        seen("devices have this machine's address, not the proxy's", addresses == {gateway()}, addresses)
        device = (await laptop.get("/v1/devices")).json()["devices"][1]["id"]
        seen("remote logout", (await laptop.call("DELETE", f"/v1/devices/{device}")).status_code == 204)
        codes = {(await phone.get("/v1/me")).json().get("code") for _ in range(6)}
        seen("refused at its next request, by every server", codes == {"session_revoked"}, codes)
        load = Load(house)
        work = [asyncio.create_task(load.person(laptop)), asyncio.create_task(load.passer_by())]
        await asyncio.to_thread(faults)
        load.over.set()
        await asyncio.gather(*work)
        seen(f"{load.answered} requests meanwhile, none failed", not load.failed, load.failed[:5])
        await asyncio.to_thread(docker, "compose", "down")
        await asyncio.to_thread(docker, "compose", "up", "--wait")
        answers = [(await laptop.get("/v1/me")).status_code, (await laptop.refresh()).status_code]
        seen("down and up: still signed in", answers == [200, 200], answers)


def healthy(container: str) -> bool:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container).strip() == "healthy"


def faults() -> None:
    """Each server restarted, then Redis killed."""
    for server in containers("api"):
        docker("restart", server)
        until("a server, restarted, is healthy", partial(healthy, server))
    (redis,) = containers("redis")
    os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", redis)), signal.SIGKILL)
    until("Redis, killed, is back", lambda: "PONG" in inside("redis", _REDIS.format("ping")))


def main() -> None:
    if not shutil.which("docker") or "v2" not in docker("compose", "version", refused=True):
        sys.exit("No `docker compose`: install Docker Engine with it, or see tests/proxy/standins/with.")
    with TemporaryDirectory() as kept:
        house = Containers(Path(kept), 0, {}, {}, ports={"caddy": PORT})
        authority = house.folder / house.proxy / _AUTHORITY
        authority.parent.mkdir(parents=True)
        docker("compose", "down", "-v")
        try:
            docker("compose", "up", "--build", "--wait")
            docker("compose", "cp", f"proxy:/data/{_AUTHORITY}", str(authority))
            confinement()
            stores()
            asyncio.run(use(house))
        finally:
            docker("compose", "down", "-v")


if __name__ == "__main__":
    main()
