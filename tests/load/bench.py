"""`make bench`: how fast the hot paths are, as ratios to what the same answers cost in bare FastAPI.

    python -m tests.load.bench [--quick] [--only refresh]

The figures are goals, not tests: whatever they are, the bench ends well. docs/performance.md says how to read them.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.load import rows, servers
from tests.load.compare import Row, compare
from tests.load.ratios import Comparison
from tests.load.table import conditions, table

_TOLD_EVERY = 7  # pairs


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look."""

    pairs: int
    seconds: float  # a slice


FULL, QUICK = Effort(14, 0.8), Effort(3, 0.3)


async def run(effort: Effort, only: str) -> None:
    """All rows whose name holds `only`."""
    pinning = servers.keep_off_the_servers_core()
    print(conditions(pinning), flush=True)
    print(f"slices of {effort.seconds} s, {effort.pairs} pairs, {rows.CONNECTIONS} connections\n", flush=True)
    results = []
    for stage in (rows.on_postgres, rows.on_sqlite):
        with tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
            async with stage(Path(folder)) as found:
                results += [(row, await _measure(row, effort)) for row in found if only in row.name]
    print(f"\n{table(results)}")


async def _measure(row: Row, effort: Effort) -> Comparison:
    found = Comparison()
    async for found in compare(row, effort.pairs, effort.seconds):
        done = len(found.ours)
        if done % _TOLD_EVERY == 0 or done == effort.pairs:
            print(f"{row.name}: {done} of {effort.pairs} pairs, {found.rate_ratio.median:.2f} so far", flush=True)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="Ratios of the hot paths to bare FastAPI.")
    parser.add_argument("--quick", action="store_true", help="a first impression, in less than 40 seconds")
    parser.add_argument("--only", default="", metavar="TEXT", help="just the rows with this in their name")
    options = parser.parse_args()
    uvloop.run(run(QUICK if options.quick else FULL, options.only))


if __name__ == "__main__":
    main()
