"""``python tests/benchmarks/engine``: the engine on a synthetic survey, as ratios to plain PostgreSQL. Nothing is asserted."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parents[2])]

from crowd import Memory, crowd  # noqa: E402 (the path is set above)
from czar_alone import NODES as SIMULATED  # noqa: E402
from czar_alone import SHAPES, Alone  # noqa: E402
from large_questions import large_questions, stream  # noqa: E402
from markdown_table import as_markdown  # noqa: E402
from measurement import Result, Sample  # noqa: E402
from near import near  # noqa: E402
from report import load_of_machine  # noqa: E402
from rich.console import Console  # noqa: E402
from sides import (  # noqa: E402
    NODES,
    PARALLEL_WORKERS,
    SERVERS,
    TABLES,
    Data,
    fill_plain,
    load_archive,
    running_archive,
    running_plain,
)
from small_questions import small_questions  # noqa: E402

from qserv.embedded.configuration import MIN_SHARED_BUFFERS_BYTES, SHARED_BUFFERS_SHARE  # noqa: E402
from qserv.embedded.machine import this_machine  # noqa: E402
from qserv.settings import Settings  # noqa: E402
from tests.support.sky import Survey  # noqa: E402

PARTS = ("alone", "small", "large", "near", "stream", "crowd")

ALONE_CHUNKS = (1_000, 10_000, 100_000, 200_000)
ALONE_GOAL_CHUNKS, ALONE_GOAL_S, ALONE_GOAL_BYTES = 100_000, 3.0, 10**9

NODE_MEMORY_SHARE = Settings.model_fields["memory_share"].default / SERVERS
"""Of the machine's memory, for each node: as it is installed. Plain PostgreSQL has as much as all nodes together."""

LIMITED_SHARE = 0.4
"""Of the size of the tables: what shared buffers and the file cache may hold together while ten scans run."""

progress = Console(stderr=True)


def main() -> int:
    """Measure, print the table as markdown, and write it to a file if one is named."""
    options = _options()
    started = time.monotonic()
    results: list[Result] = []
    facts: list[str] = [load_of_machine()]
    if "alone" in options.only:
        results += _alone(options.alone)
    if set(options.only) - {"alone"}:
        with tempfile.TemporaryDirectory(prefix="qserv-bench-") as directory:
            data = Data(Survey.scaled(options.scale), Path(directory), options.scale)
            results += _measure(data, options, facts)
    facts.append(f"{time.monotonic() - started:.0f} s in all")
    text = as_markdown(results, f"Query engine, SCALE={options.scale:g}, seed {options.seed}", facts)
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
    return 0


def _alone(sizes: list[int]) -> list[Result]:
    results = []
    for shape in SHAPES:
        for chunks in sizes:
            progress.print(f"czar alone: {shape} of {chunks:,} chunks")
            answer = subprocess.run(
                [sys.executable, HERE / "czar_alone.py", str(chunks), shape], capture_output=True, text=True, check=True
            ).stdout
            found = Alone(**json.loads(answer))
            is_goal = chunks == ALONE_GOAL_CHUNKS
            note = (
                f"plan {found.plan_s + found.parse_s:.2f} s, {1e6 * found.total_s / found.chunks:.0f} us a chunk,"
                f" processor {found.cpu_s:.2f} s;"
                f" peak {found.peak_bytes / 1e6:.0f} MB, of them {found.catalogue_bytes / 1e6:.0f} MB before the query"
            )
            results.append(
                Result(
                    f"czar alone: {shape} of {chunks:,} chunks, {SIMULATED} simulated workers",
                    "s",
                    Sample((found.total_s,)),
                    goal=f"< {ALONE_GOAL_S:g} s, < 1 GB" if is_goal else "",
                    reached=found.total_s < ALONE_GOAL_S and found.peak_bytes < ALONE_GOAL_BYTES if is_goal else None,
                    note=note,
                )
            )
    return results


def _measure(data: Data, options: argparse.Namespace, facts: list[str]) -> list[Result]:
    results: list[Result] = []
    plain_share = NODE_MEMORY_SHARE * NODES
    with running_archive(data, NODE_MEMORY_SHARE) as archive, running_plain(data, plain_share) as plain:
        files = {}
        for table in TABLES:
            files[table] = [data.home / f"{table}.parquet"]
            count = _told(f"{table} is made", lambda table=table: data.survey.write(table, files[table][0]))
            facts.append(f"{table}: {count:,} rows of {len(data.database.by_name[table].columns)} columns")
        _told("the archive is loaded", lambda: load_archive(archive, data, files))
        for (path,) in files.values():
            path.unlink()
        for table in TABLES:
            _told(f"plain PostgreSQL is filled with {table}", lambda table=table: fill_plain(plain, archive, data, table))
        facts.append(f"{len(archive.chunks('object'))} chunks; tables of {plain.size_bytes() / 1e6:,.0f} MB")
        facts += [
            f"archive: {_shown(archive.settings)}",
            f"plain PostgreSQL: {_shown(plain.settings)}, {PARALLEL_WORKERS} parallel workers",
        ]
        parts = {
            "small": lambda: small_questions(archive, plain, options.questions, options.seed),
            "large": lambda: large_questions(archive, plain, options.repeat),
            "near": lambda: near(archive, plain, data, plain_share, options.repeat),
            "stream": lambda: stream(archive, plain, options.repeat),
        }
        for name, part in parts.items():
            if name in options.only:
                results += _told(name, part)
        size_bytes = plain.size_bytes()
    if "crowd" in options.only:
        results += _told("crowd", lambda: crowd(data, _memory(size_bytes), options.seed))
    return results


def _memory(size_bytes: int) -> Memory:
    """Return what may be held of tables of some size: half of it by shared buffers, unless servers have a minimum that is more."""
    buffers_bytes = max(LIMITED_SHARE / 2 * size_bytes / NODES, MIN_SHARED_BUFFERS_BYTES)
    share = buffers_bytes / SHARED_BUFFERS_SHARE / this_machine().memory_bytes
    return Memory(share, NODES * share, round(LIMITED_SHARE / 2 * size_bytes))


def _told(what: str, work):
    started = time.monotonic()
    found = work()
    progress.print(f"{what} ({time.monotonic() - started:.0f} s)")
    return found


def _shown(settings: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks/engine", description="Measure the query engine.")
    parser.add_argument("--scale", type=float, default=1.0, help="size: 1 is 5,000,000 objects, 20,000,000 sources")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--alone", nargs="*", type=int, default=ALONE_CHUNKS, metavar="CHUNKS", help="sizes for the czar alone")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of long work")
    parser.add_argument("--questions", type=int, default=100, help="keys and cones that are asked")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chosen at random")
    parser.add_argument("--write", type=Path, help="file for the table, in markdown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
