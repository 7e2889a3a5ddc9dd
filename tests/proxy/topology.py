"""What compose.yaml runs, by processes: Caddy with deploy/Caddyfile, three servers, PostgreSQL and Redis.

The secrets come from deploy/secrets.sh, the servers' role from deploy/postgres-init.sh, its rights from `coatcheck
migrate --grant`. As between containers, the servers share a port and differ by address, here within 127.0.0.0/8, and
the proxy finds them by the name `api`. Two proxies stand side by side: Caddy as new as in compose.yaml, and Debian's.
"""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import httpx2
import psutil

from tests import servers
from tests.live import command, environment, free_port
from tests.proxy import names

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
PROXY = "127.0.0.1"  # where the servers see it come from
PUBLIC_URL = "https://localhost"
CADDIES = {"caddy": Path(sys.executable).with_name("caddy"), "debian": Path("/usr/bin/caddy")}
_PATIENCE = 60.0  # seconds for a process to answer: on a busy machine a start has taken eleven


@dataclass
class Deployed:
    """The whole of it, seen through one of its proxies. The servers are at `address:port`."""

    folder: Path
    port: int
    settings: dict[str, object]
    running: "dict[str, subprocess.Popen[bytes]]"
    proxy: str = "caddy"
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """What the proxy listens to; PUBLIC_URL is what people see of it."""
        return f"https://localhost:{self.ports[self.proxy]}"

    def behind(self, proxy: str) -> "Deployed":
        return replace(self, proxy=proxy)

    @property
    def trust(self) -> ssl.SSLContext:
        """A client that knows the certificate authority of this proxy, and no other."""
        return ssl.create_default_context(cafile=self.folder / self.proxy / "caddy/pki/authorities/local/root.crt")

    def http(self, ip: str = "127.9.8.7", http2: bool = True) -> httpx2.AsyncClient:
        """A client behind the proxy's TLS, at an address of its own."""
        transport = httpx2.AsyncHTTPTransport(verify=self.trust, http2=http2, local_address=ip)
        return httpx2.AsyncClient(transport=transport, base_url=self.url, timeout=30)

    def directly(self, address: str = ADDRESSES[0], ip: str = "127.9.8.7") -> httpx2.AsyncClient:
        """A client that reaches past the proxy."""
        transport = httpx2.AsyncHTTPTransport(local_address=ip)
        return httpx2.AsyncClient(transport=transport, base_url=f"http://{address}:{self.port}", timeout=30)

    def servers(self) -> dict[str, set[str]]:
        """Which addresses each process is connected to, itself or from outside."""
        found = {}
        for name, process in self.running.items():
            there = psutil.Process(process.pid).net_connections("tcp")
            found[name] = {connection.raddr.ip for connection in there if connection.status == psutil.CONN_ESTABLISHED}
        return found

    async def mail_to(self, email: str) -> str:
        """The last mail to this person, as it lies in the outbox."""
        outbox = self.folder / "secrets" / "outbox" / "outbox"
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for file in sorted(outbox.glob("*.eml"), reverse=True):
                mail = message_from_bytes(file.read_bytes(), policy=default)
                body = mail.get_body(("plain",))
                if mail["To"] == email and body:
                    return str(body.get_content())
            await asyncio.sleep(0.05)  # nothing tells us when a file appears
        raise AssertionError(f"no mail to {email}")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(self, address: str) -> None:
        """`coatcheck serve`, as the container runs it."""
        serve = command("serve", "--host", address, "--port", str(self.port))
        with (self.folder / f"{address}.log").open("ab") as log:
            env = environment(**self.settings)
            self.running[address] = subprocess.Popen(serve, env=env, stdout=log, stderr=log, start_new_session=True)

    def await_ready(self, address: str) -> None:
        """As the container's health check does."""
        self._until(address, f"http://{address}:{self.port}/readyz")

    def stop(self, name: str) -> int:
        """Ask it to stop, as Docker does, and tell how it ended."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def start_proxy(self, lookup: str) -> None:
        """Caddy, with the settings that a machine needs where others listen too."""
        kept = str(self.folder / self.proxy)
        self.ports |= {self.proxy: free_port(), f"{self.proxy}, plain": free_port()}
        admin = f"127.0.0.1:{free_port()}"
        given = {"DOMAIN": "localhost", "API_PORT": str(self.port), "API_LOOKUP": lookup, "LISTEN_ADMIN": admin}
        given |= {"LISTEN_HTTPS": str(self.ports[self.proxy]), "LISTEN_HTTP": str(self.ports[f"{self.proxy}, plain"])}
        given |= {"HOME": kept, "XDG_DATA_HOME": kept, "XDG_CONFIG_HOME": kept}
        run: servers.Command = [CADDIES[self.proxy], "run", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
        with (self.folder / f"{self.proxy}.log").open("wb") as log:
            caddy = subprocess.Popen(run, env=given, stdout=log, stderr=log, start_new_session=True)
        self.running[self.proxy] = caddy
        self._until(self.proxy, f"http://{admin}/config/")
        self._until(self.proxy, f"{self.url}/readyz")

    def _until(self, name: str, url: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self.running[name].poll() is None, self.log(name)
            try:
                verify = self.trust if url.startswith("https:") else False
                if httpx2.get(url, verify=verify).status_code == 200:
                    return
            except (httpx2.TransportError, FileNotFoundError):
                pass
            time.sleep(0.05)  # nothing tells us when a port opens
        raise AssertionError(f"{name}: not ready within {_PATIENCE} s\n{self.log(name)}")


def secrets(folder: Path) -> Path:
    """What deploy/secrets.sh makes; a test need not be root, so that all of it is ours."""
    for part in ("api", "owner", "postgres", "redis", "proxy", "outbox"):
        (folder / part).mkdir(parents=True)
    script = (DEPLOY / "secrets.sh").read_text().replace("chown ", ": chown ")
    subprocess.run(["sh", "-c", script, "secrets.sh", str(folder)], check=True, capture_output=True)
    return folder


def _give(folder: Path, name: str, database: servers.Server, cache: servers.Server) -> str:
    """A secret as the container reads it, with the names of the container network put into 127.0.0.1's ports."""
    text = (folder / name).read_text()
    for host, server in (("postgres", database), ("redis", cache)):
        text = text.replace(f"@{host}/", f"@127.0.0.1:{server.url.rsplit(':', 1)[1].split('/')[0]}/")
    return text


