"""Several processes read the files of a table: the same is stored, and nothing is left when one fails, dies or is stopped."""

import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.formats.source import DEFAULT
from ingest.inputs import open_input
from ingest.readers.pool import ALONE, Readers, jobs
from ingest.report import Stage
from ingest.service.contributions import Contributions
from ingest.service.models import ContributionRequest, TransactionRequest
from ingest.service.requests import Requests
from ingest.service.runner import LoadRunner
from ingest.taking import Part
from qserv.errors import BadRowError, IngestError, IngestLostError
from qserv.failpoints import VARIABLE
from qserv.metadata.engine import connect
from qserv.metadata.transactions import list_transactions, read_transaction
from schema.model import Column, ColumnType, Table, TableRole
from schema.serialise import database_to_json
from tests.ingest.service.conftest import FELIS, PARTITION
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

RUN_BYTES = 20_000
"""So that a thousand rows are several runs, and more than one job."""

SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (Column("id", ColumnType.LONG, nullable=False), Column("object", ColumnType.LONG), Column("flux", ColumnType.DOUBLE)),
    ("id",),
    director="object",
    director_key="object",
)


def objects(first, count):
    random = np.random.default_rng(first)
    return pa.table(
        {
            "id": np.arange(first, first + count),
            "ra": random.uniform(0, 360, count),
            "dec": random.uniform(-90, 90, count),
            "flux": random.normal(size=count).astype(np.float32),
            "name": [f"o{number}" for number in range(first, first + count)],
        }
    )


def readers(pid=None):
    """Return the processes that read for a process; default: this one."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            found += [child] if "ingest.readers" in child.cmdline() else []
    return found


def has_ended(process):
    """Tell whether a process has ended, be it that nobody has asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def together(archive):
    """Options of a load by three processes."""
    return replace(archive.options, chunk_target_rows=2_000, readers=Readers(3), run_bytes=RUN_BYTES)


@pytest.fixture
def grouped(tmp_path):
    """Write rows into a file of small row groups."""

    def run(rows, name):
        pq.write_table(rows, tmp_path / name, row_group_size=500)
        return tmp_path / name

    return run


async def test_what_several_processes_read_is_what_one_reads(archive, grouped, object_table, together):
    large, small = grouped(objects(0, 20_000), "large.parquet"), [grouped(objects(n, 40), f"{n}.parquet") for n in (30_000, 40_000)]
    sources = {"id": np.arange(50_000), "object": np.random.default_rng(3).permutation(np.arange(50_000) % 20_000)}
    detected = grouped(pa.table(sources | {"flux": np.arange(50_000) / 7}), "sources.parquet")
    database, seen, stored = archive.database(object_table, SOURCE), Counter(), []

    def watch(progress):
        if progress.stage is Stage.READING:
            seen[progress.table] = max(seen[progress.table], len(readers()))

    for options, most in ((together, 3), (replace(together, readers=ALONE, replace=True), 0)):
        seen.clear()
        report = await archive.load(database, watch, options, object=[large, *small], source=detected)
        assert seen == {"object": most, "source": most}
        assert {table.table: table.rows for table in report.tables} == {"object": 20_080, "source": 50_000}
        table, hanging = await archive.table("object"), await archive.table("source")
        rows, overlap = archive.rows(table), archive.rows(table, overlap=True)
        pixels = [[row[5] for row in found] for found in rows.values()]
        assert pixels == [sorted(found) for found in pixels]
        # What a row is, but for the number of its file.
        each = (rows, 6), (overlap, 6), (archive.rows(hanging), 3)
        stored.append([{chunk: sorted(row[:end] for row in found) for chunk, found in part.items()} for part, end in each])
        async with connect(archive.engine) as connection:
            _, files = await read_transaction(connection, report.load)
        taken = {file.source: file.row_count for file in files}
        assert taken == {str(detected): 50_000, str(large): 20_000} | {str(path): 40 for path in small}
        assert all(file.sha256 for file in files)
        # Each row carries the number of its file, in whatever parts it was read.
        carried = Counter(row[6] for found in rows.values() for row in found)
        assert carried == {file.contribution_id: file.row_count for file in files if file.table_name == "object"}
    assert stored[0] == stored[1]


