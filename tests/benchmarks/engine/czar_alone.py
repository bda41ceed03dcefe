"""The czar alone: what it costs to plan and dispatch a scan of many chunks, on simulated workers that answer at once.

``python tests/benchmarks/engine/czar_alone.py CHUNKS SHAPE`` measures one size, and prints it as JSON: in a process of its own,
because its peak of memory counts.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from czar.analyse import named
from czar.catalogue import Catalogue, ColumnStatistics, TableEntry
from czar.merge import Merger
from czar.parse import parse
from czar.running import Engine, Run
from partitioner.chunkmap import ChunkMap
from qserv.ids import NodeId
from qserv.serving import rare_collections
from qserv.settings import Settings
from schema.felis import read_database
from schema.model import ColumnType, Database
from workers.protocol import BatchMark, ChunkQuery

FELIS = Path(__file__).parents[2] / "support" / "survey.yaml"

NODES, REPLICAS = 450, 2
"""As large as the project's goal asks for; every chunk on two of the nodes."""

GROUPED_CHUNKS = 64
"""Chunks that a worker asks in one statement where answers are small; they end together (`workers.grouping.MOST_CHUNKS`)."""

ROWS_A_CHUNK = 50_000
"""Of the table that is pretended: 5,000,000,000 in 100,000 chunks."""

SHAPES = {
    "scan": "SELECT object_id, ra, dec, g_flux FROM survey.object WHERE r_flux > 1000 AND magnitude < 26",
    "aggregate": "SELECT field, COUNT(*) AS n, MAX(magnitude) AS faintest FROM survey.object WHERE r_flux > 1000 GROUP BY field",
}
"""Rows that pass through as they are; partial aggregates that are combined."""

ANSWERS = {
    "scan": pa.record_batch(
        {"c0": pa.array([1]), "c1": pa.array([10.0]), "c2": pa.array([-5.0]), "c3": pa.array([1.5], pa.float32())},
    ),
    "aggregate": pa.record_batch({"k0": pa.array([1, 2], pa.int16()), "a0": pa.array([5, 6]), "a1": pa.array([1.0, 2.0])}),
}
"""What each chunk answers."""


@dataclass(frozen=True)
class Alone:
    """One run: seconds of its parts, bytes of memory."""

    chunks: int
    parse_s: float
    plan_s: float
    dispatch_s: float
    cpu_s: float
    """Processor time of all parts together."""
    catalogue_bytes: int
    """Resident memory with the catalogue, before the query."""
    peak_bytes: int
    """Most resident memory of the whole process."""

    @property
    def total_s(self) -> float:
        """From text to last row."""
        return self.parse_s + self.plan_s + self.dispatch_s


class Worker:
    """A node that answers at once. The czar's part is done as for real nodes: tickets are encoded and marks are decoded."""

    def __init__(self, batch: pa.RecordBatch, grouped: int) -> None:
        self._batch, self._grouped = batch, grouped

    @contextmanager
    def query(self, query: ChunkQuery) -> Iterator["Answer"]:
        """Answer every task of a chunk query."""
        query.encode()
        tasks = tuple(task.chunk for task in query.tasks)
        yield Answer([tasks[start : start + self._grouped] for start in range(0, len(tasks), self._grouped)], self._batch)

    def cancel(self, _query_id: str) -> int:
        """Stop nothing: nothing runs."""
        return 0


class Answer:
    """One batch a statement, with its mark."""

    def __init__(self, groups: list[tuple[int, ...]], batch: pa.RecordBatch) -> None:
        self._groups, self._batch = groups, batch
        self.schema = batch.schema

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, BatchMark]]:
        for chunks in self._groups:
            yield self._batch, BatchMark.decode(BatchMark(chunks, end=True).encode())

    def close(self) -> None:
        """Stop nothing."""


def chunk_map_of(chunks: int) -> ChunkMap:
    """Return a map of about so many chunks, of two orders: some pixels of the coarser one are split in four."""
    order = 0
    while 12 * 4 ** (order + 1) <= chunks:
        order += 1
    whole = ChunkMap.uniform(order).ipix
    split = (chunks - len(whole)) // 3
    finer = (4 * whole[:split, np.newaxis] + np.arange(4)).ravel()
    return ChunkMap.from_nuniq(np.concatenate((4 * 4 ** (order + 1) + finer, 4 * 4**order + whole[split:])))


