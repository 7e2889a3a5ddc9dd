"""What the control groups of this process (often a container's) let it use: cgroup v2, else v1, else the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")  # tests put their own files here


def hash_workers(argon2_memory_kib: int, workers: int = 1) -> int:
    """Threads each of so many workers may hash with: its share of the CPUs, and of half the memory."""
    most = cpus() // workers
    limit = memory()
    if limit is not None:
        most = min(most, limit // 2 // (argon2_memory_kib * 1024) // workers)
    return max(1, most)


def cpus() -> int:
    """CPUs that may be used, by affinity and by quota, rounded up; one at least."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _folders(""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        available = min(available, _shares(quota, period) or available)
    for folder in _folders("cpu"):
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        available = min(available, _shares(quota, period) or available)
    return available


def memory() -> int | None:
    """Bytes of memory that may be used, the least of all groups above; None: no limit."""
    found = [_text(folder / "memory.max") for folder in _folders("")]
    found += [_text(folder / "memory.limit_in_bytes") for folder in _folders("memory")]
    limits = [int(text) for text in found if text.isdecimal()]
    least = min(limits, default=None)
    return least if least is not None and least < 1 << 60 else None  # v1 writes nearly 2 ** 63 for no limit


def _shares(quota: str, period: str) -> int | None:
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return max(1, -(-int(quota) // int(period)))


def _folders(controller: str) -> Iterator[Path]:
    """Folders of this process's group and of all above it; "" is v2. A container may see its own group as the root."""
    top = ROOT / "sys/fs/cgroup" / controller
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            inner = top / path.lstrip("/")
            yield from (inner, *(one for one in inner.parents if one.is_relative_to(top)))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
