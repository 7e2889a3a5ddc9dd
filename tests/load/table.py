"""What the bench prints: the conditions, and the table."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.load.compare import Row
from tests.load.ratios import Comparison, Spread, busy, cpu_each, rate

_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "asyncpg", "PyJWT", "cryptography")
_LINE = "{:<52} {:>5}  {:<10}  {:<16}  {:<13}  {:<11}  {:>9}  {:<9}"
_HEADINGS = ("ratio", "quartiles", "goal", "requests/s", "CPU µs each", "CPU ratio", "busy %")
_BUSY = 0.8
_IDLE = (
    "Where a server was less than 80 % busy it had to wait, for other programs or the database: trust the CPU ratio."
)


def conditions() -> str:
    """What a reader must know to judge the figures."""
    cores, load = os.cpu_count(), " ".join(f"{one:.2f}" for one in os.getloadavg())
    return "\n".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {cores} cores · load average {load}",
            f"Python {platform.python_version()} · {platform.system()} {platform.release()} · {_processor()}",
            " · ".join(f"{name} {version(name)}" for name in _PACKAGES),
            "PostgreSQL without fsync, all on 127.0.0.1; uvloop and httptools",
        )
    )


def table(results: Sequence[tuple[Row, Comparison]], heading: str = "ours / floor") -> str:
    """One line a row; ours / the other one in every column."""
    idle = any(min(busy(found.ours), busy(found.floor)) < _BUSY for _, found in results)
    return "\n".join([_LINE.format(heading, *_HEADINGS).rstrip(), *_lines(results), *([_IDLE] if idle else [])])


def _lines(results: Sequence[tuple[Row, Comparison]]) -> Iterator[str]:
    for row, found in results:
        ratio = found.rate_ratio
        yield _LINE.format(
            row.name,
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f}-{ratio.high:.2f}",
            verdict(row.goal, ratio),
            f"{rate(found.ours):.0f} / {rate(found.floor):.0f}",
            f"{cpu_each(found.ours):.0f} / {cpu_each(found.floor):.0f}",
            f"{found.cpu_ratio.median:.2f}",
            f"{busy(found.ours) * 100:.0f} / {busy(found.floor) * 100:.0f}",
        ).rstrip()


def verdict(goal: float | None, ratio: Spread) -> str:
    """Whether the goal is reached."""
    if goal is None:
        return "for information"
    return f"{goal:.2f} {'reached' if ratio.median >= goal else 'not reached'}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
