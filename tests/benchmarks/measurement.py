"""What is measured: values of several repetitions, theirs and ours taken in turn, because other programs share the machine."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Values of one quantity, one a repetition."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile; with few values the smallest and the largest."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        lower, _, upper = statistics.quantiles(self.values, n=4)
        return lower, upper

    def mapped(self, function: Callable[[float], float]) -> "Sample":
        """Return the sample of another quantity."""
        return Sample(tuple(map(function, self.values)))


@dataclass(frozen=True)
class Result:
    """One row of the report.

    Attributes
    ----------
    subject
        What was done.
    unit
        Of the values.
    ours, plain
        The archive's values, and those of plain PostgreSQL doing the same work; None where it has no such work.
    ratio
        What is compared, the goal's way round; None without a plain one.
    goal
        As the project states it; empty for a row that is for information.
    reached
        Whether the medians reach it; None without a goal.
    """

    subject: str
    unit: str
    ours: Sample
    plain: Sample | None = None
    ratio: float | None = None
    goal: str = ""
    reached: bool | None = None
    note: str = ""


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes. Garbage of the benchmark itself is collected before."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(repetitions: int, *works: Callable[[], float]) -> list[Sample]:
    """Measure several works in turn: what disturbs the machine disturbs all of them alike.

    Parameters
    ----------
    works
        Each does its work once and returns the value that is measured.
    """
    values = [[work() for work in works] for _ in range(repetitions)]
    return [Sample(column) for column in zip(*values, strict=True)]


def each_in_turn(*columns: Iterable[Callable[[], object]]) -> list[Sample]:
    """Time the first work of every column, then the second ones, and so on; in ms, without collecting garbage between."""
    gc.collect()
    values: list[list[float]] = []
    for row in zip(*columns, strict=True):
        values.append([])
        for work in row:
            started = time.perf_counter()
            work()
            values[-1].append(1000 * (time.perf_counter() - started))
    return [Sample(column) for column in zip(*values, strict=True)]
