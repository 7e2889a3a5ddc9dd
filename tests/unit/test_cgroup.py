"""Control groups: how many threads may hash in a container."""

from pathlib import Path

import pytest

from coatcheck import cgroup, settings
from coatcheck.settings import Settings

UNLIMITED_V1 = "9223372036854771712"
MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight CPUs without any file."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


V2 = {"proc/self/cgroup": "0::/"}
CPU = "sys/fs/cgroup/cpu/cpu"
V1 = {"proc/self/cgroup": "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x"}
NESTED = {"proc/self/cgroup": "0::/a/b"}


@pytest.mark.parametrize(
    "files, cpus, memory",
    [
        ({}, 8, None),
        (V2, 8, None),
        (V2 | {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"}, 8, None),
        (V2 | {"sys/fs/cgroup/cpu.max": "200000 100000", "sys/fs/cgroup/memory.max": "536870912"}, 2, 512 * MIB),
        (V2 | {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1, None),
        (NESTED | {"sys/fs/cgroup/a/memory.max": "1048576", "sys/fs/cgroup/a/b/memory.max": "max"}, 8, MIB),
        (NESTED | {"sys/fs/cgroup/a/cpu.max": "300000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 3, None),
        (V1 | {f"{CPU}.cfs_quota_us": "-1", f"{CPU}.cfs_period_us": "100000"}, 8, None),
        (
            V1 | {f"{CPU}.cfs_quota_us": "150000", f"{CPU}.cfs_period_us": "100000"},
            2,
            None,
        ),
        (V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED_V1}, 8, None),
        (V1 | {"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "1048576"}, 8, MIB),
    ],
)
def test_cgroup_limits_are_read(machine: Path, files: dict[str, str], cpus: int, memory: int | None) -> None:
    """Version 2 and 1, nested, unlimited or absent: the tightest group counts."""
    write(machine, files)
    assert (cgroup.cpus(), cgroup.memory()) == (cpus, memory)


def test_hash_workers_fit_the_container(machine: Path) -> None:
    """CPUs and half the memory are shared by all workers; one thread at least; an explicit value wins."""
    write(machine, V2 | {"sys/fs/cgroup/memory.max": str(128 * MIB)})
    assert [cgroup.hash_workers(19_456, workers) for workers in (1, 2, 16)] == [3, 1, 1]
    write(machine, {"sys/fs/cgroup/memory.max": "max"})
    assert [cgroup.hash_workers(19_456, workers) for workers in (1, 2, 16)] == [8, 4, 1]
    write(machine, {"sys/fs/cgroup/cpu.max": "200000 100000"})
    assert Settings().hash_workers == 2
    assert Settings(hash_workers=7).hash_workers == 7


def test_hash_workers_above_the_memory_are_warned_of(machine: Path) -> None:
    """More hashes at once than the container's memory holds is a warning, at start and in `doctor`."""
    write(machine, V2 | {"sys/fs/cgroup/memory.max": str(512 * MIB)})
    assert not [one for one in settings.check(Settings(hash_workers=26)) if "HASH_WORKERS" in one]
    assert [one for one in settings.check(Settings(hash_workers=27)) if "HASH_WORKERS" in one]
