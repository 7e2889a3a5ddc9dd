"""`make bench`: the goals of the design, measured; each figure beside its goal.

    python -m tests.load.bench [--quick] [--million] [--only STAGE ...] [--rows refresh]

The figures are goals, not tests: whatever they are, the bench ends well. docs/performance.md says how to read them.
"""

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvloop

from tests.load import beside, growth, logout, other_service, ratio_rows, storm, weights
from tests.load.effort import FULL, MILLION, QUICK, Effort, say
from tests.load.figures import Figure, listed
from tests.load.table import conditions


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the bench that can be run alone, in a folder of its own."""

    name: str
    about: str
    run: Callable[[Effort, Path], Awaitable[list[Figure]]]


STAGES = (
    Stage("ratios", "authenticated GET and refresh beside bare FastAPI", ratio_rows.stage),
    Stage("logout", "remote logout on four workers, Redis and publisher dying", logout.stage),
    Stage("service", "another service with coatcheck.verifier, Coatcheck dying", other_service.stage),
    Stage("storm", "200 people sign in at once, while others just work", storm.stage),
    Stage("growth", "a thousand sessions and very many, side by side", growth.stage),
    Stage("peers", "beside fastapi-users, simplejwt and allauth headless", beside.stage),
    Stage("weights", "sizes of credentials, time to the first answer, memory", weights.stage),
)


async def run(stages: Sequence[Stage], effort: Effort) -> int:
    """These stages one after the other, then all their figures; how many broke off."""
    say(f"{conditions()}\n")
    found: list[Figure] = []
    broken = 0
    for number, stage in enumerate(stages, 1):
        say(f"-- {number} of {len(stages)}: {stage.name}: {stage.about}")
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
                told = await stage.run(effort, Path(folder))
            say(listed(told))
            found += told
        except Exception:  # noqa: BLE001  # the other stages are worth having
            broken += 1
            traceback.print_exc()
        say(f"-- {stage.name} took {time.monotonic() - began:.0f} s\n")
    if len(stages) > 1:
        say(f"{conditions()}\n\n{listed(found)}")
    return broken


def main() -> None:
    """The command line. However it is ended, its servers end with it."""
    # Ours for Ctrl-C too: asyncio's would cancel a task, which may lose the cancellation and go on to the end.
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    lines = "\n".join(f"  {stage.name:<10} {stage.about}" for stage in STAGES)
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=f"Measure what the design promises. The stages:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument("--quick", action="store_true", help="a first impression of each stage")
    parser.add_argument("--million", action="store_true", help="1,000,000 sessions in the large database")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="STAGE", help="just these stages")
    parser.add_argument("--rows", default="", metavar="TEXT", help="of the ratios those with this in their name")
    options = parser.parse_args()
    effort = replace(QUICK if options.quick else FULL, rows=options.rows)
    if options.million:
        effort = replace(effort, sessions=MILLION)
    try:
        sys.exit(uvloop.run(run([stage for stage in STAGES if stage.name in options.only], effort)))
    except KeyboardInterrupt:
        sys.exit("stopped")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
