"""``python tests/benchmarks/ingest/many_chunks.py``: what a chunk costs when tables are made and published. Nothing is asserted.

The same rows are loaded into the chunks of an order, and into the twelve of order 0; what the commit takes longer is the cost of
the chunks: two tables with their indexes and statistics each, and what the metadata are told of them.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "engine"), str(HERE.parents[2])]

import numpy as np  # noqa: E402 (the path is set above)
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from markdown_table import as_markdown  # noqa: E402
from measurement import Result, Sample  # noqa: E402
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
        few, few_chunks = _loaded(ingest, home, 0)
        many, chunks = _loaded(ingest, home, options.order)
    cost_ms = (many - few) / (chunks - few_chunks) * 1000
    results = [
        Result(f"commit of {few_chunks} chunks", "s", Sample((few,))),
        Result(f"commit of {chunks:,} chunks", "s", Sample((many,))),
        Result("a chunk more", "ms", Sample((cost_ms,)), goal=f"< {GOAL_MS:.0f} ms", reached=cost_ms < GOAL_MS),
    ]
    text = as_markdown(results, f"{options.rows:,} rows in chunks of order {options.order}, 2 nodes, R = 1", [load_of_machine()])
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
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


def _loaded(ingest: Ingest, home: Path, order: int) -> tuple[float, int]:
    """Load the rows into chunks of an order; return how long the commit took, in seconds, and how many chunks there are."""
    name = f"order-{order}"
    ingest.begin(name, TransactionRequest(schema_file=str(home / "sky.yaml"), chunk_order=order, replicas=1))
    ingest.send(name, "object", ContributionRequest(table="object", source=str(home / "object.parquet")))
    ingest.contribution(name, "object", 60)
    started = time.monotonic()
    ingest.commit(name)
    load = ingest.finished(name, 3600)
    taken = time.monotonic() - started
    if load.error is not None:
        raise SystemExit(load.error.message)
    chunks = sum(table.chunks for table in load.report.tables) if load.report else 0
    progress.print(f"{chunks:,} chunks: {taken:.1f} s")
    ingest.drop("sky")
    return taken, chunks


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks/ingest/many_chunks.py", description="Measure the cost of a chunk."
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows (default: %(default)s)")
    parser.add_argument("--order", type=int, default=5, help="order of the chunks: 12 * 4**order (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
