"""The arithmetic of the bench: slices of load, compared pair by pair.

A single absolute figure is noise on a machine that others use too. Two slices taken one right after the other meet
much the same noise, so their ratio says something; the median of many such ratios says it dependably.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Slice:
    """What one server did in one short stretch of load."""

    requests: int
    seconds: float
    cpu: float  # seconds of CPU time, all of the server's processes together

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU time a request."""
        return self.cpu / self.requests * 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclass(slots=True)
class Comparison:
    """Ours beside the floor, slice by slice; in both ratios 1.0 is as good as the floor and more is better."""

    ours: list[Slice] = field(default_factory=list)
    floor: list[Slice] = field(default_factory=list)

    @property
    def rate_ratio(self) -> Spread:
        """Our requests a second / the floor's."""
        return Spread.of([a.rate / b.rate for a, b in zip(self.ours, self.floor, strict=True)])

    @property
    def cpu_ratio(self) -> Spread:
        """The floor's CPU time a request / ours."""
        return Spread.of([b.cpu_each / a.cpu_each for a, b in zip(self.ours, self.floor, strict=True)])


def rate(slices: Sequence[Slice]) -> float:
    """The median of their requests a second."""
    return statistics.median(one.rate for one in slices)


def cpu_each(slices: Sequence[Slice]) -> float:
    """Microseconds of CPU time a request, over all of them: the system's clock ticks blur a single slice."""
    return sum(one.cpu for one in slices) / sum(one.requests for one in slices) * 1e6


def busy(slices: Sequence[Slice]) -> float:
    """CPU time / time: near 1.0 the server was the bottleneck, and not the client or the database."""
    return sum(one.cpu for one in slices) / sum(one.seconds for one in slices)
