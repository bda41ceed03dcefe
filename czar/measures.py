"""What the parts of a query took: rows, bytes and time, counted while they pass. The clock is its user's."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from czar.plan.model import Plan
from czar.steps.intermediate import Intermediate

Clock = Callable[[], float]
"""Seconds since some moment, as ``time.monotonic``."""


class Stage:
    """One thing that is done with the rows of a part: read from the nodes, combined, finished."""

    def __init__(self, clock: Clock, before: "Stage | None" = None) -> None:
        self._clock, self._before = clock, before
        self.elapsed_s = 0.0
        """Time that its reader waited for it."""
        self.seconds = 0.0
        """Of that, the time that it did not itself wait for the stage before it."""
        self.rows = 0
        self.size_bytes = 0
        """Bytes of the rows in Arrow's memory; on disk where they never leave the scratch database."""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of a block."""
        begun_s, before_s = self._now()
        try:
            yield
        finally:
            self._took(begun_s, before_s)

    def _now(self) -> tuple[float, float]:
        """Return the time, and how long the stage before was waited for until now."""
        return self._clock(), self._before.elapsed_s if self._before else 0.0

    def _took(self, begun_s: float, before_s: float) -> None:
        """Count the time since then."""
        now_s, waited_s = self._now()
        took_s = now_s - begun_s
        self.elapsed_s += took_s
        self.seconds += max(0.0, took_s - (waited_s - before_s))

    def add(self, rows: int, size_bytes: int) -> None:
        """Count rows that pass."""
        self.rows += rows
        self.size_bytes += size_bytes

    def counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches, and count them and the time they take to come."""
        rows = iter(batches)
        while True:
            begun_s, before_s = self._now()  # as `timed`, at a third of its cost
            try:
                batch = next(rows, None)
            finally:
                self._took(begun_s, before_s)
            if batch is None:
                return
            # See `ChunkBuffer`: `nbytes` takes long. The last rows of a LIMIT count as the batch that they are cut from.
            self.add(batch.num_rows, batch.get_total_buffer_size())
            yield batch


@dataclass(eq=False)
class PartRun:
    """A query, or a step of one, as it ran: either by a plan, or over the rows of its steps alone."""

    clock: Clock
    steps: "list[StepRun]" = field(default_factory=list)
    plan: Plan | None = None
    rest: str | None = None
    """What PostgreSQL computed over the rows of the steps, if the nodes had no part in it."""
    stages: dict[str, Stage] = field(default_factory=dict)
    """By name, in the order of the rows' way; the rows of the last one are the answer."""

    def stage(self, name: str) -> Stage:
        """Return a new stage behind those there are."""
        before = next(reversed(self.stages.values()), None)
        self.stages[name] = Stage(self.clock, before)
        return self.stages[name]

    def step(self, name: str, reason: str) -> "StepRun":
        """Return a new step."""
        self.steps.append(StepRun(name, reason, PartRun(self.clock)))
        return self.steps[-1]

    @property
    def step_count(self) -> int:
        """Steps, with those within steps."""
        return sum(1 + step.part.step_count for step in self.steps)

    @property
    def shape(self) -> str | None:
        """How it is answered, in a few words for the query log, such as ``2 steps, scan, combine``; None before it is planned."""
        if self.plan is None and self.rest is None:
            return None
        words = [f"{self.step_count} step{'s' if self.step_count > 1 else ''}"] if self.steps else []
        if self.plan is not None:
            words += self._access
        return ", ".join([*words, *(name for name in self.stages if name != "nodes")])

    @property
    def _access(self) -> list[str]:
        """How the rows of the plan are found; its stage says so of those of the metadata database."""
        assert self.plan is not None  # noqa: S101 (asked of a plan)
        if self.plan.metadata_query is not None:
            return []
        return ["counts" if self.plan.known_row is not None else self.plan.access.shown]

    @property
    def merged_bytes(self) -> int:
        """Bytes that were combined by the czar, of all steps."""
        own = self.stages["nodes"].size_bytes if "combine" in self.stages else 0
        return own + sum(step.part.merged_bytes for step in self.steps)


@dataclass(eq=False)
class StepRun:
    """A step as it ran."""

    name: str
    reason: str
    """Why the query was not answered at once."""
    part: PartRun
    found: Intermediate | None = None
    """Its rows, once it has run."""
    is_written: bool = False
    """Whether the rows were written into the query as constants."""
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of a block as that of the step, its own steps included."""
        begun_s = self.part.clock()
        try:
            yield
        finally:
            self.seconds += self.part.clock() - begun_s
