"""``python tests/benchmarks/ingest/visits.py``: visits of one night, appended one after the other. Nothing is asserted.

A visit is 40,000 DiaSource, 80,000 DiaForcedSource, and the next versions of 40,000 DiaObject, in a field of 3.5 degrees, all on
both of two nodes. Fields lie beside each other, and come again; their objects are there before. Segments are merged meanwhile, as
ever; visits follow each other without a pause, so merges have less time than in a night.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "engine"), str(HERE.parents[2])]

import numpy as np  # noqa: E402 (the path is set above)
import psycopg  # noqa: E402
from markdown_table import as_markdown  # noqa: E402
from measurement import Result, Sample  # noqa: E402
from night import DATABASE, FIELDS, Night  # noqa: E402
from processes import cpu_by_service  # noqa: E402
from report import load_of_machine  # noqa: E402
from rich.console import Console  # noqa: E402

from czar.service.client import Czar  # noqa: E402
from ingest.service.client import Ingest  # noqa: E402
from ingest.service.models import ContributionRequest, TransactionRequest  # noqa: E402
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from qserv.supervisor.services import czar_services, ingest_services, worker_services  # noqa: E402
from qserv.supervisor.supervisor import embedded_cluster  # noqa: E402

GOAL_S = 10.0

FIRST, COMPARED = 4, 20
"""The last visits are compared with as many after the first ones."""

MOST_GROWTH = 1.1
"""Ratio of these that counts as none: quick repetitions of a visit differ by more."""

SEGMENTS = """
    SELECT name, array_agg(count) FROM (
        SELECT name, chunk, greatest(count(segment) FILTER (WHERE replaced IS NULL), 1) AS count
        FROM tables JOIN chunks USING (table_id) LEFT JOIN segments USING (table_id, chunk)
        WHERE database = 'night' GROUP BY name, chunk) AS counted
    GROUP BY name ORDER BY name"""

UNUSED = "SELECT count(*) FROM segments WHERE replaced IS NOT NULL"

MERGED = re.compile(r"segments are merged\W.*\bchunks=\W*(\d+)")

progress = Console(stderr=True)


@dataclass(frozen=True)
class Visits:
    """What visits took, one value each, and what they left.

    Attributes
    ----------
    seconds
        From the first file of a visit until its rows are seen.
    cpu_s
        Processor time of all processes of the cluster, until the next visit: merges are in it.
    segments
        Of each chunk, by table.
    """

    seconds: list[float]
    cpu_s: list[float]
    segments: dict[str, list[int]]
    facts: list[str]


def main() -> int:
    """Append visits, and print how long they took, as markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory:
        night = Night.scaled(Path(directory), options.scale)
        visits = _visits(options.visits, night)
    results = [_visit(visits.seconds, full_size=options.scale == 1), *_parts(visits)]
    results += [*_growth("time", visits.seconds), *_growth("processor time", visits.cpu_s)]
    title = f"{options.visits} visits of {sum(night.rows.values()):,} rows, 2 nodes, R = 2"
    text = as_markdown(results, title, [load_of_machine(), *visits.facts])
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _visit(seconds: Sequence[float], *, full_size: bool) -> Result:
    what, sample = "a visit, from its first file to visible", Sample(tuple(seconds))
    if not full_size:
        return Result(what, "s", sample, note=f"at most {max(seconds):.1f} s")
    return Result(what, "s", sample, goal=f"< {GOAL_S:.0f} s", reached=max(seconds) < GOAL_S)


