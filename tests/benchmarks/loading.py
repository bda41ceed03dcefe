"""Loading: a file to published tables, against a bare COPY of the same rows, ready encoded, into one table and its indexes."""

import tempfile
from pathlib import Path

from archive import Archive
from catalogues import Bigsky, generate
from measurement import Result, Sample, in_turn, seconds
from plain import Plain, prepare
from processes import MIB, Peak

LEAST_RATIO = 0.5
MOST_MEMORY_MIB = 1000
"""Goals: rows/s against the bare COPY; memory of a load whatever the file's size."""


def load(archive: Archive, plain: Plain, bigsky: Bigsky, repetitions: int) -> list[Result]:
    """Load bigsky into both, in turn; both hold it afterwards."""
    prepared = prepare(bigsky.database, bigsky.table, bigsky.path)
    loads: list[Peak] = []

    def ours() -> float:
        archive.drop(bigsky.database, bigsky.table.name)
        ended, spent = archive.ingest(bigsky.schema, bigsky.table.name, bigsky.path)
        loads.append(ended)
        return prepared.rows / spent / 1000

    def theirs() -> float:
        plain.drop()
        return prepared.rows / seconds(lambda: plain.load(prepared)) / 1000

    rates, bare = in_turn(repetitions, ours, theirs)
    plain.analyse()
    ratio = rates.median / bare.median
    return [
        Result(
            "ingest of bigsky, file to published",
            "krow/s",
            rates,
            bare,
            ratio,
            f"ratio >= {LEAST_RATIO}",
            ratio >= LEAST_RATIO,
            f"{prepared.rows:,} rows to 3 nodes; plain: COPY BINARY of prepared bytes, and the same indexes",
        ),
        _memory("memory of that ingest", loads),
        Result("processor time of that ingest", "s", Sample(tuple(one.cpu_s for one in loads)), note="the ingest service alone"),
    ]


def load_generated(archive: Archive, bigsky: Bigsky, rows: int, seed: int) -> list[Result]:
    """Load a generated file once, in place of bigsky."""
    with tempfile.TemporaryDirectory(prefix="qserv-bench-", dir=archive.settings.home) as directory:
        path = Path(directory) / "generated.parquet"
        generate(path, bigsky.path, rows, seed)
        archive.drop(bigsky.database, bigsky.table.name)
        ended, spent = archive.ingest(bigsky.schema, bigsky.table.name, path)
    return [
        Result(f"ingest of {rows:,} generated rows", "krow/s", Sample((rows / spent / 1000,)), note=f"seed {seed}"),
        _memory("memory of that ingest", [ended]),
    ]


def _memory(subject: str, loads: list[Peak]) -> Result:
    peaks = Sample(tuple(one.peak_bytes / MIB for one in loads))
    goal = f"< {MOST_MEMORY_MIB} MiB"
    return Result(
        subject, "MiB", peaks, goal=goal, reached=max(peaks.values) < MOST_MEMORY_MIB, note="peak resident, ingest service"
    )