def catalogue_of(chunks: int) -> Catalogue:
    """Return what a czar knows of table ``object`` on so many chunks: statistics of every column that has some."""
    database = read_database(FELIS)
    table = database.by_name["object"]
    chunk_map = chunk_map_of(chunks)
    numbers = np.sort(chunk_map.nuniq)
    count = len(numbers)
    random = np.random.default_rng(1)
    statistics = {
        column.name: _statistics(random, count, whole=column.datatype in {ColumnType.LONG, ColumnType.INT, ColumnType.SHORT})
        for column in table.columns
        if column.datatype not in {ColumnType.BOOLEAN, ColumnType.TIMESTAMP, ColumnType.UNICODE}
    }
    nodes = tuple(NodeId(f"node-{number}") for number in range(NODES))
    firsts = random.integers(0, NODES, count).tolist()
    replicas = {
        chunk: tuple(nodes[(first + copy) % NODES] for copy in range(REPLICAS))
        for chunk, first in zip(numbers.tolist(), firsts, strict=True)
    }
    rows = np.full(count, ROWS_A_CHUNK, dtype=np.int64)
    entry = TableEntry(database.name, database.family, table, numbers, rows, rows // 50, statistics)
    shown = Database(database.name, database.family, (table,), overlap_deg=database.overlap_deg)
    return Catalogue(1, (shown,), (entry,), {database.family: chunk_map}, {database.family: replicas}, nodes)


def _statistics(random: np.random.Generator, count: int, *, whole: bool) -> ColumnStatistics:
    low = random.integers(0, 1000, count) if whole else random.uniform(0, 20, count)
    none = np.zeros(count, dtype=np.bool_)
    return ColumnStatistics(low, low + 5000, ~none, np.zeros(count, dtype=np.int64), none)


async def run_alone(chunks: int, shape: str, repeat: int = 3) -> Alone:
    """Plan and dispatch a query over so many chunks, several times; return the fastest."""
    catalogue = catalogue_of(chunks)
    worker = Worker(ANSWERS[shape], GROUPED_CHUNKS if shape == "aggregate" else 1)
    best: Alone | None = None
    before = _own_bytes("VmRSS")
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(4) as threads:
        merger = Merger(1_000_000_000, 250_000_000, 1_000_000_000, directory)
        workers = dict.fromkeys(catalogue.nodes, worker)
        engine = Engine(workers, merger, None, None, Settings(home=Path(directory)), threads, _nothing_to_locate)  # type: ignore[arg-type]  # no scratch
        for _ in range(repeat):
            times, cpu_s = [time.perf_counter()], time.process_time()
            query = named(parse(SHAPES[shape], "native"), catalogue, SHAPES[shape])
            times.append(time.perf_counter())
            run = Run(engine, "alone")
            planned = await run._settled(query, None, run.measured)  # noqa: SLF001 (the time of the plan alone)
            times.append(time.perf_counter())
            rows = await asyncio.to_thread(run._planned, planned, run.measured)  # noqa: SLF001 (as above)
            count = await asyncio.to_thread(lambda rows=rows: sum(batch.num_rows for batch in rows.batches))
            times.append(time.perf_counter())
            cpu_s = time.process_time() - cpu_s
            if not count or run.chunks_done != run.chunks_total:
                msg = f"{run.chunks_done} of {run.chunks_total} chunks were answered, {count} rows"
                raise RuntimeError(msg)
            spent = np.diff(times).tolist()
            found = Alone(run.chunks_total, *spent, cpu_s, before, _own_bytes("VmHWM"))
            best = found if best is None or found.total_s < best.total_s else best
        merger.close()
    assert best is not None
    return best


async def _nothing_to_locate(query):
    return query


def _own_bytes(field: str) -> int:
    """Return a size of this process. (Its ``ru_maxrss`` begins with what the process had that started it.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    with rare_collections():  # as in the process of a czar
        sys.stdout.write(json.dumps(asdict(asyncio.run(run_alone(int(sys.argv[1]), sys.argv[2])))))
