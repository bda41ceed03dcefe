"""``python tests/benchmarks/ingest/costs.py --costs FILE``: what a row costs, for ``projection.py``. Nothing is asserted.

Object of the synthetic survey, and a narrow ForcedSource of ten columns whose rows come object by object, are sent as a file each
into a transaction of their own. Reading is what happens until the file is taken, building what the commit does.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "engine"), str(HERE.parents[2])]

import numpy as np  # noqa: E402 (the path is set above)
import psycopg  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import yaml  # noqa: E402
from costs_file import write_costs  # noqa: E402
from processes import Spent  # noqa: E402
from rich.console import Console  # noqa: E402

from ingest.service.client import Ingest  # noqa: E402
from ingest.service.models import WAITING, ContributionRequest, TransactionRequest  # noqa: E402
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Cluster, Role, Secrets  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from qserv.supervisor.services import ingest_services, worker_services  # noqa: E402
from qserv.supervisor.supervisor import embedded_cluster  # noqa: E402
from schema.felis import read_database  # noqa: E402
from tests.support import objects  # noqa: E402
from tests.support.sky import FELIS, Survey  # noqa: E402

DATABASE, OBJECT, FORCED = "survey", "object", "forced"

REPLICAS = (1, 2)

VISITS = 50
"""Rows of ForcedSource an object: several times as many in life, and a look-up of keys for fewer of them."""

FORCED_COLUMNS = {
    "object_id": "long",
    "visit": "int",
    "detector": "short",
    **dict.fromkeys(("ra", "dec"), "double"),
    **dict.fromkeys(("flux", "flux_err", "diff_flux", "diff_flux_err"), "float"),
    "flags": "int",
}

progress = Console(stderr=True)


@dataclass(frozen=True)
class Stage:
    """What a stage took: s, and processor time in s."""

    seconds: float
    spent: Spent


@dataclass(frozen=True)
class Loaded:
    """What a load took, and what was on the disks of all nodes together: runs, then tables with their indexes."""

    reading: Stage
    building: Stage
    run_bytes: int
    table_bytes: int


class Archive:
    """A running cluster, and its client."""

    def __init__(self, cluster: Cluster, ingest: Ingest, schema: Path) -> None:
        self._cluster, self._ingest, self._schema = cluster, ingest, schema
        self._secrets = Secrets.load(cluster.home)

    def load(self, table: str, path: Path, replicas: int) -> Loaded:
        """Load a file as a table."""
        name = f"{table}-{replicas}-{time.monotonic_ns()}"
        positions = {OBJECT: (str(path),)} if table == OBJECT else {}
        request = TransactionRequest(schema_file=str(self._schema), tables=(table,), positions=positions, replicas=replicas)
        reading = self._measured(lambda: self._read(name, table, path, request))
        run_bytes = sum(file.stat().st_size for file in self._cluster.home.rglob("*.arrow"))
        building = self._measured(lambda: self._commit(name))
        progress.print(f"{name}: reading {reading.seconds:.1f} s, building {building.seconds:.1f} s")
        sizes = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND relname LIKE %s"
        found = [
            self._asked(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, self._secrets), sizes, f"{table}\\_%")
            for node in self._cluster.nodes
        ]
        return Loaded(reading, building, run_bytes, sum(found))

    def index_bytes(self) -> int:
        """Return the size of the director index."""
        conninfo = self._cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, self._secrets)
        return self._asked(conninfo, "SELECT pg_total_relation_size(%s)", f'director_index."{DATABASE}.{OBJECT}"')

    def drop(self) -> None:
        """Delete all tables."""
        self._ingest.drop(DATABASE)

    def _measured(self, work: Callable[[], None]) -> Stage:
        before, started = Spent.of(self._cluster.home), time.monotonic()
        work()
        return Stage(time.monotonic() - started, Spent.of(self._cluster.home).since(before))

    def _read(self, name: str, table: str, path: Path, request: TransactionRequest) -> None:
        self._ingest.begin(name, request)
        self._ingest.send(name, table, ContributionRequest(table=table, source=str(path)))
        while (sent := self._ingest.contribution(name, table, 60)).state in WAITING:
            pass
        if sent.files[0].error is not None:
            raise SystemExit(sent.files[0].error.message)

    def _commit(self, name: str) -> None:
        self._ingest.commit(name)
        load = self._ingest.finished(name)
        if load.error is not None:
            raise SystemExit(load.error.message)

    @staticmethod
    def _asked(conninfo: str, sql: str, *values: str) -> int:
        with psycopg.connect(conninfo) as session:
            return int(session.execute(sql, values).fetchone()[0])


def main() -> int:
    """Measure, and write the costs of rows into the file."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory, ExitStack() as stack:
        home = Path(directory)
        schema, files = _declared(home), _written(home, options.rows)
        services = lambda found: worker_services(found) + ingest_services(found)  # noqa: E731 (an argument)
        settings = Settings(home=home / "cluster", nodes=2, tap_port=0)
        cluster = stack.enter_context(embedded_cluster(settings, services=services))
        archive = Archive(cluster, stack.enter_context(Ingest.of_home(cluster.home)), schema)
        loads: dict[str, dict[int, list[Loaded]]] = {table: {replicas: [] for replicas in REPLICAS} for table in files}
        index_bytes = 0
        for _ in range(options.repeat):
            for replicas in REPLICAS:
                for table, path in files.items():  # that of the director first
                    loads[table][replicas].append(archive.load(table, path, replicas))
                index_bytes = archive.index_bytes()
                archive.drop()
        for table, path in files.items():
            file = pq.ParquetFile(path)
            facts = {"rows": file.metadata.num_rows, "columns": file.metadata.num_columns, "file_bytes": path.stat().st_size}
            facts |= {"index_bytes": index_bytes} if table == OBJECT else {}
            write_costs(options.costs, table, facts | {f"R{replicas}": _middle(of) for replicas, of in loads[table].items()})
    return 0


