"""A plan as text and as facts: which chunks and nodes, why, what runs there, what is done with the answers, and what it took."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from czar.analyse import Query
from czar.estimate import Estimate, sent
from czar.lanes import lane_of
from czar.measures import PartRun, StepRun
from czar.placing import assignments
from czar.plan.model import Plan
from czar.plan.rest import rest
from czar.planning import planned_query
from czar.shown_sql import amount, indented, statement
from czar.steps.counts import CountCut
from czar.steps.cut import next_cut
from czar.steps.intermediate import Intermediate, sendable_bytes
from czar.times import STATED, Pace, Times, expected, of_steps
from schema.physical import quote

AS_CONSTANTS: Final = "the query, as constants"


@dataclass(frozen=True)
class Measured:
    """What something took."""

    rows: int
    size_bytes: int
    seconds: float

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.rows:,} rows, {amount(self.size_bytes)}, {self.seconds:.3f} s"


@dataclass(frozen=True)
class Explanation:
    """How a query would be answered, or was."""

    chunks: int
    """Chunks that are asked."""
    family_chunks: int
    """Chunks of the family's map in which any table has rows."""
    nodes: dict[str, int]
    """Chunks asked of each node."""
    rows: int
    """Rows in these chunks of the largest table: the most that is looked at."""
    notes: tuple[str, ...]
    chunk_query: str | None
    combine: str | None
    finish: str | None
    metadata_query: str | None = None
    """What is asked of the metadata database, where the nodes have no part in it."""
    sent: Estimate | None = None
    """What the nodes send, if every condition held for every row."""
    steps: "tuple[Step, ...]" = ()
    """What is answered first, where the query is not answered at once."""
    rest: str | None = None
    """What PostgreSQL computes over the rows of the steps, if the nodes have no part in it."""
    lane: str | None = None
    """Where the chunks wait for their turn on the nodes."""
    expected: Times | None = None
    """Seconds that it will take, its steps left out."""
    measured: dict[str, Measured] = field(default_factory=dict)
    """What each stage took, if the query has run: nodes, combine, finish or rest, and total."""

    @property
    def expected_s(self) -> float:
        """Seconds that it will take, with its steps."""
        return (self.expected.total if self.expected else 0.0) + sum(step.part.expected_s for step in self.steps)

    @property
    def text(self) -> str:
        """The plan for people."""
        where = ", ".join(f"{node} {count:,}" for node, count in sorted(self.nodes.items()))
        lines = [line for step in self.steps for line in (*step.lines, "")]
        if self.rest:
            lines += ["over the rows of these steps (PostgreSQL)", *indented(self.rest, "postgres"), "", *self._expected]
        elif self.metadata_query:
            lines += ["in the metadata database (PostgreSQL)", *indented(self.metadata_query, "postgres")]
        else:
            lines += [
                f"chunks   {self.chunks:,} of {self.family_chunks:,}" + (f" ({where})" if where else ""),
                *([f"lane     {self.lane}"] if self.lane else []),
                f"rows     at most {self.rows:,}",
                *([f"sent     estimated {self.sent.rows:,} rows, {amount(self.sent.size_bytes)}"] if self.sent else []),
                *self._expected,
                *(f"because  {note}" for note in self.notes),
            ]
        for title, sql, dialect in (
            ("on each chunk (PostgreSQL)", self.chunk_query, "postgres"),
            ("combine (DuckDB)", self.combine, "duckdb"),
            ("finish (PostgreSQL)", self.finish, "postgres"),
        ):
            if sql:
                lines += ["", title, *indented(sql, dialect)]
        if self.measured:
            lines += ["", "took", *(f"  {name:<8} {stage.text}" for name, stage in self.measured.items())]
        return "\n".join(lines)

    @property
    def _expected(self) -> list[str]:
        if self.expected is None:
            return []
        with_steps = f", {_seconds(self.expected_s)} with its steps" if self.steps else ""
        return [f"time     estimated {_seconds(self.expected.total)}{with_steps}"]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            **self.__dict__,
            "notes": list(self.notes),
            "sent": self.sent.__dict__ if self.sent else None,
            "expected": self.expected.__dict__ if self.expected else None,
            "expected_s": self.expected_s,
            "steps": [step.to_json() for step in self.steps],
            "measured": {name: stage.__dict__ for name, stage in self.measured.items()} or None,
        }


