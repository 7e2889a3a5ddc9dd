"""Redis in its other shapes, for tests: a cluster, a master under sentinels, a Unix socket, TLS in front. Real ones."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import redis as redis_py
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests import servers
from tests.servers import MYSELF, Server, redis

AT_ONCE = ("--repl-diskless-sync-delay", "0")  # a master waits five seconds for more replicas, else
NODE_TIMEOUT = "500"  # milliseconds until the others take a silent one for dead
_PATIENCE = 30.0  # seconds for the servers to find each other
_SLOTS = 16_384


class Kind:
    """Several servers behind one REDIS_URL."""

    def __init__(self, url: str, nodes: list[Server]) -> None:
        self.url, self.nodes = url, nodes

    def holder(self, key: str) -> Server:
        """The master of this key."""
        for node in self.nodes:
            with contextlib.suppress(redis_py.RedisError), _client(node) as client:
                if client.info("replication")["role"] != "master":
                    continue
                with contextlib.suppress(redis_py.exceptions.ResponseError):  # MOVED: another one's
                    client.execute_command("EXISTS", key)
                    return node
        raise AssertionError(f"nobody holds {key}")


@contextlib.contextmanager
def cluster(replica_of: str) -> Iterator[Kind]:
    """Three masters, and a replica of the one that holds this key."""
    with contextlib.ExitStack() as stack:
        nodes, buses = [], []
        for _ in range(4):
            buses.append(servers.free_port())
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT]
            options += ["--cluster-port", str(buses[-1]), "--cluster-replica-validity-factor", "0"]
            nodes.append(stack.enter_context(redis(*options, *AT_ONCE)))
        masters, kind = nodes[:3], Kind(f"redis+cluster://{_hosts(nodes)}", nodes)
        for number, node in enumerate(nodes):
            with _client(node) as client:
                if number < 3:
                    first, last = _SLOTS * number // 3, _SLOTS * (number + 1) // 3 - 1
                    client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                host, port = _address(nodes[0])
                client.execute_command("CLUSTER MEET", host, port, buses[0])
        for node in nodes:
            _until_said(node, "CLUSTER INFO", "cluster_state:ok", "cluster_known_nodes:4")
        with _client(Kind("", masters).holder(replica_of)) as holder, _client(nodes[3]) as last_one:
            last_one.execute_command("CLUSTER REPLICATE", holder.execute_command("CLUSTER MYID"))
        _until_said(nodes[3], "INFO replication", "master_link_status:up")
        yield kind


@contextlib.contextmanager
def sentinel(name: str = "coats") -> Iterator[Kind]:
    """A master, a replica and three sentinels."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis(*AT_ONCE))
        host, port = _address(master)
        replica = stack.enter_context(redis("--replicaof", f"{host} {port}"))
        _until_said(replica, "INFO replication", "master_link_status:up")
        watchers = [stack.enter_context(_sentinel(name, port)) for _ in range(3)]
        for watcher in watchers:
            _until_said(watcher, "INFO sentinel", "slaves=1,sentinels=3")
        yield Kind(f"redis+sentinel://{_hosts(watchers)}/{name}", [master, replica])


@contextlib.contextmanager
def _sentinel(name: str, master_port: int) -> Iterator[Server]:
    port = servers.free_port()
    with servers._folder("coatcheck-sentinel-", MYSELF) as folder:
        config = folder / "sentinel.conf"  # a sentinel keeps what it knows in here
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {name} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {name} {NODE_TIMEOUT}\nsentinel failover-timeout {name} 3000\n"
        )
        command: servers.Command = [servers._choose(servers.redis_binaries(), None), config, "--sentinel"]
        url = f"redis://127.0.0.1:{port}"
        server = Server(command, url=url, folder=folder, ready=lambda _pid: servers.answers_ping(port))
        try:
            yield server
        finally:
            server.stop()


@contextlib.asynccontextmanager
async def tls_in_front(server: Server, folder: Path) -> AsyncIterator[str]:
    """A `rediss://` URL: what comes over TLS is passed on to the server."""
    host, port = _address(server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near, far = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, far), pump(near, writer))

    front = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    try:
        yield f"rediss://127.0.0.1:{front.sockets[0].getsockname()[1]}/0"
    finally:
        front.close()


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, in one file."""
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "redis.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def _address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def _hosts(nodes: list[Server]) -> str:
    return ",".join("{}:{}".format(*_address(node)) for node in nodes)


def _client(server: Server) -> "redis_py.Redis":
    return redis_py.Redis.from_url(server.url, decode_responses=True, socket_timeout=2)


def _said(server: Server, question: str, *words: str) -> bool:
    with _client(server) as client:
        client.response_callbacks.clear()
        answer = str(client.execute_command(*question.split()))
    return all(word in answer for word in words)


def _until_said(server: Server, question: str, *words: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _said(server, question, *words):
        assert time.monotonic() < deadline, "the servers did not find each other"
        time.sleep(0.05)