def _middle(loads: Sequence[Loaded]) -> dict[str, Any]:
    """Return the median of each number."""

    def middle(each: list[Any]) -> Any:
        if isinstance(each[0], dict):
            return {name: middle([one[name] for one in each]) for name in each[0]}
        return round(statistics.median(each), 3)

    return dict(middle([asdict(load) for load in loads]))


def _declared(home: Path) -> Path:
    """Write the schema: Object of the survey, and a narrow ForcedSource."""
    survey = yaml.safe_load(FELIS.read_text())
    columns = [{"name": name, "@id": f"#{FORCED}.{name}", "datatype": kind} for name, kind in FORCED_COLUMNS.items()]
    for column in columns:
        if column["name"] in {"ra", "dec"}:
            column |= {"ivoa:ucd": f"pos.eq.{column['name']};meta.main", "ivoa:unit": "deg"}
        if column["name"] in {"object_id", "visit"}:
            column["nullable"] = False
    key = [f"#{FORCED}.object_id", f"#{FORCED}.visit"]
    forced = {"name": FORCED, "@id": f"#{FORCED}", "primaryKey": key, "columns": columns}
    own = [table for table in survey["tables"] if table["name"] == OBJECT]
    path = home / FELIS.name
    path.write_text(yaml.safe_dump(survey | {"tables": [*own, forced]}, sort_keys=False))
    partition = yaml.safe_load(FELIS.with_name("survey.partition.yaml").read_text())
    roles = {"role": "dependent", "director": OBJECT, "director_key": "object_id", "ra": "ra", "dec": "dec"}
    tables = {OBJECT: partition["tables"][OBJECT], FORCED: roles | {"frame": partition["tables"][OBJECT]["frame"]}}
    path.with_name("survey.partition.yaml").write_text(yaml.safe_dump(partition | {"tables": tables}, sort_keys=False))
    read_database(path)
    return path


def _written(home: Path, rows: int) -> dict[str, Path]:
    """Write the files, by table."""
    survey, files = Survey(rows), {OBJECT: home / "object.parquet", FORCED: home / "forced.parquet"}
    survey.write(OBJECT, files[OBJECT])
    random, writer = np.random.default_rng(1), None
    block = 50_000 // VISITS
    for start in range(0, 4 * rows // VISITS, block):
        index = np.arange(start, start + block)
        count = block * VISITS
        ra, dec = (pa.array(np.repeat(each, VISITS), from_pandas=True) for each in survey.places.of(index))
        floats = {name: random.normal(size=count).astype(np.float32) for name, kind in FORCED_COLUMNS.items() if kind == "float"}
        found = {
            "object_id": np.repeat(objects.keys(index), VISITS),
            "visit": np.tile(np.arange(VISITS, dtype=np.int32), block),
            "detector": random.integers(0, 189, count, np.int16),
            "ra": ra,
            "dec": dec,
            **floats,
            "flags": random.integers(0, 2**12, count, np.int32),
        }
        batch = pa.table(found)
        writer = writer or pq.ParquetWriter(files[FORCED], batch.schema)
        writer.write_table(batch)
    if writer is not None:
        writer.close()
    return files


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/ingest/costs.py", description="Measure what a row costs.")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="of Object; four times as many of ForcedSource (default: %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, of which the middle counts (default: %(default)s)")
    parser.add_argument("--costs", type=Path, required=True, help="file of measured costs, such as docs/costs.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
