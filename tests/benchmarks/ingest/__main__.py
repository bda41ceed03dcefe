"""``python tests/benchmarks/ingest``: files to published tables, against a bare COPY of the same rows. Nothing is asserted."""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "engine"), str(HERE.parents[2])]

from bare import Bare, running_bare  # noqa: E402 (the path is set above)
from markdown_table import as_markdown  # noqa: E402
from measurement import Result, Sample, in_turn, seconds  # noqa: E402
from processes import MIB  # noqa: E402
from pyarrow import csv, parquet  # noqa: E402
from release import TABLE, Archive, Load, running_archive  # noqa: E402
from report import load_of_machine  # noqa: E402
from rich.console import Console  # noqa: E402

from tests.support.sky import Survey  # noqa: E402

MOST_MEMORY_MIB = 1000


@dataclass(frozen=True)
class Kind:
    """A kind of load: the file, replicas of each chunk, and the goal, the least ratio of rows/s to the bare COPY."""

    suffix: str
    replicas: int
    least: float


KINDS = {"parquet": Kind("parquet", 1, 0.7), "replicas": Kind("parquet", 2, 0.4), "csv": Kind("csv", 1, 0.5)}

progress = Console(stderr=True)


def main() -> int:
    """Measure, print the table as markdown, and write it to a file if one is named."""
    options = _options()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory:
        results, facts = _measure(options, Path(directory))
    facts = [load_of_machine(), *facts, f"{time.monotonic() - started:.0f} s in all"]
    text = as_markdown(results, f"Ingest of {options.rows:,} rows, 2 nodes, seed {options.seed}", facts)
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _measure(options: argparse.Namespace, home: Path) -> tuple[list[Result], list[str]]:
    path = home / f"{TABLE}.parquet"
    Survey(options.rows, options.seed).write(TABLE, path)
    if "csv" in options.only:
        _as_csv(path, path.with_suffix(".csv"))
    results = []
    with running_archive(home / "archive") as archive, running_bare(home / "bare") as bare:
        progress.print("a first load, for the bytes of the bare COPY")
        archive.load(path)
        bare.prepare(archive.chunks(), home / "rows.copy")
        facts = [f"{archive.columns} columns", f"{bare.size_bytes / 1e6:,.0f} MB as binary COPY"]
        for name in options.only:
            progress.print(name)
            kind = KINDS[name]
            results += _compare(archive, bare, path.with_suffix(f".{kind.suffix}"), kind, options)
    return results, facts


def _compare(archive: Archive, bare: Bare, path: Path, kind: Kind, options: argparse.Namespace) -> list[Result]:
    loads: list[Load] = []

    def ours() -> float:
        archive.drop()
        loads.append(archive.load(path, kind.replicas))
        return options.rows / loads[-1].seconds / 1000

    def theirs() -> float:
        bare.drop()
        return options.rows / seconds(bare.load) / 1000

    rates, plain = in_turn(options.repeat, ours, theirs)
    ratio = rates.median / plain.median
    what = f"{kind.suffix}, R = {kind.replicas}"
    peaks = {
        "the loading process": Sample(tuple(one.peak_bytes / MIB for one in loads)),
        "the larger worker": Sample(tuple(one.worker_bytes / MIB for one in loads)),
    }
    return [
        Result(f"{what}, file to published", "krow/s", rates, plain, ratio, f"ratio >= {kind.least}", ratio >= kind.least),
        *(
            Result(
                f"{what}: memory of {whose}",
                "MiB",
                peak,
                goal=f"< {MOST_MEMORY_MIB} MiB",
                reached=max(peak.values) < MOST_MEMORY_MIB,
            )
            for whose, peak in peaks.items()
        ),
    ]


def _as_csv(source: Path, path: Path) -> None:
    file = parquet.ParquetFile(source)
    with csv.CSVWriter(path, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/ingest", description="Measure loads of a release.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of Object, of 60 columns and more (default: %(default)s)")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS), help="what to measure (default: all)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions")
    parser.add_argument("--seed", type=int, default=1, help="of the rows")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
