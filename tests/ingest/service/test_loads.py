"""Loads that are asked of the ingest service over HTTP."""

import asyncio
import json
import signal
from pathlib import Path

import httpx
import pytest

from ingest.service.client import AsyncIngest, Ingest
from ingest.service.models import LoadRequest
from qserv.errors import (
    AccessError,
    BadFileError,
    FamilyHeldError,
    IngestError,
    IngestLostError,
    LoadNameError,
    NoSuchLoadError,
    QueryValueError,
    SchemaError,
    UnknownNameError,
)
from qserv.metadata.transactions import TransactionState
from tests.support.waiting import until


def test_a_load_is_asked_for_and_waited_for(ingest, ingest_cluster, sky):
    asked = ingest.submit(sky.name, sky.request(sky.write(300)))
    assert (asked.name, asked.database, asked.ended, asked.report) == (sky.name, sky.name, None, None)
    load = ingest.finished(sky.name)
    assert (load.state, load.error, load.user, load.attempt) == (TransactionState.COMMITTED, None, "tester", 1)
    assert {table.table: table.rows for table in load.report.tables} == {"object": 300, "source": 600}
    assert ("object", "reading", 300, 300) in {(one.table, one.stage, one.done, one.total) for one in load.progress}
    assert [(file.table, file.rows) for file in ingest.files(sky.name)] == [("object", 300), ("source", 600)]
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (300, 600)
    assert ingest.loads(1) == [load]
    tables = {table.name: (table.role, table.published, table.rows) for table in ingest.database(sky.name).tables}
    assert tables == {"object": ("director", True, 300), "source": ("dependent", True, 600)}


def test_statistics_and_chunks_of_a_table_are_told(ingest, sky):
    text = "id,ra,dec\n-9007199254740993,0,-90\n9007199254740993,359.5,2\n7,12.25,\n5,,\n"
    (sky.directory / "objects.csv").write_text(text.replace("12.25,\n", "12.25,10\n"))
    ingest.submit(sky.name, sky.request({"object": (str(sky.directory / "objects.csv"),)}))
    assert ingest.finished(sky.name).state is TransactionState.COMMITTED
    table = ingest.table(sky.name, "object")
    assert (table.rows, table.published, {column.ucd for column in table.statistics} >= {"meta.id;meta.main"}) == (4, True, True)
    ranges = {column.name: (column.minimum, column.maximum, column.nulls) for column in table.statistics}
    assert ranges == {"id": ("-9007199254740993", "9007199254740993", 0), "ra": ("0", "359.5", 1), "dec": ("-90", "10", 1)}
    chunks = ingest.chunks(sky.name, "object")
    assert sum(chunk.rows for chunk in chunks) == 4
    assert [chunk.chunk for chunk in chunks] == sorted(chunk.chunk for chunk in chunks)
    assert all(chunk.nodes in {("node-1",), ("node-2",)} for chunk in chunks)
    assert ingest.chunks(sky.name, "object", after=chunks[0].chunk, limit=1) == chunks[1:2]
    with pytest.raises(UnknownNameError, match="object is in"):
        ingest.table(sky.name, "objects")


def test_the_same_request_is_done_once(ingest, ingest_cluster, sky):
    files = sky.write(20)
    request = sky.request(files)
    ingest.submit(sky.name, request)
    before = ingest.finished(sky.name)
    for path in files["object"]:
        Path(path).unlink()
    assert ingest.submit(sky.name, request) == before
    with pytest.raises(LoadNameError, match="something else already"):
        ingest.submit(sky.name, sky.request(sky.write(20), replace=True))
    assert ingest_cluster.rows(sky.name, "object") == 20


def test_what_is_asked_twice_at_once_is_one_load(ingest, ingest_cluster, sky):
    request = sky.request(sky.write(20))

    async def ask():
        async with AsyncIngest.of_home(ingest_cluster.cluster.home, "tester") as client:
            await asyncio.gather(*(client.submit(sky.name, request) for _ in range(5)))
            return await client.finished(sky.name)

    assert asyncio.run(ask()).state is TransactionState.COMMITTED
    assert [load.name for load in ingest.loads()].count(sky.name) == 1
    assert ingest_cluster.rows(sky.name, "object") == 20


