"""`judge`, the verdict on a presented refresh token: as tables, and against a model that forgets nothing."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.judge import Standing, Verdict, judge

RACE = 30_000  # milliseconds
NOW = 1_700_000_000_000
DAY = 86_400_000

# Generation 7, superseding 6 a minute ago, used since: the ordinary state between two refreshes.
ROW = Standing(
    generation=7,
    acknowledged_at=NOW - 59_000,
    window_generation=6,
    window_started_at=NOW - 60_000,
    idle_expires_at=NOW + DAY,
    expires_at=NOW + 2 * DAY,
    ended_at=None,
    end_reason=None,
    reused_generation=None,
    account_disabled=False,
)
UNUSED = replace(ROW, acknowledged_at=None)
ENDED = replace(ROW, ended_at=NOW - 1, end_reason="signed_out_elsewhere")
REUSED = replace(ROW, ended_at=NOW - 1, end_reason="reused", reused_generation=5)


def _verdict(presented: int, row: Standing, now: int = NOW) -> Verdict:
    return judge(presented, row, now, RACE)


@pytest.mark.parametrize(
    "presented, verdict",
    [(7, Verdict.CURRENT), (8, Verdict.AHEAD), (4_000, Verdict.AHEAD), (6, Verdict.REUSED), (0, Verdict.REUSED)],
)
def test_judge_settled_row_takes_only_its_own_generation(presented: int, verdict: Verdict) -> None:
    """Once the current generation was used a race window ago, everything older is reuse and everything newer ahead."""
    assert _verdict(presented, ROW) is verdict


@pytest.mark.parametrize(
    "age, verdict",
    [
        (0, Verdict.REPEAT),
        (RACE - 1, Verdict.REPEAT),
        (RACE, Verdict.REUSED),
        (RACE + 1, Verdict.REUSED),
    ],
)
def test_judge_predecessor_dies_one_window_after_acknowledgement(age: int, verdict: Verdict) -> None:
    """The predecessor repeats until exactly one race window after its successor was first used."""
    assert _verdict(6, replace(ROW, acknowledged_at=NOW - age)) is verdict


@pytest.mark.parametrize("age", [0, RACE, DAY, 29 * DAY])
def test_judge_predecessor_of_unused_generation_repeats_at_any_age(age: int) -> None:
    """A token whose successor was never used repeats its answer, however long ago that was given."""
    row = replace(UNUSED, window_started_at=NOW - age)
    assert _verdict(6, row) is Verdict.REPEAT


@pytest.mark.parametrize("ahead", [RACE, RACE + 1, DAY, 3_650 * DAY])
def test_judge_a_moment_in_the_future_is_no_recent_one(ahead: int) -> None:
    """What a clock wrote that has been set back since opens no window: else an old token would live until then."""
    used = replace(ROW, acknowledged_at=NOW + ahead)
    assert _verdict(6, used) is Verdict.REUSED
    assert _verdict(6, replace(used, window_started_at=NOW + ahead)) is Verdict.REUSED
    assert _verdict(6, replace(used, acknowledged_at=NOW + RACE - 1)) is Verdict.REPEAT


@pytest.mark.parametrize("presented", [0, 4, 5])
def test_judge_unused_successor_excuses_only_the_direct_predecessor(presented: int) -> None:
    """An unacknowledged current generation lets its direct predecessor repeat, and nothing older."""
    assert _verdict(presented, UNUSED) is Verdict.REUSED


@pytest.mark.parametrize(
    "presented, age, verdict",
    [
        (4, 0, Verdict.REPEAT),
        (4, RACE - 1, Verdict.REPEAT),
        (4, RACE, Verdict.REUSED),
        (5, RACE - 1, Verdict.REPEAT),
        (5, RACE, Verdict.REUSED),
        (3, 0, Verdict.REUSED),
        (3, RACE - 1, Verdict.REUSED),
    ],
)
def test_judge_running_window_covers_its_generations(presented: int, age: int, verdict: Verdict) -> None:
    """Any generation of the running window repeats until the window, counted from its beginning, is over."""
    row = replace(UNUSED, window_generation=4, window_started_at=NOW - age)
    assert _verdict(presented, row) is verdict


@pytest.mark.parametrize("reason", ["signed_out", "signed_out_elsewhere", "replaced", "password_changed", "reused"])
@pytest.mark.parametrize("presented", [3, 6, 7, 8])
def test_judge_ended_session_is_never_revived(presented: int, reason: str) -> None:
    """An ended session stays ended for every generation, inside every window, used or not."""
    fresh = replace(UNUSED, window_generation=0, window_started_at=NOW, ended_at=NOW, end_reason=reason)
    assert _verdict(presented, fresh) is Verdict.ENDED


@pytest.mark.parametrize("reason", ["idle", "expired"])
@pytest.mark.parametrize("presented", [6, 7, 8])
def test_judge_session_that_ran_out_says_expired(presented: int, reason: str) -> None:
    """A session written down as run out answers expired, not revoked."""
    assert _verdict(presented, replace(ENDED, end_reason=reason)) is Verdict.EXPIRED


@pytest.mark.parametrize(
    "presented, verdict",
    [(5, Verdict.REUSED_BEFORE), (4, Verdict.ENDED), (6, Verdict.ENDED), (7, Verdict.ENDED), (8, Verdict.ENDED)],
)
def test_judge_after_reuse_only_the_presented_token_is_called_reused(presented: int, verdict: Verdict) -> None:
    """After a reuse the presented generation keeps its answer; the session's others are told it has ended."""
    assert _verdict(presented, REUSED) is verdict