@dataclass(frozen=True)
class Step:
    """A part of a query that is answered by itself."""

    name: str
    reason: str
    """Why the query is not answered at once."""
    part: Explanation
    rows_go_to: str = ""
    """Where its rows are read."""

    @property
    def lines(self) -> list[str]:
        """The step for people."""
        return [
            f"step {self.name}  because {self.reason}",
            f"  to       {self.rows_go_to}",
            *(f"  {line}" if line else "" for line in self.part.text.splitlines()),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the step as a JSON object."""
        return {"name": self.name, "reason": self.reason, "rows_go_to": self.rows_go_to, "part": self.part.to_json()}


def _seconds(seconds: float) -> str:
    """Return a time with two digits: it is known no better."""
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:,.0f} s"  # noqa: PLR2004 (where the digits end)


async def explain_query(query: Query, locate: Callable[[Query], Awaitable[Query]], pace: Pace = STATED) -> Explanation:
    """Return how a query would be answered, if each of its steps had few enough rows to be sent to the nodes."""
    names = (f"s{number}" for number in itertools.count())
    return (await _explained(query, locate, names, pace))[0]


async def _explained(
    query: Query, locate: Callable[[Query], Awaitable[Query]], names: Iterator[str], pace: Pace
) -> tuple[Explanation, frozenset[str]]:
    """Return the explanation of a query, and the names of steps whose rows the nodes read."""
    steps: list[Step] = []
    few_bytes: dict[str, int] = {}
    on_nodes: frozenset[str] = frozenset()
    while True:
        planned = await planned_query(query, locate, None)
        if isinstance(planned, Plan):
            on_nodes |= _steps_read(query)
            explanation = explain(planned, pace)
            break
        cut = next_cut(query, next(names), planned.reason, planned.first)
        if cut is None:
            explanation = _over_steps(rest(query, None), [step.part for step in steps])
            break
        part, read = await _explained(cut.step, locate, names, pace)
        on_nodes |= read
        steps.append(Step(cut.name, planned.reason, part))
        if not isinstance(cut, CountCut):
            few_bytes[cut.name] = sendable_bytes(len(cut.rest.chunks))
        query = cut.without_rows()
    went = (replace(step, rows_go_to=_destination(few_bytes.get(step.name), sent=step.name in on_nodes)) for step in steps)
    return replace(explanation, steps=tuple(went)), on_nodes


def _steps_read(query: Query) -> frozenset[str]:
    return frozenset(source.entry.table.name for source in query.sources if isinstance(source.entry, Intermediate))


def _destination(few_bytes: int | None, *, sent: bool) -> str:
    if few_bytes is None:
        return AS_CONSTANTS
    if not sent:
        return "the scratch database"
    return f"the nodes, with the query, if they are at most {amount(few_bytes)}; else the scratch database"


def _over_steps(sql: str | None, parts: list[Explanation]) -> Explanation:
    """Return the explanation of what is computed over the rows of steps."""
    rows_bytes = sum(part.sent.size_bytes for part in parts if part.sent)
    return Explanation(0, 0, {}, 0, (), None, None, None, rest=sql, expected=of_steps(rows_bytes))


def explain(plan: Plan, pace: Pace = STATED) -> Explanation:
    """Return the explanation of a plan."""
    catalogue = plan.catalogue
    if plan.metadata_query is not None:
        return Explanation(0, 0, {}, 0, plan.notes, None, None, None, metadata_query=plan.metadata_query)
    nodes: dict[str, int] = {}
    for assignment in assignments(plan, query_id=""):
        nodes[assignment.nodes[0]] = nodes.get(assignment.nodes[0], 0) + 1
    most = sent(plan, statement(plan.step.template, "postgres")) if plan.step else None
    return Explanation(
        chunks=len(plan.step.chunks) if plan.step else 0,
        family_chunks=len(catalogue.replicas.get(plan.family or "", {})),
        nodes=nodes,
        rows=plan.rows if plan.step else 0,
        notes=plan.notes,
        chunk_query=plan.step.template if plan.step else None,
        combine=plan.combine,
        finish=plan.finish,
        sent=most,
        lane=str(lane_of(plan)) if plan.step else None,
        expected=expected(plan, nodes, most, pace) if most else None,
    )


def explain_run(part: PartRun, pace: Pace = STATED) -> Explanation:
    """Return how a query was answered, and what it took."""
    found = [step.found for step in part.steps if step.found is not None]
    if part.plan is not None:
        explanation = explain(_named(part.plan, found), pace)
    else:
        explanation = _over_steps(part.rest, [explain_run(step.part, pace) for step in part.steps])
    stages = {name: Measured(stage.rows, stage.size_bytes, stage.seconds) for name, stage in part.stages.items()}
    return replace(explanation, steps=tuple(_ran(step, part, pace) for step in part.steps), measured=stages)


def _ran(step: StepRun, around: PartRun, pace: Pace) -> Step:
    part = explain_run(step.part, pace)
    last = next(reversed(part.measured.values()), Measured(0, 0, 0.0))
    part = replace(part, measured={**part.measured, "step": replace(last, seconds=step.seconds)})
    if step.found is None:
        where = "nowhere"
    elif step.is_written:
        where = AS_CONSTANTS
    elif step.found.rows is not None and _sends(around, step.found):
        where = "the nodes, with the query"
    else:
        where = "the scratch database"
    return Step(step.name, step.reason, part, where)


def _sends(part: PartRun, rows: Intermediate) -> bool:
    """Whether a chunk query of a part, or of a step of it, holds the rows of a step."""
    template = part.plan.step.template if part.plan and part.plan.step else ""
    return _as_in_template(rows) in template or any(_sends(step.part, rows) for step in part.steps)


def _as_in_template(rows: Intermediate) -> str:
    return rows.sql.replace("{", "{{").replace("}", "}}")


def _named(plan: Plan, found: list[Intermediate]) -> Plan:
    """Let steps stand by their names in a chunk query, in the place of their rows."""
    if plan.step is None:
        return plan
    template = plan.step.template
    for step in found:
        template = template.replace(_as_in_template(step), quote(step.table.name))
    return replace(plan, step=replace(plan.step, template=template))
