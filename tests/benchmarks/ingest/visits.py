"""``python tests/benchmarks/ingest/visits.py``: visits of one night, appended one after the other. Nothing is asserted.

A visit is 40,000 DiaSource, 80,000 DiaForcedSource, and the next versions of 40,000 DiaObject, in a field of 3.5 degrees, all on
both of two nodes. Fields lie beside each other, and come again; their objects are there before. Segments are merged meanwhile, as
ever; visits follow each other without a pause, so merges have less time than in a night, where one comes each 37 s (``--every``).

The last of many visits are compared with visits 5 to 24 of another cluster, which take turns with them: what disturbs the machine
disturbs both alike.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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
from qserv.cluster import METADATA_DATABASE, Role, Secrets  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from qserv.supervisor.services import czar_services, ingest_services, worker_services  # noqa: E402
from qserv.supervisor.supervisor import embedded_cluster  # noqa: E402

GOAL_S = 10.0

FIRST, COMPARED = 4, 20
"""So many visits are compared, those of the new cluster after the first ones."""

MOST_GROWTH = 1.1
"""Ratio of these that counts as none: the same visit, done twice, differs by more."""

SEGMENTS = """
    SELECT name, array_agg(count) FROM (
        SELECT name, chunk, greatest(count(segment) FILTER (WHERE replaced IS NULL), 1) AS count
        FROM tables JOIN chunks USING (table_id) LEFT JOIN segments USING (table_id, chunk)
        WHERE database = 'night' GROUP BY name, chunk) AS counted
    GROUP BY name ORDER BY name"""

UNUSED = "SELECT count(*) FROM segments WHERE replaced IS NOT NULL"

MERGED = "segments are merged"
"""In the log of the ingest service."""

progress = Console(stderr=True)


class Visit(NamedTuple):
    """What a visit took.

    Attributes
    ----------
    seconds
        From its first file until its rows are seen.
    cpu_s
        Processor time of all processes of the cluster since the end of the visit before: merges are in it.
    """

    seconds: float
    cpu_s: float


class Archive:
    """A cluster that runs until ``stack`` ends, and has the objects of all fields. Visits begin so far apart, or farther."""

    def __init__(self, stack: ExitStack, night: Night, every_s: float) -> None:
        services = lambda found: worker_services(found) + czar_services(found) + ingest_services(found)  # noqa: E731 (an argument)
        settings = Settings(home=night.home / "cluster", nodes=2, tap_port=0)
        self._cluster = stack.enter_context(embedded_cluster(settings, services=services))
        self._ingest = stack.enter_context(Ingest.of_home(settings.home))
        self._czar = stack.enter_context(Czar.of_home(settings.home))
        self._night, self._number = night, 0
        self._every_s, self._due = every_s, time.monotonic()
        _begin(self._ingest, night)
        self._spent_s = self._cpu_s()

    def visit(self) -> Visit:
        """Append the next visit."""
        self._number += 1
        name, files = f"visit-{self._number}", self._night.visit(self._number)
        time.sleep(max(self._due - time.monotonic(), 0))
        started = time.monotonic()
        self._due = started + self._every_s
        self._ingest.begin(name, TransactionRequest(append_to=DATABASE))
        _send(self._ingest, name, files)
        seen = self._czar.query("SELECT COUNT(*) AS n FROM night.DiaSource")["n"][0].as_py()
        seconds, before_s = time.monotonic() - started, self._spent_s
        if seen != self._number * self._night.rows["DiaSource"]:
            msg = f"{name}: {seen} rows of DiaSource are seen"
            raise SystemExit(msg)
        self._spent_s = self._cpu_s()
        progress.print(f"{name}: {seconds:.2f} s, processor time {self._spent_s - before_s:.2f} s")
        return Visit(seconds, self._spent_s - before_s)

    def left(self) -> tuple[list[Result], list[str]]:
        """Return how many segments the chunks have, and what was merged."""
        home = self._cluster.home
        with psycopg.connect(self._cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, Secrets.load(home))) as session:
            segments = session.execute(SEGMENTS).fetchall()
            (unused,) = session.execute(UNUSED).fetchone()
        lines = [line for line in (home / "logs" / "ingest.log").read_text().splitlines() if MERGED in line]
        chunks = sum(json.loads(line)["chunks"] for line in lines)
        facts = [f"{len(lines)} merges of {chunks:,} chunks meanwhile", f"{unused:,} segments of chunks to be dropped at the end"]
        return [
            Result(f"segments of a chunk of {table} at the end", "", Sample(tuple(counts)), note=f"at most {max(counts)}")
            for table, counts in segments
        ], facts

    def _cpu_s(self) -> float:
        return sum(cpu_by_service(self._cluster.home).values())


def main() -> int:
    """Append visits, and print how long they took, as markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory, ExitStack() as stack:
        night = Night.scaled(Path(directory) / "night", options.scale)
        archive = Archive(stack, night, options.every)
        pairs = COMPARED if options.visits >= FIRST + 2 * COMPARED else 0
        visits = [archive.visit() for _ in range(options.visits - pairs)]
        compared = []
        if pairs:
            new = Archive(stack, Night.scaled(Path(directory) / "new", options.scale), options.every)
            for _ in range(FIRST):
                new.visit()
            for _ in range(pairs):
                visits.append(archive.visit())
                compared.append((visits[-1], new.visit()))
        left, facts = archive.left()
    results = [_visit([visit.seconds for visit in visits], full_size=options.scale == 1), *_parts(visits), *left]
    if compared:
        results += [_growth("time", compared, 0), _growth("processor time, with merges,", compared, 1)]
    pace = f"one every {options.every:g} s or later" if options.every else "without a pause"
    title = f"{options.visits} visits of {sum(night.rows.values()):,} rows, {pace}, 2 nodes, R = 2"
    text = as_markdown(results, title, [load_of_machine(), *facts])
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _visit(seconds: Sequence[float], *, full_size: bool) -> Result:
    what, sample = "a visit, from its first file to visible", Sample(tuple(seconds))
    if not full_size:
        return Result(what, "s", sample, note=f"at most {max(seconds):.1f} s")
    return Result(what, "s", sample, goal=f"< {GOAL_S:.0f} s", reached=max(seconds) < GOAL_S)