def test_loads_into_a_family_are_done_in_the_order_in_which_they_were_asked(ingest, ingest_cluster, sky):
    ingest_cluster.hold()
    ingest.submit(f"{sky.name}-1", sky.request(sky.write(50)))
    ingest_cluster.held()
    ingest.submit(f"{sky.name}-2", sky.request(sky.write(30, "next"), replace=True))
    assert ingest.load(f"{sky.name}-2").state is TransactionState.QUEUED
    with pytest.raises(FamilyHeldError):
        ingest.drop(sky.name)
    ingest_cluster.release()
    assert ingest.finished(f"{sky.name}-2").state is TransactionState.COMMITTED
    first, second = ingest.load(f"{sky.name}-1"), ingest.load(f"{sky.name}-2")
    assert first.ended < second.ended
    assert ingest_cluster.rows(sky.name, "object") == 30


def test_a_load_that_fails_says_why_and_may_be_asked_for_again(ingest, sky):
    files = sky.write(20)
    request = sky.request(files | {"source": (str(sky.directory / "source.csv"),)})
    (sky.directory / "source.csv").write_text("source_id,object_id\n1,2\n2,no number\n")
    ingest.submit(sky.name, request)
    load = ingest.finished(sky.name)
    assert (load.state, load.error.code, load.report) == (TransactionState.ABORTED, "ingest.bad_row", None)
    assert "source.csv, row 2" in load.error.message
    with pytest.raises(UnknownNameError, match=f"there is no database {sky.name}"):
        ingest.database(sky.name)
    (sky.directory / "source.csv").write_text("source_id,object_id\n1,2\n")
    ingest.submit(sky.name, request)
    assert ingest.finished(sky.name).state is TransactionState.COMMITTED


def test_rows_that_are_set_aside_are_told(ingest, sky):
    files = sky.write(20) | {"source": (str(sky.directory / "source.csv"),)}
    (sky.directory / "source.csv").write_text("source_id,object_id\n1,2\n2,no number\n")
    ingest.submit(sky.name, sky.request(files, max_bad_rows=5))
    load = ingest.finished(sky.name)
    assert (load.state, load.rejected) == (TransactionState.COMMITTED, 1)
    (line,) = ingest.rejects(sky.name).splitlines()
    told = json.loads(line)
    assert (told["table"], told["row"], told["value"]) == ("source", 2, "'no number'")
    ingest.submit(f"{sky.name}-2", sky.request(sky.write(20), replace=True))
    ingest.finished(f"{sky.name}-2")
    assert ingest.rejects(f"{sky.name}-2") == b""


def test_a_cancelled_load_leaves_nothing(ingest, ingest_cluster, sky):
    ingest_cluster.hold()
    ingest.submit(sky.name, sky.request(sky.write(50)))
    ingest_cluster.held()
    assert ingest.load(sky.name).state is TransactionState.OPEN
    ingest.cancel(sky.name)
    ingest.cancel(sky.name)
    ingest_cluster.release()
    load = ingest.finished(sky.name)
    assert (load.state, load.error.code) == (TransactionState.ABORTED, "ingest.cancelled")
    assert ingest_cluster.rows(sky.name, "object") == 0
    assert sky.name not in {database.name for database in ingest.databases()}
    assert ingest.cancel(sky.name) == load


def test_a_cancelled_load_is_not_tried_again_because_a_node_died(ingest, ingest_cluster, sky):
    ingest_cluster.hold()
    ingest_cluster.arm("worker.run.write.after")
    ingest.submit(sky.name, sky.request(sky.write(50)))
    ingest_cluster.held()
    ingest.cancel(sky.name)
    ingest_cluster.release()
    load = ingest.finished(sky.name)
    assert (load.state, load.error.code, load.attempt) == (TransactionState.ABORTED, "ingest.cancelled", 1)


