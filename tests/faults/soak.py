"""`make soak`: many clients of all three doors against real workers and stores, with faults at random; then a verdict.

    python -m tests.faults.soak [--minutes 10] [--clients 200] [--workers 4] [--seed N] [--history FILE]

The same seed gives the same clients and the same faults, though not the same moments. docs/faults.md says how to read
what it tells.
"""

import argparse
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvloop

from tests.faults.case import Case
from tests.faults.checker import acceptances, violations, within_the_limit
from tests.faults.evidence import Call, Evidence
from tests.faults.soak_run import Outcome, Plan, run
from tests.load.effort import say
from tests.load.figures import percentile

_MOST_SHOWN = 40  # broken rules


def wrong(outcome: Outcome) -> list[str]:
    """A sentence for everything that should not have happened."""
    found = [str(one) for one in violations(outcome.evidence)]
    if outcome.unserved:
        found.append(f"not recovered: nobody serves clients {outcome.unserved}")
    found += [f"error in a log: {line}" for line in outcome.errors]
    if outcome.audit:
        found.append(f"audit log: {outcome.audit}")
    return found


def summary(evidence: Evidence) -> Iterator[str]:
    """What happened, in figures."""
    yield f"calls            {len(evidence.calls):,} in {max(call.ended for call in evidence.calls):.0f} s"
    yield f"by act           {_counted(call.act for call in evidence.calls)}"
    yield f"by answer        {_counted(map(_answer, evidence.calls))}"
    yield f"faults           {_counted(fault.kind for fault in evidence.faults if fault.kind != 'machine')}"
    full = sum(fault.ended - fault.began for fault in evidence.faults if fault.kind == "machine")
    yield f"machine          {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}, full for {full:.0f} s"
    yield f"sessions         {len(evidence.rows):,}, {sum(row.generation for row in evidence.rows):,} rotations"
    yield f"endings          {_counted(event.reason for event in evidence.events if event.kind == 'session.ended')}"
    yield f"reused early     {within_the_limit(Case(evidence))}, which ADR 0001 accepts"
    yield from _slowest(evidence)
    yield from _latest(evidence)


def _answer(call: Call) -> str:
    return str(call.told) if call.answer is None else f"{call.answer.status} {call.answer.code}".strip()


def _counted(things: Iterator[str]) -> str:
    return ", ".join(f"{thing} {number:,}" for thing, number in Counter(things).most_common()) or "none"


def _slowest(evidence: Evidence) -> Iterator[str]:
    disturbed = [fault for fault in evidence.faults if fault.worker is not None]
    for name, unavailable in (("answers", False), ("503", True)):
        times = [
            call.ended - call.began
            for call in evidence.calls
            if call.answer
            and (call.answer.status == 503) is unavailable
            and not any(
                one.worker == call.worker and one.began <= call.ended and call.began <= one.ended for one in disturbed
            )
        ]
        if times:
            p50, p99 = (percentile(times, part) * 1000 for part in (50, 99))
            yield f"{name:<16} p50 {p50:.0f} ms, p99 {p99:.0f} ms, slowest {max(times) * 1000:.0f} ms (workers running)"


def _latest(evidence: Evidence) -> Iterator[str]:
    for name, bound in (("an answered", 1.0), ("an unanswered", 3.0)):
        late = [by for _, by, allowed in acceptances(Case(evidence)) if allowed == bound]
        latest = f"{max(late) * 1000:.0f} ms after it, of {len(late):,}" if late else "none"
        yield f"accepted late    {latest}: after {name} ending (at most {bound:.0f} s)"


def _lines(evidence: Evidence) -> Iterator[str]:
    for kept in (evidence.calls, evidence.rows, evidence.events, evidence.faults):
        yield from (json.dumps(asdict(one)) for one in kept)


def main() -> None:
    """The command line. However it is ended, its servers end with it."""
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    parser = argparse.ArgumentParser(prog="make soak", description="Many clients, random faults, and a verdict.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of an earlier run, to look again")
    parser.add_argument("--history", type=Path, help="write all the evidence to this file, as lines of JSON")
    given = parser.parse_args()
    try:
        outcome = uvloop.run(run(Plan(given.minutes * 60, given.clients, given.workers, given.seed)))
    except KeyboardInterrupt:
        sys.exit("stopped")
    if given.history:
        given.history.write_text("".join(f"{line}\n" for line in _lines(outcome.evidence)))
    say("\n" + "\n".join(summary(outcome.evidence)))
    found = wrong(outcome)
    say("\n".join(["", f"{len(found)} violations (seed {given.seed})", *found[:_MOST_SHOWN]]))
    sys.exit(bool(found))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
