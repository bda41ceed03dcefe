"""``python tests/benchmarks/ingest/many_chunks.py``: what a chunk costs when tables are made and published. Nothing is asserted.

The same rows are loaded into the chunks of an order, and into the twelve of order 0; what the commit takes longer is the cost of
the chunks: two tables with their indexes and statistics each, and what the metadata are told of them. ``--costs`` puts that into a
file for ``projection.py``.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "engine"), str(HERE.parents[2])]

import numpy as np  # noqa: E402 (the path is set above)
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from costs_file import write_costs  # noqa: E402
from markdown_table import as_markdown  # noqa: E402
from measurement import Result, Sample  # noqa: E402
from processes import Spent  # noqa: E402
from report import load_of_machine  # noqa: E402
from rich.console import Console  # noqa: E402

from ingest.service.client import Ingest  # noqa: E402
from ingest.service.models import ContributionRequest, TransactionRequest  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from qserv.supervisor.services import ingest_services, worker_services  # noqa: E402
from qserv.supervisor.supervisor import embedded_cluster  # noqa: E402

GOAL_MS = 5.0

FELIS = """
name: sky
"@id": "#sky"
tables:
- name: object
  "@id": "#object"
  primaryKey: "#object.id"
  columns:
  - {name: id, "@id": "#object.id", datatype: long, nullable: false, "ivoa:ucd": meta.id;meta.main}
  - {name: ra, "@id": "#object.ra", datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}
  - {name: dec, "@id": "#object.dec", datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}
  - {name: flux, "@id": "#object.flux", datatype: float}
"""

PARTITION = """
family: sky
overlap_deg: 0.0167
tables:
  object: {role: director, ra: ra, dec: dec, director_key: id, frame: {system: ICRS, epoch: J2000}}
"""

progress = Console(stderr=True)


@dataclass(frozen=True)
class Commit:
    """What a commit took: s, processor time, and the chunks that it made."""

    seconds: float
    spent: Spent
    chunks: int


def main() -> int:
    """Load into few chunks and into many, and print what each of many costs, as markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory, ExitStack() as stack:
        home = Path(directory)
        _write(options.rows, home)
        services = lambda found: worker_services(found) + ingest_services(found)  # noqa: E731 (an argument)
        settings = Settings(home=home / "cluster", nodes=2, tap_port=0)
        cluster = stack.enter_context(embedded_cluster(settings, services=services))
        ingest = stack.enter_context(Ingest.of_home(cluster.home))
        few, many = (_loaded(ingest, home, order) for order in (0, options.order))
    more, spent = many.chunks - few.chunks, many.spent.since(few.spent)
    cost = {name: seconds / more for name, seconds in vars(spent).items()}
    cost_ms = (many.seconds - few.seconds) / more * 1000
    results = [
        *(Result(f"commit of {one.chunks:,} chunks", "s", Sample((one.seconds,))) for one in (few, many)),
        Result("a chunk more", "ms", Sample((cost_ms,)), goal=f"< {GOAL_MS:.0f} ms", reached=cost_ms < GOAL_MS),
        *(Result(f"processor time of it: {name}", "ms", Sample((1000 * each,))) for name, each in cost.items()),
    ]
    text = as_markdown(results, f"{options.rows:,} rows in chunks of order {options.order}, 2 nodes, R = 1", [load_of_machine()])
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    if options.costs:
        write_costs(options.costs, "chunk", {"rows": options.rows, "chunks": many.chunks, "seconds": cost_ms / 1000, **cost})
    return 0


def _write(rows: int, home: Path) -> None:
    random = np.random.default_rng(1)
    columns = {
        "id": np.arange(rows),
        "ra": random.uniform(0, 360, rows),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, rows))),
        "flux": random.normal(size=rows).astype(np.float32),
    }
    pq.write_table(pa.table(columns), home / "object.parquet")
    (home / "sky.yaml").write_text(FELIS)
    (home / "sky.partition.yaml").write_text(PARTITION)


def _loaded(ingest: Ingest, home: Path, order: int) -> Commit:
    """Load the rows into chunks of an order; return what the commit took."""
    name = f"order-{order}"
    ingest.begin(name, TransactionRequest(schema_file=str(home / "sky.yaml"), chunk_order=order, replicas=1))
    ingest.send(name, "object", ContributionRequest(table="object", source=str(home / "object.parquet")))
    ingest.contribution(name, "object", 60)
    started, before = time.monotonic(), Spent.of(home / "cluster")
    ingest.commit(name)
    load = ingest.finished(name, 3600)
    taken, spent = time.monotonic() - started, Spent.of(home / "cluster").since(before)
    if load.error is not None:
        raise SystemExit(load.error.message)
    chunks = sum(table.chunks for table in load.report.tables) if load.report else 0
    progress.print(f"{chunks:,} chunks: {taken:.1f} s")
    ingest.drop("sky")
    return Commit(taken, spent, chunks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks/ingest/many_chunks.py", description="Measure the cost of a chunk."
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows (default: %(default)s)")
    parser.add_argument("--order", type=int, default=5, help="order of the chunks: 12 * 4**order (default: %(default)s)")
    parser.add_argument("--costs", type=Path, help="file of measured costs, such as docs/costs.json")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
