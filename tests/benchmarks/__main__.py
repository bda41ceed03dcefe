"""``python tests/benchmarks``: how fast the archive is, as ratios to one plain PostgreSQL in the same run. Nothing is asserted."""

import argparse
import sys
import tempfile
from pathlib import Path

from anatomy import dissect
from archive import running_archive
from catalogues import BIGSKY, Bigsky
from downloads import download
from loading import load, load_generated
from lookups import centres_of, look_up
from many_tables import many_tables
from measurement import Result
from plain import plain_postgres
from report import load_of_machine, show
from rich.console import Console
from scans import scan

PARTS = ("loading", "lookups", "scans", "downloads")
"""What is measured. Loading is always done once: the rest asks the rows that it loads."""

progress = Console(stderr=True)


def main() -> int:
    """Measure, and print the table."""
    options = _options()
    if not options.bigsky.exists():
        progress.print(f"skipped: {options.bigsky} is not there, and rows that are not real tell nothing; name it with --bigsky")
        return 0
    bigsky = Bigsky.at(options.bigsky)
    with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory:
        results = _measure(options, bigsky, Path(directory))
    show(results, f"Archive of 3 nodes against one plain PostgreSQL ({load_of_machine()}, seed {options.seed})")
    return 0


def _measure(options: argparse.Namespace, bigsky: Bigsky, homes: Path) -> list[Result]:
    results: list[Result] = []
    parts = options.only or PARTS
    with (
        plain_postgres(homes / "plain", bigsky.database.name, bigsky.table) as plain,
        running_archive(homes / "archive") as archive,
    ):
        progress.print("loading")
        results += load(archive, plain, bigsky, options.repeat if "loading" in parts else 1)
        if "lookups" in parts:
            progress.print("lookups")
            results += look_up(archive, plain, bigsky, options.questions, options.seed)
            centres = centres_of(bigsky, min(options.questions, 100), options.seed)
            results += dissect(archive, f"{bigsky.database.name}.{bigsky.table.name}", centres)
        if "scans" in parts:
            progress.print("scans")
            results += scan(archive, plain, bigsky, 5 * options.repeat)
        if "downloads" in parts:
            progress.print("downloads")
            results += download(archive, plain, bigsky, options.repeat)
        if options.many_tables:
            progress.print(f"{options.many_tables:,} tables")
            results += many_tables(plain, bigsky.table, options.many_tables)
        if options.full:
            progress.print(f"{options.rows:,} generated rows")
            results += load_generated(archive, bigsky, options.rows, options.seed)
    return results


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description="Measure the archive against plain PostgreSQL.")
    parser.add_argument("--bigsky", type=Path, default=BIGSKY, help="Parquet file of the catalogue (default: %(default)s)")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="what to measure (default: all)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of long work; scans five times as many")
    parser.add_argument("--questions", type=int, default=200, help="cones and keys that are asked")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chosen at random")
    parser.add_argument("--full", action="store_true", help="also load a large generated file (minutes)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of that file")
    parser.add_argument("--many-tables", type=int, default=0, metavar="N", help="also make N empty chunk tables on one server")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
