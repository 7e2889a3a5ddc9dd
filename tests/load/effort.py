"""How long to look: the difference between a first impression and a run to keep."""

from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class Effort:
    """What a stage may spend."""

    pairs: int  # slices of load, ours and theirs
    seconds: float  # a slice
    trials: int  # of what takes milliseconds
    slow_trials: int  # of what takes seconds
    sessions: int  # in the large database
    rows: str = ""  # of the ratios those with this in their name


FULL = Effort(pairs=14, seconds=0.8, trials=500, slow_trials=12, sessions=100_000)
QUICK = Effort(pairs=3, seconds=0.3, trials=30, slow_trials=2, sessions=5_000)
MILLION = 1_000_000

say = partial(print, flush=True)  # what is under way, while it is