def _parts(visits: Sequence[Visit]) -> list[Result]:
    """Return time and processor time of each fifth of the visits."""
    part = max(len(visits) // 5, 1)
    found = []
    for start in range(0, len(visits), part):
        some = visits[start : start + part]
        of_part = f"visits {start + 1} to {start + len(some)}"
        found.append(Result(of_part, "s", Sample(tuple(visit.seconds for visit in some))))
        found.append(Result(f"{of_part}: processor time, with merges", "s", Sample(tuple(visit.cpu_s for visit in some))))
    return found


def _growth(what: str, compared: Sequence[tuple[Visit, Visit]], field: int) -> Result:
    """Compare the last visits with those of the new cluster.

    The goal is reached where all of the interval is below `MOST_GROWTH`, and missed where all of it is above: between, it cannot be
    told from these visits.
    """
    values = np.array([[late[field], early[field]] for late, early in compared])
    drawn = values[np.random.default_rng(1).integers(0, len(values), (10_000, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    reached = True if high < MOST_GROWTH else False if low > MOST_GROWTH else None
    late, early = values.mean(axis=0)
    subject = f"{what} of the last {COMPARED} visits, compared with visits {FIRST + 1} to {FIRST + COMPARED} of a new cluster"
    note = f"{late:.2f} s and {early:.2f} s in the mean; 95 % of such samples: {low:.2f} to {high:.2f}"
    return Result(subject, "", Sample((float(late / early),)), goal=f"1 (below {MOST_GROWTH})", reached=reached, note=note)


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
    parser.add_argument("--every", type=float, default=0.0, help="seconds from one to the next, at the least (default: no pause)")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