def test_files_are_divided_and_put_together(grouped, object_table):
    def part(first, count):
        return Part(*open_input(object_table, grouped(objects(first, count), f"{first}.parquet"), DEFAULT))

    found = list(jobs([part(n * 100_000, count) for n, count in enumerate((100, 6_000, 100, 2_100, 100))], RUN_BYTES))
    # 40 bytes a row: 2,000 rows are a job.
    rows = [[(each.file.first_row, each.file.row_count, each.whole) for each in job] for job in found]
    divided = [[(1, 2_000, False)], [(2_001, 2_000, False)], [(4_001, 2_000, False)]]
    assert rows == [*divided, [(1, 100, True), (1, 100, True), (1, 2_100, True)], [(1, 100, True)]]


def test_a_compressed_file_is_not_divided(grouped, object_table, tmp_path):
    path = tmp_path / "rows.parquet.gz"
    path.write_bytes(gzip.compress(grouped(objects(0, 6_000), "rows.parquet").read_bytes()))
    ((part,),) = jobs([Part(*open_input(object_table, path, DEFAULT))], RUN_BYTES)
    assert (part.file.row_count, part.whole) == (6_000, True)


def test_readers_are_lent_to_who_comes_first_and_one_to_everybody_else():
    readers = Readers(4)
    with readers.lent(3) as first, readers.lent(3) as second, readers.lent(3) as third:
        assert (first, second, third, readers.several) == (3, 1, 1, False)
    with readers.lent(9) as all_of_them:
        assert all_of_them == 4


async def test_a_bad_row_is_named_by_its_number_in_the_file_and_ends_all_processes(archive, grouped, object_table, together):
    rows = objects(0, 20_000)
    ids = pa.array([None if id_ == 17_776 else id_ for id_ in range(20_000)], pa.int64())
    path = grouped(rows.set_column(0, "id", ids), "bad.parquet")
    with pytest.raises(BadRowError, match=r"bad\.parquet, row 17777, column 'id', value NULL"):
        await archive.load(archive.database(object_table), options=together, object=path)
    assert (readers(), archive.physical_tables()) == ([], [])
    async with connect(archive.engine) as connection:
        last, *_ = await list_transactions(connection, limit=1)
    assert (last.state, last.row_count) == ("aborted", 0)


async def test_a_key_that_two_processes_bring_is_refused(archive, grouped, object_table, together):
    twice = grouped(pa.concat_tables([objects(0, 10_000), objects(9_999, 10_000)]), "twice.parquet")
    with pytest.raises(IngestError, match="9999"):
        await archive.load(archive.database(object_table), options=together, object=twice)
    assert (readers(), archive.physical_tables()) == ([], [])


async def test_a_process_that_dies_fails_the_load_which_can_be_run_again(archive, grouped, object_table, together):
    path, database = grouped(objects(0, 20_000), "rows.parquet"), archive.database(object_table)

    def kill(progress):
        if progress.stage is Stage.READING and (found := readers()):
            found[0].kill()

    with pytest.raises(IngestLostError, match="ended without a word"):
        await archive.load(database, kill, together, object=path)
    assert (readers(), archive.physical_tables()) == ([], [])
    report = await archive.load(database, options=together, object=path)
    assert [table.rows for table in report.tables] == [20_000]


async def test_a_load_that_is_cancelled_ends_its_processes(archive, grouped, object_table, together):
    path, begun = grouped(objects(0, 20_000), "rows.parquet"), asyncio.Event()

    def watch(_progress):
        if readers():
            begun.set()

    load = asyncio.ensure_future(archive.load(archive.database(object_table), watch, together, object=path))
    await begun.wait()
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert (readers(), archive.physical_tables()) == ([], [])