@contextmanager
def _redis(kept: Path) -> Iterator[servers.Server]:
    """With the very redis.conf that was made; the folder is another."""
    (kept / "data").mkdir()
    conf = kept / "redis" / "redis.conf"
    here = conf.with_name("here.conf")
    here.write_text(conf.read_text().replace("dir /data", f"dir {kept / 'data'}").replace("bind *", "bind 127.0.0.1"))
    with servers.redis("--include", str(here)) as server:
        yield server


def _make_roles(database: servers.Server, kept: Path) -> None:
    """What the postgres image does at the first start, then deploy/postgres-init.sh; passwords count from then on."""
    psql = servers.postgres_program("psql")
    port = database.url.rsplit(":", 1)[1].split("/")[0]
    env = {"PATH": f"{psql.parent}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": port}
    owner = (kept / "postgres" / "owner_password").read_text()
    for statement in (
        f"CREATE ROLE coatcheck SUPERUSER LOGIN PASSWORD '{owner}'",
        "CREATE DATABASE coatcheck OWNER coatcheck",
    ):
        ask: servers.Command = [psql, "-U", "postgres", "-d", "postgres", "-qc", statement]
        subprocess.run(ask, env=env, check=True, capture_output=True)
    script = (DEPLOY / "postgres-init.sh").read_text().replace("/run/coatcheck", str(kept / "postgres"))
    made = env | {"POSTGRES_USER": "coatcheck", "POSTGRES_DB": "coatcheck"}
    subprocess.run(["sh", "-c", script], env=made, check=True, capture_output=True)
    (database.folder / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    os.kill(database.pid, signal.SIGHUP)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployed]:
    """All of it, from nothing, until the block ends."""
    with ExitStack() as stack:
        kept = secrets(folder / "secrets")
        database = stack.enter_context(servers.postgres())
        cache = stack.enter_context(_redis(kept))
        _make_roles(database, kept)
        lookup = stack.enter_context(names.answering(ADDRESSES))
        it = Deployed(folder, servers.free_port(), {}, {})
        common: dict[str, object] = {
            "secret_key_file": kept / "api" / "secret_key",
            "redis_url": _give(kept, "api/redis_url", database, cache),
            "public_url": PUBLIC_URL,
            "trusted_proxies": f"{PROXY}/32",
        }
        owner = common | {"database_url": _give(kept, "owner/database_url", database, cache)}
        migrate = command("migrate", "--grant", "coatcheck_server")
        subprocess.run(migrate, env=environment(**owner), check=True, capture_output=True)
        it.settings = common | {
            "database_url": _give(kept, "api/database_url", database, cache),
            "data_dir": kept / "outbox",
            "argon2_memory_kib": 64,
            "argon2_time": 1,
        }
        stack.callback(lambda: [it.stop(name) for name in list(it.running)])
        for address in ADDRESSES:
            it.start(address)
        for address in ADDRESSES:
            it.await_ready(address)
        for proxy in CADDIES:
            it.behind(proxy).start_proxy(f"resolvers udp/127.0.0.1:{lookup.port}")
        yield it
