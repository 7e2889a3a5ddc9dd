"""What a genuine refresh token is worth, seen against its session's row. Pure: no I/O, no clock of its own.

The order of the questions is the rule: an ended session first, so that no window revives one; then its age; then the
presented generation, from the usual case to the thief. Distances in time count both ways: a moment far in the future
was written by a clock that has been set back since, and is no recent one.
"""

from dataclasses import dataclass
from enum import Enum, auto

from .db import Row


class Verdict(Enum):
    """What a presented refresh token is, seen against its row."""

    CURRENT = auto()  # the row's own generation: rotate
    REPEAT = auto()  # already rotated, harmlessly: give the same answer again
    AHEAD = auto()  # the database was restored from a backup: move it forward
    REUSED = auto()  # superseded, and its successor used: a thief, or the victim of one
    REUSED_BEFORE = auto()  # the very token whose reuse ended this session
    EXPIRED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """What `judge` needs to know of a row; moments in milliseconds."""

    generation: int
    acknowledged_at: int | None
    window_generation: int
    window_started_at: int
    idle_expires_at: int
    expires_at: int
    ended_at: int | None
    end_reason: str | None
    reused_generation: int | None
    account_disabled: bool

    @classmethod
    def of(cls, row: Row) -> "Standing":
        """From a row of the database."""
        return cls(
            row["generation"],
            row["acknowledged_at"],
            row["window_generation"],
            row["window_started_at"],
            row["idle_expires_at"],
            row["expires_at"],
            row["ended_at"],
            row["end_reason"],
            row["reused_generation"],
            row["disabled_at"] is not None,
        )


def judge(presented: int, row: Standing, now: int, race_window: int) -> Verdict:
    """The verdict on a genuine token of generation `presented`. Pure; `race_window` in milliseconds."""
    if row.ended_at is not None:
        if row.end_reason in ("idle", "expired"):
            return Verdict.EXPIRED
        return Verdict.REUSED_BEFORE if row.reused_generation == presented else Verdict.ENDED
    if row.account_disabled:
        return Verdict.ENDED
    if now >= min(row.idle_expires_at, row.expires_at):
        return Verdict.EXPIRED
    if presented >= row.generation:
        return Verdict.CURRENT if presented == row.generation else Verdict.AHEAD
    if presented == row.generation - 1 and (
        row.acknowledged_at is None or abs(now - row.acknowledged_at) < race_window
    ):
        return Verdict.REPEAT
    if presented >= row.window_generation and abs(now - row.window_started_at) < race_window:
        return Verdict.REPEAT
    return Verdict.REUSED
