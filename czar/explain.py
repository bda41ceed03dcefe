"""A plan as text and as facts: which chunks and nodes, why, what runs there and what is done with the answers."""

import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import parse_one

from czar.analyse import Query
from czar.placing import assignments
from czar.plan.model import Plan
from czar.plan.rest import rest
from czar.planning import planned_query
from czar.steps.cut import next_cut

PIXEL_RANGES = re.compile(
    r"""\(("[^"]*"\."_healpix_29") BETWEEN \d+ AND \d+(?: OR "[^"]*"\."_healpix_29" BETWEEN \d+ AND \d+)*\)"""
)
"""The condition on the pixel column, as rule `find_regions` writes it."""


@dataclass(frozen=True)
class Explanation:
    """How a query would be answered."""

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
    steps: "tuple[Step, ...]" = ()
    """What is answered first, where the query is not answered at once."""
    rest: str | None = None
    """What PostgreSQL computes over the rows of the steps, if the nodes have no part in it."""

    @property
    def text(self) -> str:
        """The plan for people."""
        where = ", ".join(f"{node} {count:,}" for node, count in sorted(self.nodes.items()))
        lines = [line for step in self.steps for line in (*step.lines, "")]
        if self.rest:
            return "\n".join([*lines, "over the rows of these steps (PostgreSQL)", *_indented(self.rest, "postgres")])
        lines += [
            f"chunks   {self.chunks:,} of {self.family_chunks:,}" + (f" ({where})" if where else ""),
            f"rows     at most {self.rows:,}",
            *(f"because  {note}" for note in self.notes),
        ]
        if self.chunk_query:
            lines += ["", "on each chunk (PostgreSQL)", *_indented(self.chunk_query, "postgres")]
        if self.combine:
            lines += ["", "combine (DuckDB)", *_indented(self.combine, "duckdb")]
        if self.finish:
            lines += ["", "finish (PostgreSQL)", *_indented(self.finish, "postgres")]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {**self.__dict__, "notes": list(self.notes), "steps": [step.to_json() for step in self.steps]}


@dataclass(frozen=True)
class Step:
    """A part of a query that is answered by itself. Its rows go to the nodes if they are few, else to the scratch database."""

    name: str
    reason: str
    """Why the query is not answered at once."""
    part: Explanation

    @property
    def lines(self) -> list[str]:
        """The step for people."""
        return [f"step {self.name}  because {self.reason}", *(f"  {line}" for line in self.part.text.splitlines())]

    def to_json(self) -> dict[str, Any]:
        """Return the step as a JSON object."""
        return {"name": self.name, "reason": self.reason, "part": self.part.to_json()}


async def explain_query(query: Query, locate: Callable[[Query], Awaitable[Query]]) -> Explanation:
    """Return how a query would be answered, if each of its steps had few enough rows to be sent to the nodes."""
    names = (f"s{number}" for number in itertools.count())
    return await _explained(query, locate, names)


async def _explained(query: Query, locate: Callable[[Query], Awaitable[Query]], names: Iterator[str]) -> Explanation:
    steps: list[Step] = []
    while True:
        planned = await planned_query(query, locate, None)
        if isinstance(planned, Plan):
            return replace(explain(planned), steps=tuple(steps))
        cut = next_cut(query, next(names), planned)
        if cut is None:
            nothing = Explanation(0, 0, {}, 0, (), None, None, None)
            return replace(nothing, steps=tuple(steps), rest=rest(query, None))
        steps.append(Step(cut.name, planned, await _explained(cut.step, locate, names)))
        query = cut.rest


def explain(plan: Plan) -> Explanation:
    """Return the explanation of a plan."""
    catalogue = plan.catalogue
    nodes: dict[str, int] = {}
    for assignment in assignments(plan, query_id=""):
        nodes[assignment.nodes[0]] = nodes.get(assignment.nodes[0], 0) + 1
    return Explanation(
        chunks=len(plan.step.chunks) if plan.step else 0,
        family_chunks=len(catalogue.replicas.get(plan.family or "", {})),
        nodes=nodes,
        rows=plan.rows if plan.step else 0,
        notes=plan.notes,
        chunk_query=plan.step.template if plan.step else None,
        combine=plan.combine,
        finish=plan.finish,
    )


def _indented(sql: str, dialect: str) -> list[str]:
    """Return the statement over several lines; slots stand as plain names meanwhile, and ranges of pixels as their number."""
    sql = PIXEL_RANGES.sub(lambda found: f"in_pixel_ranges({found[1]}, {found[0].count(' BETWEEN ')})", sql)
    named = sql.replace("{{", "\0").replace("}}", "\1").replace("{", "slot_").replace("}", "_slot")
    pretty = parse_one(named, read=dialect).sql(dialect, pretty=True)
    pretty = pretty.replace("slot_", "{").replace("_slot", "}").replace("\0", "{").replace("\1", "}")
    return [f"  {line}" for line in pretty.splitlines()]
