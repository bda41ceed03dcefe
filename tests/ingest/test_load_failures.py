"""A load that fails, in whatever way, leaves nothing, and the same load done right succeeds afterwards."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest

from ingest.report import Stage
from qserv.errors import BadFileError, BadRowError, ClusterError, IngestError, NodeUnavailableError, SchemaError
from qserv.metadata.engine import connect
from qserv.metadata.nodes import register_node
from qserv.metadata.registration import family_lock
from schema.model import Column, ColumnType, ForeignKey, Table, TableRole
from schema.serialise import database_to_json
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio


def objects(count=1000, **changed):
    random = np.random.default_rng(7)
    columns = {
        "id": np.arange(count),
        "ra": random.uniform(0, 360, count),
        "dec": random.uniform(-90, 90, count),
        "flux": random.normal(size=count).astype(np.float32),
        "name": [f"o{number}" for number in range(count)],
    }
    return pa.table(columns | changed)


SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (
        Column("source_id", ColumnType.LONG),
        Column("object_id", ColumnType.LONG),
        Column("ra", ColumnType.DOUBLE),
        Column("dec", ColumnType.DOUBLE),
    ),
    ("source_id",),
    ra="ra",
    dec="dec",
    director="object",
    director_key="object_id",
)


async def nothing_is_there(archive):
    assert archive.physical_tables() == []
    assert [table.name for table in (await archive.catalogue(unpublished=True)).tables if table.database == archive.name] == []
    assert archive.name not in {family.family for family in (await archive.catalogue(unpublished=True)).families}
    assert not list(archive.runs.rglob("*.arrow"))
    async with connect(archive.engine) as connection:
        indexes = await connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'director_index'")
        assert indexes.scalar_one() == 0


def changed(column, row, value, count=1000):
    values = objects(count)[column].to_pylist()
    values[row] = value
    return objects(count, **{column: pa.array(values, objects(count)[column].type)})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed("dec", 800, 95.0), r"rows\.parquet, row 801, column 'dec', value 95\.0: a latitude is from -90 to 90 degrees"),
        (changed("ra", 0, float("inf")), r"row 1, column 'ra', value inf: a position is finite"),
        (changed("ra", 5, None), r"row 6, column 'ra', value NULL: one of longitude and latitude is missing"),
        (changed("id", 7, None), r"row 8, column 'id', value NULL: it is NULL, and the column is a key"),
        (changed("name", 9, "ninecharacters"), r"row 10, column 'name', value 'ninecharacters': it is longer than the 8"),
    ],
)
async def test_a_bad_row_is_named_and_nothing_is_left(archive, write, object_table, rows, message):
    with pytest.raises(BadRowError, match=message):
        await archive.load(archive.database(object_table), object=write(rows))
    await nothing_is_there(archive)
    await archive.load(archive.database(object_table), object=write(objects()))
    assert sum((await archive.table("object")).row_counts) == 1000


@pytest.mark.parametrize("ra", [10.0, 190.0])
async def test_a_key_that_occurs_twice_in_one_chunk_or_two_is_named(archive, write, object_table, ra):
    rows = objects(3, id=[7, 12345, 12345], ra=[10.0, 10.0, ra], dec=[0.5, 0.5, 0.5])
    with pytest.raises(IngestError, match=r"object: Key \((id|key)\)=\(12345\) is duplicated; (it|a director) has one row a key"):
        await archive.load(archive.database(object_table), object=write(rows))
    await nothing_is_there(archive)


async def test_a_file_that_is_cut_off_is_refused_before_anything_is_made(archive, write, object_table):
    path = write(objects())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFileError, match=r"rows\.parquet cannot be read"):
        await archive.load(archive.database(object_table), object=path)
    await nothing_is_there(archive)


async def test_a_file_damaged_within_leaves_nothing(archive, write, object_table):
    path = write(objects(20_000))
    damaged = bytearray(path.read_bytes())
    damaged[1000:40_000] = bytes(39_000)
    path.write_bytes(damaged)
    with pytest.raises(BadFileError, match=r"rows\.parquet cannot be read"):
        await archive.load(archive.database(object_table), object=path)
    await nothing_is_there(archive)


async def test_a_published_table_is_not_loaded_again_unless_asked(archive, write, object_table):
    database = archive.database(object_table)
    await archive.load(database, object=write(objects()))
    with pytest.raises(IngestError, match="published already; `--replace` puts these rows in place of all its rows"):
        await archive.load(database, object=write(objects(10)))
    assert sum((await archive.table("object")).row_counts) == 1000
    await archive.load(database, options=replace(archive.options, replace=True), object=write(objects(10)))
    assert sum((await archive.table("object")).row_counts) == 10


async def test_a_dependent_without_its_director_is_named(archive, write, object_table):
    sources = write({"source_id": [1, 2], "object_id": [5, 5000], "ra": [1.0, 1.0], "dec": [1.0, 1.0]}, "source.parquet")
    with pytest.raises(BadRowError, match=r"source\.parquet, row 2, column 'object_id', value 5000: table object has no row"):
        await archive.load(archive.database(object_table, SOURCE), object=write(objects()), source=sources)
    await nothing_is_there(archive)


async def test_a_dependent_with_a_position_whose_director_has_none_is_refused(archive, write, object_table):
    rows = changed("ra", 5, None).set_column(2, "dec", changed("dec", 5, None)["dec"])
    sources = write({"source_id": [1], "object_id": [5], "ra": [1.0], "dec": [1.0]}, "source.parquet")
    with pytest.raises(BadRowError, match="the row has a position, but that of its object is NULL"):
        await archive.load(archive.database(object_table, SOURCE), object=write(rows), source=sources)


async def test_an_unknown_table_is_answered_with_the_nearest(archive, write, object_table):
    with pytest.raises(SchemaError, match="no table 'objects'; did you mean 'object'"):
        await archive.load(archive.database(object_table), objects=write(objects()))


async def test_more_replicas_than_nodes_are_refused_before_anything_is_read(archive, write, object_table):
    steps = []
    with pytest.raises(ClusterError, match="3 replicas of a chunk need as many nodes, and there are 2"):
        await archive.load(
            archive.database(object_table),
            options=replace(archive.options, replicas=3),
            progress=steps.append,
            object=write(objects()),
        )
    assert steps == []


async def test_a_node_that_does_not_answer_is_told_and_cleared_up_when_it_is_back(archive, write, object_table):
    database = archive.database(object_table)

    async def move(port):
        async with connect(archive.engine) as connection, connection.begin():
            await register_node(connection, replace(archive.nodes[1], worker_port=port))

    await archive.load(database, object=write(objects()))
    await move(1)
    with pytest.raises(NodeUnavailableError):
        await archive.load(database, options=replace(archive.options, replace=True), object=write(objects()))
    assert sum((await archive.table("object")).row_counts) == 1000
    await move(archive.nodes[1].worker_port)
    await archive.load(database, options=replace(archive.options, replace=True), object=write(objects(77)))
    assert sum((await archive.table("object")).row_counts) == 77


async def test_two_loads_into_a_family_do_not_run_at_once(archive, write, object_table):
    async with family_lock(archive.engine, archive.name):
        with pytest.raises(IngestError, match="another load"):
            await archive.load(archive.database(object_table), object=write(objects()))


async def test_a_load_that_is_cancelled_leaves_nothing(archive, write, object_table):
    begun = threading.Event()

    def notice(step):
        if step.stage == Stage.BUILDING:
            begun.set()

    load = asyncio.ensure_future(archive.load(archive.database(object_table), progress=notice, object=write(objects(5000))))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    await nothing_is_there(archive)


KILLED = """
import asyncio, json, os, signal, sys
from pathlib import Path
from ingest.load import LoadOptions, load_catalogue
from qserv.metadata.engine import make_engine
from schema.serialise import database_from_json

