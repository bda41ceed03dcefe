"""A plan as text and as facts: which chunks and nodes, why, what runs there and what is done with the answers."""

import re
from dataclasses import dataclass
from typing import Any

from sqlglot import parse_one

from czar.catalogue import Catalogue
from czar.placing import assignments
from czar.plan.model import Plan

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

    @property
    def text(self) -> str:
        """The plan for people."""
        where = ", ".join(f"{node} {count:,}" for node, count in sorted(self.nodes.items()))
        lines = [
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
        return {**self.__dict__, "notes": list(self.notes)}


def explain(plan: Plan, catalogue: Catalogue) -> Explanation:
    """Return the explanation of a plan."""
    nodes: dict[str, int] = {}
    for assignment in assignments(plan, catalogue, query_id=""):
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
