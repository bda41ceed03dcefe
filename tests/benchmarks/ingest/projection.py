"""``python tests/benchmarks/ingest/projection.py``: how long a survey's tables take on many nodes, from measured costs.

The costs are those of ``docs/costs.json``, which ``costs.py`` and ``many_chunks.py`` write. What nodes do is divided by their
number, and by the chunks that a node makes at a time; what one process does is not. All numbers of ``docs/scale.md`` are of here.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from ingest.load import RUN_BYTES  # noqa: E402 (the path is set above)
from ingest.readers.pool import MOST_READERS, MOST_READERS_UNASKED  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from workers.runs.building import BUILDS  # noqa: E402

COSTS = ROOT / "docs" / "costs.json"

NODES = (100, 450)
REPLICAS = (1, 2)

READERS = MOST_READERS
"""Processes that read, as many as can be asked for: each takes a core, and at times one of the metadata server."""

DURATIONS = {"years": 365.25 * 86_400, "days": 86_400, "hours": 3_600, "minutes": 60, "s": 1, "ms": 1e-3, "us": 1e-6}
SIZES = {"PB": 1e15, "TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1}


@dataclass(frozen=True)
class Catalogue:
    """A table of so many rows, and what was measured of it."""

    name: str
    rows: float
    chunks: float
    costs: Mapping[str, Any]
    chunk: Mapping[str, float]
    """What a chunk costs."""

    def spent(self, replicas: int, stage: str, *whose: str) -> float:
        """Return processor time, s, of all rows."""
        return self._of_rows(sum(self.costs[f"R{replicas}"][stage]["spent"][one] for one in whose))

    def reading_s(self, replicas: int, readers: int = READERS) -> float:
        """Return how long processes read which have a core each, and one of the metadata server: it answers while they wait."""
        return self.spent(replicas, "reading", "service", "metadata") / readers

    def sent_bytes_s(self, replicas: int) -> float:
        """Return what they send to the nodes, bytes/s."""
        return self.run_bytes(replicas) / self.reading_s(replicas)

    def measured_rows_per_s(self, replicas: int) -> float:
        """Return how fast rows were read where they were measured, with all that runs there."""
        return self.costs["rows"] / self.costs[f"R{replicas}"]["reading"]["seconds"]

    def nodes_s(self, replicas: int, nodes: int) -> float:
        """Return how long nodes work, each on `BUILDS` chunks at a time."""
        rows = self.spent(replicas, "reading", "nodes") + self.spent(replicas, "building", "nodes")
        return (rows + self.chunks * replicas * self.chunk["nodes"]) / (nodes * BUILDS)

    @property
    def chunks_s(self) -> float:
        """How long ingest service and metadata server write down chunks at the commit, s."""
        return self.chunks * (self.chunk["service"] + self.chunk["metadata"])

    def run_bytes(self, replicas: int) -> float:
        """Return the size of the runs on all nodes."""
        return self._of_rows(self.costs[f"R{replicas}"]["run_bytes"])

    def table_bytes(self, replicas: int) -> float:
        """Return the size of the tables on all nodes, with indexes and overlap."""
        return self._of_rows(self.costs[f"R{replicas}"]["table_bytes"])

    @property
    def index_bytes(self) -> float:
        """Size of the director index; 0 of a table that has none."""
        return self._of_rows(self.costs.get("index_bytes", 0))

    @property
    def runs(self) -> float:
        """Runs that are sent."""
        return self.run_bytes(1) / RUN_BYTES

    def _of_rows(self, measured: float) -> float:
        return measured / self.costs["rows"] * self.rows


def catalogues(costs: Mapping[str, Any]) -> list[Catalogue]:
    """Return Object and ForcedSource of the whole survey, which lie in the same chunks."""
    rows = {"Object": 40e9, "ForcedSource": 3e13}
    chunks = rows["Object"] / Settings.model_fields["chunk_target_rows"].default
    parts = {"Object": "object", "ForcedSource": "forced"}
    return [Catalogue(name, rows[name], chunks, costs[parts[name]], costs["chunk"]) for name in parts]


def tables(costs: Mapping[str, Any]) -> list[str]:
    """Return the tables of the page, in markdown."""
    both = catalogues(costs)
    return [_measured(costs), _rows(both), _alone(both), _times(both), _sizes(both)]


def _measured(costs: Mapping[str, Any]) -> str:
    names = {"object": "rows of Object", "forced": "rows of ForcedSource", "chunk": "a chunk"}
    rows = [(names[part], costs[part]["when"], f"`{costs[part]['how']}`", costs[part]["machine"]) for part in names]
    return _table(("measured", "when", "how", "machine at the end"), rows)


def _rows(both: Sequence[Catalogue]) -> str:
    """Return what a row costs."""
    found = []
    for one in both:
        for replicas in REPLICAS:
            each = 1 / one.rows
            found.append(
                (
                    f"{one.name}, {one.costs['columns']} columns, R = {replicas}",
                    f"{one.measured_rows_per_s(replicas) / 1000:.0f} krow/s",
                    shown(each * one.spent(replicas, "reading", "service"), DURATIONS),
                    shown(each * one.spent(replicas, "reading", "metadata"), DURATIONS),
                    shown(each * (one.spent(replicas, "reading", "nodes") + one.spent(replicas, "building", "nodes")), DURATIONS),
                    shown(each * one.run_bytes(replicas), SIZES),
                    shown(each * one.table_bytes(replicas), SIZES),
                )
            )
    heads = (
        "a row",
        "read where it was measured",
        "who reads it",
        "metadata server",
        "all nodes",
        "runs",
        "tables and indexes",
    )
    return _table(heads, found)


def _alone(both: Sequence[Catalogue]) -> str:
    """Return what more nodes do not make faster."""
    found: list[tuple[str, ...]] = [
        ("rows", *(f"{one.rows:,.0f}" for one in both)),
        ("chunks", *(f"{one.chunks:,.0f}" for one in both)),
        ("rows a chunk", *(f"{one.rows / one.chunks:,.0f}" for one in both)),
        ("a chunk's tables", *(shown(one.table_bytes(1) / one.chunks, SIZES) for one in both)),
        *(
            (f"reading by {readers}, R = {replicas}", *(shown(one.reading_s(replicas, readers), DURATIONS) for one in both))
            for readers in (1, MOST_READERS_UNASKED, READERS)
            for replicas in REPLICAS
        ),
        (
            "of it the metadata server, processor time in all, R = 1",
            *(shown(one.spent(1, "reading", "metadata"), DURATIONS) for one in both),
        ),
        *(
            (f"sent to the nodes by {READERS}, R = {replicas}", *(f"{shown(one.sent_bytes_s(replicas), SIZES)}/s" for one in both))
            for replicas in REPLICAS
        ),
        ("commit: chunks written down by service and metadata server", *(shown(one.chunks_s, DURATIONS) for one in both)),
        ("director index, in the metadata server", *(shown(one.index_bytes, SIZES) if one.index_bytes else "" for one in both)),
        ("runs", *(f"{one.runs:,.0f}" for one in both)),
    ]
    return _table(("with any number of nodes", *(one.name for one in both)), found)


def _times(both: Sequence[Catalogue]) -> str:
    found = []
    for one in both:
        for nodes in NODES:
            for replicas in REPLICAS:
                terms = {
                    "reading": one.reading_s(replicas),
                    "nodes": one.nodes_s(replicas, nodes),
                    "chunks at the commit": one.chunks_s,
                }
                largest = max(terms, key=lambda term: terms[term])
                written = (one.run_bytes(replicas) + one.table_bytes(replicas)) / nodes / terms["nodes"]
                found.append(
                    (
                        *(one.name, str(nodes), str(replicas)),
                        *(shown(seconds, DURATIONS) for seconds in terms.values()),
                        shown(sum(terms.values()), DURATIONS),
                        f"{largest}: {terms[largest] / sum(terms.values()):.0%}",
                        f"{terms['reading'] / terms['nodes']:,.1f}",
                        f"{shown(written, SIZES)}/s",
                    )
                )
    heads = ("table", "nodes", "R", "reading", "nodes", "chunks", "in all", "most of it", "reading by nodes", "a node writes")
    return _table(heads, found)


def _sizes(both: Sequence[Catalogue]) -> str:
    found = [
        (
            *(one.name, str(nodes), str(replicas)),
            shown(one.table_bytes(replicas), SIZES),
            shown(one.table_bytes(replicas) / nodes, SIZES),
            shown(one.run_bytes(replicas) / nodes, SIZES),
            f"{one.chunks * replicas / nodes:,.0f}",
        )
        for one in both
        for nodes in NODES
        for replicas in REPLICAS
    ]
    return _table(
        ("table", "nodes", "R", "tables and indexes", "of it a node", "runs a node, until the commit", "chunks a node"), found
    )


def shown(value: float, units: Mapping[str, float]) -> str:
    """Return a quantity in the largest unit of which there is one, with two digits or more."""
    unit = next((unit for unit, size in units.items() if value >= size), list(units)[-1])
    number = value / units[unit]
    return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- ", "|---").replace("---|", "---|")


def main() -> int:
    """Print the tables of the page."""
    sys.stdout.write("\n".join(tables(json.loads(COSTS.read_text()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