@pytest.mark.parametrize("presented", [5, 6, 7, 8])
def test_judge_disabled_account_ends_everything(presented: int) -> None:
    """No generation of a disabled account's session is taken, and none of them is called reuse."""
    assert _verdict(presented, replace(UNUSED, account_disabled=True)) is Verdict.ENDED


@pytest.mark.parametrize("presented", [5, 6, 7, 8])
@pytest.mark.parametrize("which", ["idle_expires_at", "expires_at"])
def test_judge_expiry_is_exact(presented: int, which: str) -> None:
    """At the very millisecond of either expiry, every generation is expired; one before, none is."""
    over, alive = (replace(UNUSED, **{which: NOW + more}) for more in (0, 1))  # type: ignore[arg-type]
    assert _verdict(presented, over) is Verdict.EXPIRED
    assert _verdict(presented, alive) is not Verdict.EXPIRED


def test_judge_expired_session_is_not_called_reused() -> None:
    """A token that is both old and of an expired session is expired: nobody is accused for being away."""
    assert _verdict(0, replace(ROW, idle_expires_at=NOW - 1)) is Verdict.EXPIRED


# -- against a model with a full history --------------------------------------------------------------------------


@dataclass
class _Model:
    """A session with everything that ever happened to it; `row` is what the database would keep."""

    now: int = NOW
    row: Standing = field(
        default_factory=lambda: replace(UNUSED, generation=0, window_generation=0, window_started_at=0)
    )
    ceased: dict[int, int] = field(default_factory=dict)  # when a generation stopped being current
    used: dict[int, int] = field(default_factory=dict)  # when it was first used

    def rotate(self) -> None:
        current = self.row.generation
        running = self.row.window_started_at > self.now - RACE  # as `_ADVANCE` has it
        oldest = current - 1 if self.row.acknowledged_at is None and current else current
        self.ceased[current] = self.now
        self.used.setdefault(current, self.now)
        self.row = replace(
            self.row,
            generation=current + 1,
            acknowledged_at=None,
            window_generation=self.row.window_generation if running else oldest,
            window_started_at=self.row.window_started_at if running else self.now,
        )

    def acknowledge(self) -> None:
        if self.row.acknowledged_at is None:
            self.row = replace(self.row, acknowledged_at=self.now)
            self.used[self.row.generation] = self.now


# A step: wait so many milliseconds, then do something.
_STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, RACE // 4), st.sampled_from([0, 1, RACE - 1, RACE, RACE + 1, DAY // 100])),
        st.sampled_from(["rotate", "acknowledge", "nothing"]),
    ),
    max_size=25,
)


def _played(steps: list[tuple[int, str]]) -> _Model:
    model = _Model()
    for wait, act in steps:
        model.now += wait
        if act != "nothing":
            getattr(model, act)()
    return model


def _excused(model: _Model, presented: int) -> bool:
    """Whether it is the predecessor of a generation not used, or first used less than a race window ago."""
    used = model.row.acknowledged_at
    return presented == model.row.generation - 1 and (used is None or model.now - used < RACE)


@given(_STEPS)
def test_judge_never_repeats_once_the_successor_was_used_a_window_ago(steps: list[tuple[int, str]]) -> None:
    """A repeat goes to nobody whose successor was first used a race window ago or earlier."""
    model = _played(steps)
    for presented in model.ceased:
        verdict = _verdict(presented, model.row, model.now)
        assert verdict in (Verdict.REPEAT, Verdict.REUSED)
        used = model.used.get(presented + 1)
        assert verdict is Verdict.REUSED or used is None or model.now - used < RACE


@given(_STEPS)
def test_judge_never_accuses_an_excused_predecessor(steps: list[tuple[int, str]]) -> None:
    """A token one behind is never called reused while its successor is unused or in its race window."""
    model = _played(steps)
    for presented in model.ceased:
        if _excused(model, presented):
            assert _verdict(presented, model.row, model.now) is Verdict.REPEAT


@given(_STEPS, st.lists(st.integers(0, RACE), max_size=10))
def test_judge_dead_token_stays_dead(steps: list[tuple[int, str]], waits: list[int]) -> None:
    """A generation once called reused is never repeated later, whatever rotations others make."""
    model = _played(steps)
    dead = {one for one in model.ceased if _verdict(one, model.row, model.now) is Verdict.REUSED}
    for wait in waits:
        model.now += wait
        model.rotate()
        assert all(_verdict(one, model.row, model.now) is Verdict.REUSED for one in dead)


@given(_STEPS)
def test_judge_current_generation_always_rotates(steps: list[tuple[int, str]]) -> None:
    """The newest token is never anything but current, and a newer one never anything but ahead."""
    model = _played(steps)
    assert _verdict(model.row.generation, model.row, model.now) is Verdict.CURRENT
    assert _verdict(model.row.generation + 1, model.row, model.now) is Verdict.AHEAD
