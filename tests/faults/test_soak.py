"""A short soak: many clients of all doors, random faults, and nothing that should not have happened."""

from collections import Counter

import pytest

from tests.faults.soak import summary, wrong
from tests.faults.soak_run import Plan, run

SECONDS = 45  # of acts and faults; with starting, the roll call and the verdict it is about a minute


@pytest.mark.timeout(300)
async def test_soak_breaks_no_promise() -> None:
    """No session is lost, revived, forked or rotated twice, no answer is wrong or late, and all is written down."""
    plan = Plan(SECONDS)
    outcome = await run(plan)
    found = outcome.evidence
    print("\n".join(summary(found)))
    assert wrong(outcome) == [], f"seed {plan.seed}"
    # It was a soak: every client came in, every act was done, both stores and workers failed, sessions ended.
    acts = Counter((call.act, call.granted) for call in found.calls)
    assert {act for act, granted in acts if granted} == {act for act, _ in acts}
    assert len(acts) > 9
    assert {row.door for row in found.rows if not row.lives} == {"native", "spa", "web"}
    assert {"signed_out", "signed_out_elsewhere", "replaced", "reused"} <= {event.reason for event in found.events}
    kinds = {fault.kind.partition(" ")[0] for fault in found.faults}
    assert "worker" in kinds
    assert kinds & {"redis", "postgres"}