given = json.loads(sys.stdin.read())
def kill(step):
    if step.stage == given["stage"]:
        os.kill(os.getpid(), signal.SIGKILL)
options = LoadOptions(chunk_target_rows=400, run_bytes=50_000)
load = load_catalogue(make_engine(given["url"]), given["secret"], database_from_json(given["database"]),
                      {"object": [Path(given["file"])]}, options=options, progress=kill)
asyncio.run(load)
"""


@pytest.mark.parametrize("stage", [Stage.READING, Stage.BUILDING])
async def test_a_killed_load_is_not_seen_and_the_next_one_clears_it_away(archive, write, object_table, stage):
    database = archive.database(object_table)
    given = {
        "stage": stage,
        "url": archive.engine.url.render_as_string(hide_password=False),
        "secret": archive.secrets.cluster.get_secret_value(),
        "database": database_to_json(database),
        "file": str(write(objects(5000), "killed.parquet")),
    }
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED], input=json.dumps(given), text=True, check=False, env=os.environ
    )
    assert killed.returncode == -signal.SIGKILL
    assert [table for table in (await archive.catalogue()).tables if table.database == archive.name] == []
    assert archive.physical_tables() != []
    # Another cut of the sky, so that nothing of the first load can be mistaken for the second.
    await archive.load(database, options=replace(archive.options, chunk_target_rows=50), object=write(objects(300)))
    table = await archive.table("object")
    assert sum(table.row_counts) == 300
    wanted = {f"object_{chunk}" for chunk, count in zip(table.chunks, table.row_counts, strict=True) if count}
    assert {name for name in archive.physical_tables() if name[-1].isdigit()} == wanted


async def test_references_that_leave_the_overlap_are_counted(archive, write, object_table):
    other = replace(
        object_table,
        name="other",
        columns=(*object_table.columns, Column("match", ColumnType.INT)),
        foreign_keys=(ForeignKey("other_object", ("match",), "object", ("id",), max_separation_deg=0.1),),
    )
    database = archive.database(object_table, other)
    here = objects()
    # Row n refers to object n at its own place, but 3 rows refer to one elsewhere, 10 to none at all, 20 to NULL.
    match = np.arange(1000)
    match[:3] = [900, 901, 902]
    match[10:20] = 77_777
    column = pa.array(match, pa.int32(), mask=np.isin(np.arange(1000), np.arange(20, 40)))
    rows = here.append_column("match", column)
    await archive.load(database, other=write(rows, "other.parquet"))
    before = (await archive.table("other")).facts
    assert "references" not in before
    # The target comes later: what refers to it is measured then.
    await archive.load(database, object=write(here))
    after = (await archive.table("other")).facts
    assert after.items() > before.items()
    facts = after["references"]["other_object"]
    assert facts["total"] == 970
    assert facts == {"complete": False, "local": 967, "total": 970}


async def test_the_report_can_be_written_as_json(archive, write, object_table):
    rows = objects(10).append_column("colour", pa.array(["red"] * 10))
    report = await archive.load(archive.database(object_table), object=write(rows))
    assert report.tables[0].ignored_columns == ("colour",)
    assert json.loads(json.dumps(asdict(report)))["tables"][0]["rows"] == 10
