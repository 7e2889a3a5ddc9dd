"""Figures with goals: what is no ratio of two servers side by side."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LINE = "{:<58} {:>12}  {:<9} {:<24} {}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """The figure shall not be greater."""

    limit: float

    def met_by(self, value: float) -> bool:
        return value <= self.limit

    def __str__(self) -> str:
        return f"<= {number(self.limit)}"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The figure shall not be smaller."""

    limit: float

    def met_by(self, value: float) -> bool:
        return value >= self.limit

    def __str__(self) -> str:
        return f">= {number(self.limit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the list of figures. Without a goal it only informs."""

    name: str
    value: float
    unit: str = ""
    goal: AtMost | AtLeast | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is reached."""
        if self.goal is None:
            return ""
        return f"{self.goal} {'reached' if self.goal.met_by(self.value) else 'not reached'}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Between the two nearest values; of at least one."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def waits(name: str, seconds: Sequence[float], goal: AtMost | None = None, note: str = "") -> list[Figure]:
    """p50, p99 and the longest of some times, given in seconds and told in milliseconds; the goal is for the p99."""
    trials = f"{len(seconds)} times{'; ' if note else ''}{note}"
    return [
        Figure(f"{name}: p50", percentile(seconds, 50) * 1000, "ms"),
        Figure(f"{name}: p99", percentile(seconds, 99) * 1000, "ms", goal),
        Figure(f"{name}: longest", max(seconds) * 1000, "ms", note=trials),
    ]


def listed(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    return "\n".join(_lines(figures))


def _lines(figures: Sequence[Figure]) -> Iterator[str]:
    for one in figures:
        yield _LINE.format(one.name, number(one.value), one.unit, one.verdict, one.note).rstrip()


def number(value: float) -> str:
    """As many digits as say something."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"