def test_a_load_that_waits_is_cancelled_at_once(ingest, ingest_cluster, sky):
    ingest_cluster.hold()
    ingest.submit(f"{sky.name}-1", sky.request(sky.write(50)))
    ingest_cluster.held()
    ingest.submit(f"{sky.name}-2", sky.request(sky.write(30, "next"), replace=True))
    load = ingest.cancel(f"{sky.name}-2")
    assert (load.state, load.attempt) == (TransactionState.ABORTED, 0)
    assert load.ended is not None
    ingest_cluster.release()
    ingest.finished(f"{sky.name}-1")
    assert ingest_cluster.rows(sky.name, "object") == 50


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_load_goes_on_when_the_service_is_there_again(number, ingest, ingest_cluster, sky):
    ingest_cluster.hold()
    ingest.submit(sky.name, sky.request(sky.write(50)))
    ingest_cluster.held()
    if number is signal.SIGTERM:  # it waits for the worker
        ingest_cluster.release()
    ingest_cluster.signal_service(number)
    ingest_cluster.release()
    load = until(lambda: _finished(ingest, sky.name))
    assert load.state is TransactionState.COMMITTED
    assert load.attempt <= 2
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (50, 100)
    assert not [path for path in ingest_cluster.cluster.home.glob("**/runs/**") if path.is_file()]


def test_a_node_that_dies_for_a_moment_costs_a_try(ingest, ingest_cluster, sky):
    ingest_cluster.arm("worker.table.load.before")
    ingest.submit(sky.name, sky.request(sky.write(50)))
    load = ingest.finished(sky.name)
    assert ingest_cluster.went_off("worker.table.load.before")
    assert (load.state, load.attempt) == (TransactionState.COMMITTED, 2)
    assert ingest_cluster.rows(sky.name, "object") == 50


def test_tables_are_deleted_dependents_first(ingest, ingest_cluster, sky):
    ingest.submit(sky.name, sky.request(sky.write(40)))
    ingest.finished(sky.name)
    with pytest.raises(IngestError, match="source depends on it"):
        ingest.drop(sky.name, "object")
    ingest.drop(sky.name, "source")
    ingest.drop(sky.name, "source")
    assert [table.name for table in ingest.database(sky.name).tables] == ["object"]
    ingest.drop(sky.name)
    ingest.drop(sky.name)
    assert ingest_cluster.rows(sky.name, "object") == 0
    assert sky.name not in {database.name for database in ingest.databases()}


def test_a_schema_may_come_as_text(ingest, sky):
    partition = sky.schema.with_suffix(".partition.yaml").read_text()
    texts = {"felis": sky.schema.read_text(), "partition": partition}
    ingest.submit(sky.name, LoadRequest(**texts, files=sky.write(10)))
    assert ingest.finished(sky.name).state is TransactionState.COMMITTED
    with pytest.raises(SchemaError, match=r"schema\.yaml: .*tables"):
        ingest.submit(f"{sky.name}-2", LoadRequest(felis="name: x", partition=partition, files=sky.write(10)))


def test_what_cannot_be_is_refused_at_once(ingest, ingest_cluster, sky):
    files = sky.write(10)
    with pytest.raises(BadFileError, match="no file matches"):
        ingest.submit(sky.name, sky.request({"object": (f"{sky.directory}/none-*.csv",)}))
    with pytest.raises(SchemaError, match="has no table 'objects'"):
        ingest.submit(sky.name, sky.request({"objects": files["object"]}))
    with pytest.raises(QueryValueError, match="name"):
        ingest.submit("a b", sky.request(files))
    with pytest.raises(NoSuchLoadError):
        ingest.load(sky.name)
    with pytest.raises(ValueError, match="either schema_file, or both"):
        LoadRequest(files=files)
    url = f"{ingest_cluster.cluster.ingest_url}/loads"
    assert httpx.get(url, trust_env=False).status_code == 401
    with Ingest(ingest_cluster.cluster.ingest_url, "wrong", "x") as stranger, pytest.raises(AccessError):
        stranger.loads()


def _finished(ingest, name):
    """Return a load that has ended, if the service answers."""
    try:
        load = ingest.load(name)
    except IngestLostError:
        return None
    return load if load.ended is not None else None