STOPPED = """
import asyncio, json, os, sys
from pathlib import Path
from ingest.load import LoadOptions, load_catalogue
from ingest.readers.pool import Readers
from qserv.metadata.engine import make_engine
from schema.serialise import database_from_json

given = json.loads(sys.stdin.read())
options = LoadOptions(chunk_target_rows=400, run_bytes=given["run_bytes"], readers=Readers(2))
asyncio.run(load_catalogue(make_engine(given["url"]), given["secret"], database_from_json(given["database"]),
                           {"object": [Path(given["file"])]}, options=options))
"""


async def test_readers_end_with_the_process_that_started_them(archive, grouped, object_table, tmp_path):
    token = tmp_path / "token"
    token.touch()
    given = {
        "url": archive.engine.url.render_as_string(hide_password=False),
        "secret": archive.secrets.cluster.get_secret_value(),
        "database": database_to_json(archive.database(object_table)),
        "file": str(grouped(objects(0, 20_000), "rows.parquet")),
        "run_bytes": RUN_BYTES,
    }
    # One of them waits, for ever, before it writes down what it sent.
    environment = os.environ | {VARIABLE: f"ingest.run.take.before=wait:{token}"}
    loading = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", STOPPED], stdin=subprocess.PIPE, text=True, env=environment
    )
    with loading:
        loading.stdin.write(json.dumps(given))
        loading.stdin.close()
        await asyncio.to_thread(until, lambda: not token.exists())
        found = readers(loading.pid)
        assert found
        loading.kill()
    await asyncio.to_thread(until, lambda: all(map(has_ended, found)))
    await archive.load(archive.database(object_table), object=grouped(objects(0, 100), "next.parquet"))
    assert sum((await archive.table("object")).row_counts) == 100


async def test_contributions_are_read_by_several_processes_too(archive, grouped, tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.service.runner.RUN_BYTES", RUN_BYTES)
    requests, contributions = Requests(archive.engine), Contributions(archive.engine, tmp_path / "uploads", silence_s=60)
    runner = LoadRunner(archive.engine, archive.secrets.cluster.get_secret_value(), tmp_path, 2_000, Readers(2))
    (tmp_path / "sky.yaml").write_text(FELIS.format(name=archive.name))
    (tmp_path / "sky.partition.yaml").write_text(PARTITION.format(name=archive.name))
    transaction = f"transaction-{archive.name}"
    await requests.submit(transaction, TransactionRequest(schema_file=str(tmp_path / "sky.yaml"), chunk_order=1), "user")
    files = {"large": objects(0, 9_000), "small": objects(20_000, 50), "again": objects(8_999, 6_000)}
    for name, rows in files.items():
        request = ContributionRequest(table="object", source=str(grouped(rows, f"{name}.parquet")))
        await contributions.send(transaction, name, request)
    most = 0
    runner.start()
    try:
        while (states := {one.name: one.state for one in await contributions.listed(transaction)}) and not all(
            state in {"done", "failed"} for state in states.values()
        ):
            most = max(most, len(readers()))
            await asyncio.sleep(0.05)
        # The two large files have a key in common: the one that comes first has it.
        assert sorted(states.values()) == ["done", "done", "failed"]
        assert states["small"] == "done"
        assert most == 2
        failed = next(name for name, state in states.items() if state == "failed")
        await contributions.cancel(transaction, failed)
        await contributions.commit(transaction)
        while (load := await requests.load(transaction, 5.0)).state not in {"committed", "aborted"}:
            pass
    finally:
        await runner.close()
    assert (load.state, readers()) == ("committed", [])
    table = await archive.table("object")
    stored = sorted(row[0] for found in archive.rows(table).values() for row in found)
    assert stored == sorted(id_ for name, rows in files.items() if name != failed for id_ in rows["id"].to_pylist())
