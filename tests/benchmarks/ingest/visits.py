"""``python tests/benchmarks/ingest/visits.py``: visits of one night, appended one after the other. Nothing is asserted.

A visit is 40,000 DiaSource, 80,000 DiaForcedSource, and the next versions of 40,000 DiaObject, in a field of 3.5 degrees, all on
both of two nodes. Fields lie beside each other, and come again; their objects are there before.
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

from czar.service.client import Czar  # noqa: E402
from ingest.service.client import Ingest  # noqa: E402
from ingest.service.models import ContributionRequest, TransactionRequest  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from qserv.supervisor.services import czar_services, ingest_services, worker_services  # noqa: E402
from qserv.supervisor.supervisor import embedded_cluster  # noqa: E402

ROWS = {"DiaObject": 40_000, "DiaSource": 40_000, "DiaForcedSource": 80_000}

GOAL_S = 10.0

FIELDS = 8
"""In a row along the equator; the next visit is of the next one."""

RADIUS_DEG = 1.75

SCATTER_DEG = 0.1 / 3600
"""Of the position of an object from one visit to the next."""

FLOATS = 24
"""Further columns of each table."""

progress = Console(stderr=True)


def main() -> int:
    """Append visits, and print how long they took, as markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory:
        taken = _visits(options.visits, Path(directory))
    part = max(len(taken) // 5, 1)
    results = [
        Result(
            "a visit, from its first file to visible",
            "s",
            Sample(tuple(taken)),
            goal=f"< {GOAL_S:.0f} s",
            reached=max(taken) < GOAL_S,
        ),
        *(
            Result(f"visits {start + 1} to {min(start + part, len(taken))}", "s", Sample(tuple(taken[start : start + part])))
            for start in range(0, len(taken), part)
        ),
    ]
    text = as_markdown(results, f"{options.visits} visits of {sum(ROWS.values()):,} rows, 2 nodes, R = 2", [load_of_machine()])
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _visits(count: int, home: Path) -> list[float]:
    services = lambda found: worker_services(found) + czar_services(found) + ingest_services(found)  # noqa: E731 (an argument)
    taken = []
    settings = Settings(home=home / "cluster", nodes=2, tap_port=0)
    with ExitStack() as stack:
        cluster = stack.enter_context(embedded_cluster(settings, services=services))
        ingest, czar = stack.enter_context(Ingest.of_home(cluster.home)), stack.enter_context(Czar.of_home(cluster.home))
        _begin(ingest, home)
        for number in range(1, count + 1):
            files = _write(number, home)
            started = time.monotonic()
            _append(ingest, f"visit-{number}", files)
            seen = czar.query("SELECT COUNT(*) AS n FROM night.DiaSource")["n"][0].as_py()
            taken.append(time.monotonic() - started)
            if seen != number * ROWS["DiaSource"]:
                msg = f"visit {number}: {seen} rows of DiaSource are seen"
                raise SystemExit(msg)
            progress.print(f"visit {number}: {taken[-1]:.1f} s")
    return taken


def _begin(ingest: Ingest, home: Path) -> None:
    """Load the objects of all fields as a catalogue."""
    columns = "".join(f'\n  - {{name: f{number}, "@id": "#TABLE.f{number}", datatype: float}}' for number in range(FLOATS))
    tables = []
    for table, key in (("DiaObject", "diaObjectId"), ("DiaSource", "diaSourceId"), ("DiaForcedSource", "diaForcedSourceId")):
        text = f'- name: {table}\n  "@id": "#{table}"\n  primaryKey: "#{table}.{key}"\n  columns:'
        names = [key] if table == "DiaObject" else [key, "diaObjectId"]
        meta = ', "ivoa:ucd": meta.id;meta.main' if table == "DiaObject" else ""
        text += "".join(
            f'\n  - {{name: {name}, "@id": "#{table}.{name}", datatype: long, nullable: false{meta}}}' for name in names
        )
        if table == "DiaObject":
            begins, ends = (f'name: {name}, "@id": "#DiaObject.{name}", datatype: double' for name in ("begins", "ends"))
            text += f"\n  - {{{begins}, nullable: false}}\n  - {{{ends}}}"
        for name in ("ra", "dec"):
            declared = f'name: {name}, "@id": "#{table}.{name}", datatype: double, "ivoa:unit": deg'
            text += f'\n  - {{{declared}, "ivoa:ucd": pos.eq.{name};meta.main}}'
        tables.append(text + columns.replace("TABLE", table))
    (home / "night.yaml").write_text('name: night\n"@id": "#night"\ntables:\n' + "\n".join(tables) + "\n")
    frame = "frame: {system: ICRS, epoch: J2000}"
    (home / "night.partition.yaml").write_text(
        f"""family: night
overlap_deg: 0.0167
tables:
  DiaObject: {{role: director, ra: ra, dec: dec, director_key: diaObjectId, {frame},
    versions: {{start: begins, end: ends, history: DiaObjectHistory}}}}
  DiaSource: {{role: dependent, director: DiaObject, director_key: diaObjectId, ra: ra, dec: dec, {frame}}}
  DiaForcedSource: {{role: dependent, director: DiaObject, director_key: diaObjectId, ra: ra, dec: dec, {frame}}}
"""
    )
    ingest.begin("night-0", TransactionRequest(schema_file=str(home / "night.yaml"), chunk_order=6, replicas=2))
    for field in range(FIELDS):
        objects = _write(-FIELDS + field, home)["DiaObject"].rename(home / f"objects-{field}.parquet")
        ingest.send("night-0", f"field-{field}", ContributionRequest(table="DiaObject", source=str(objects)))
    _committed(ingest, "night-0")


def _append(ingest: Ingest, name: str, files: dict[str, Path]) -> None:
    ingest.begin(name, TransactionRequest(append_to="night"))
    _send(ingest, name, files)


def _send(ingest: Ingest, name: str, files: dict[str, Path]) -> None:
    for table, path in files.items():
        ingest.send(name, table, ContributionRequest(table=table, source=str(path)))
    _committed(ingest, name)


def _committed(ingest: Ingest, name: str) -> None:
    ingest.commit(name)
    load = ingest.finished(name)
    if load.error is not None:
        raise SystemExit(load.error.message)


def _write(number: int, home: Path) -> dict[str, Path]:
    """Write the rows of a visit, negative before the first one; return the files, those of the director first."""
    random, field = np.random.default_rng(number % 2**32), number % FIELDS
    objects, sky = ROWS["DiaObject"], np.random.default_rng(field)
    angle, distance = sky.uniform(0, 2 * np.pi, objects), RADIUS_DEG * np.sqrt(sky.random(objects))
    ra = (10 + 3 * field + distance * np.cos(angle) + random.normal(0, SCATTER_DEG, objects)) % 360
    dec = distance * np.sin(angle) + random.normal(0, SCATTER_DEG, objects)
    ids = np.arange(objects) + field * objects
    files = {}
    for table, rows in ROWS.items():
        own = np.arange(rows) % objects
        columns = {"diaObjectId": ids[own], "ra": ra[own], "dec": dec[own]}
        if table == "DiaObject":
            columns |= {"begins": np.full(rows, 60_000.0 + number), "ends": pa.nulls(rows, pa.float64())}
        else:
            columns = {f"{table[0].lower()}{table[1:]}Id": np.arange(rows) + number * rows, **columns}
        floats = {f"f{place}": random.normal(size=rows).astype(np.float32) for place in range(FLOATS)}
        files[table] = home / f"{table}-{number % 2}.parquet"
        pq.write_table(pa.table({**columns, **floats}), files[table])
    return files


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/ingest/visits.py", description="Measure appended visits.")
    parser.add_argument("--visits", type=int, default=50, help="how many (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