def _parts(visits: Visits) -> list[Result]:
    """Return time and processor time of each fifth of the visits, and the segments that are left."""
    count = len(visits.seconds)
    part = max(count // 5, 1)
    found = []
    for start in range(0, count, part):
        which = slice(start, min(start + part, count))
        of_part = f"visits {start + 1} to {which.stop}"
        found.append(Result(of_part, "s", Sample(tuple(visits.seconds[which]))))
        found.append(Result(f"{of_part}: processor time, with merges", "s", Sample(tuple(visits.cpu_s[which]))))
    return found + [
        Result(f"segments of a chunk of {table} at the end", "", Sample(tuple(counts)), note=f"at most {max(counts)}")
        for table, counts in visits.segments.items()
    ]


def _growth(what: str, values: Sequence[float]) -> list[Result]:
    """Compare the last visits with those after the first ones; nothing where there are too few.

    The goal is reached where all of the interval is below `MOST_GROWTH`, and missed where all of it is above: between, it cannot be
    told from these visits.
    """
    if len(values) < FIRST + 2 * COMPARED:
        return []
    early, late = np.array(values[FIRST : FIRST + COMPARED]), np.array(values[-COMPARED:])
    random = np.random.default_rng(1)
    drawn = [random.choice(each, (10_000, COMPARED)).mean(axis=1) for each in (late, early)]
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    reached = True if high < MOST_GROWTH else False if low > MOST_GROWTH else None
    subject = f"{what} of the last {COMPARED} visits, compared with visits {FIRST + 1} to {FIRST + COMPARED}"
    ratio = float(late.mean() / early.mean())
    note = f"{late.mean():.3f} s and {early.mean():.3f} s in the mean; 95 % of such samples: {low:.2f} to {high:.2f}"
    return [Result(subject, "", Sample((ratio,)), goal=f"1 (below {MOST_GROWTH})", reached=reached, note=note)]


def _visits(count: int, night: Night) -> Visits:
    services = lambda found: worker_services(found) + czar_services(found) + ingest_services(found)  # noqa: E731 (an argument)
    home, seconds = night.home / "cluster", []
    settings = Settings(home=home, nodes=2, tap_port=0)
    with ExitStack() as stack:
        cluster = stack.enter_context(embedded_cluster(settings, services=services))
        ingest, czar = stack.enter_context(Ingest.of_home(cluster.home)), stack.enter_context(Czar.of_home(cluster.home))
        _begin(ingest, night)
        spent_s = [_cpu_s(home)]
        for number in range(1, count + 1):
            files = night.visit(number)
            started = time.monotonic()
            ingest.begin(f"visit-{number}", TransactionRequest(append_to=DATABASE))
            _send(ingest, f"visit-{number}", files)
            seen = czar.query("SELECT COUNT(*) AS n FROM night.DiaSource")["n"][0].as_py()
            seconds.append(time.monotonic() - started)
            spent_s.append(_cpu_s(home))
            if seen != number * night.rows["DiaSource"]:
                msg = f"visit {number}: {seen} rows of DiaSource are seen"
                raise SystemExit(msg)
            progress.print(f"visit {number}: {seconds[-1]:.2f} s, processor time {spent_s[-1] - spent_s[-2]:.2f} s")
        segments, facts = _left(cluster)
    return Visits(seconds, np.diff(spent_s).tolist(), segments, facts)


def _cpu_s(home: Path) -> float:
    return sum(cpu_by_service(home).values())


def _left(cluster: Cluster) -> tuple[dict[str, list[int]], list[str]]:
    """Return how many segments each chunk has, by table, and what was merged."""
    conninfo = cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, Secrets.load(cluster.home))
    with psycopg.connect(conninfo) as session:
        segments = dict(session.execute(SEGMENTS).fetchall())
        (unused,) = session.execute(UNUSED).fetchone()
    merged = [int(match[1]) for match in MERGED.finditer((cluster.home / "logs" / "ingest.log").read_text())]
    facts = [f"{len(merged)} merges of {sum(merged):,} chunks meanwhile", f"{unused:,} segments of chunks to be dropped at the end"]
    return segments, facts


def _begin(ingest: Ingest, night: Night) -> None:
    """Load the objects of all fields as a catalogue."""
    ingest.begin("night-0", TransactionRequest(schema_file=str(night.declare()), chunk_order=6, replicas=2))
    for field in range(FIELDS):
        request = ContributionRequest(table="DiaObject", source=str(night.objects(field)))
        ingest.send("night-0", f"field-{field}", request)
    _committed(ingest, "night-0")


def _send(ingest: Ingest, name: str, files: dict[str, Path]) -> None:
    for table, path in files.items():
        ingest.send(name, table, ContributionRequest(table=table, source=str(path)))
    _committed(ingest, name)


def _committed(ingest: Ingest, name: str) -> None:
    ingest.commit(name)
    load = ingest.finished(name)
    if load.error is not None:
        raise SystemExit(load.error.message)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/ingest/visits.py", description="Measure appended visits.")
    parser.add_argument("--visits", type=int, default=50, help="how many (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the rows of a visit, such as 0.05 (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
