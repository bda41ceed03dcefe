"""Transactions that stay open: contributions are sent one by one, and become visible together."""

import asyncio
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.formats.source import Format, ReadOptions
from ingest.service import calls
from ingest.service.client import AsyncIngest
from ingest.service.models import ContributionRequest, TransactionRequest
from qserv.errors import (
    FamilyHeldError,
    IngestLostError,
    LoadNameError,
    NoSuchLoadError,
    QueryValueError,
    SchemaError,
    TransactionEndedError,
)
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.support.waiting import until

BUSY = 3
"""Requests that a moody server does not answer."""

DONE, FAILED, CANCELLED = ContributionState.DONE, ContributionState.FAILED, ContributionState.CANCELLED


def objects(directory, name, ids):
    """Write objects of some ids; return the file."""
    ids = np.asarray(ids, dtype=np.int64)
    random = np.random.default_rng(ids[0] if len(ids) else 0)
    columns = {"id": ids, "ra": random.uniform(0, 360, len(ids)), "dec": random.uniform(-90, 90, len(ids))}
    pq.write_table(pa.table(columns), directory / f"{name}.parquet")
    return directory / f"{name}.parquet"


def sources(directory, name, object_ids):
    """Write a source of each of some objects; return the file."""
    ids = np.asarray(object_ids, dtype=np.int64)
    pq.write_table(pa.table({"source_id": ids + 10**6, "object_id": ids}), directory / f"{name}.parquet")
    return directory / f"{name}.parquet"


def began(ingest, sky, name=None, **options):
    ingest.begin(name or sky.name, TransactionRequest(schema_file=str(sky.schema), **{"chunk_order": 1, **options}))


def sent(ingest, sky, name, table, path, **options):
    """Send a file, and wait until it is done or has failed."""
    ingest.send(sky.name, name, ContributionRequest(table=table, source=str(path), **options))
    return ingest.contribution(sky.name, name, 60)


def committed(ingest, sky):
    ingest.commit(sky.name)
    return ingest.finished(sky.name)


def answered(ask):
    """Return the answer of a service that is there."""
    try:
        return ask()
    except IngestLostError:
        return None


def test_contributions_become_visible_together(ingest, ingest_cluster, sky):
    began(ingest, sky)
    assert sent(ingest, sky, "one", "object", objects(sky.directory, "a", range(100))).state is DONE
    assert sent(ingest, sky, "two", "source", sources(sky.directory, "b", range(0, 100, 2))).state is DONE
    third = sent(ingest, sky, "three", "object", objects(sky.directory, "c", range(100, 150)))
    assert (third.state, third.rows, third.files[0].attempt) == (DONE, 50, 1)
    assert sent(ingest, sky, "four", "source", sources(sky.directory, "d", [140, 7])).state is DONE
    assert ingest_cluster.rows(sky.name, "object") == 0
    load = ingest.load(sky.name)
    assert (load.kind, load.state, load.committing, load.rows) == ("transaction", TransactionState.OPEN, False, 202)
    load = committed(ingest, sky)
    assert (load.state, load.error) == (TransactionState.COMMITTED, None)
    assert {table.table: table.rows for table in load.report.tables} == {"object": 150, "source": 52}
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (150, 52)
    assert {table.name: table.published for table in ingest.database(sky.name).tables} == {"object": True, "source": True}
    assert sorted(file.rows for file in ingest.files(sky.name)) == [2, 50, 50, 100]


def test_a_contribution_that_is_sent_twice_is_taken_once(ingest, ingest_cluster, sky):
    began(ingest, sky)
    path = objects(sky.directory, "a", range(100))
    request = ContributionRequest(table="object", source=str(path))

    async def ask():
        async with AsyncIngest.of_home(ingest_cluster.cluster.home, "tester") as client:
            await asyncio.gather(*(client.send(sky.name, "one", request) for _ in range(5)))
            return await client.contribution(sky.name, "one", 60)

    assert asyncio.run(ask()).rows == 100
    path.unlink()
    assert ingest.send(sky.name, "one", request).state is DONE
    with pytest.raises(LoadNameError, match="something else already"):
        ingest.send(sky.name, "one", ContributionRequest(table="source", source=str(path)))
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 100
    assert ingest.send(sky.name, "one", request).rows == 100


def test_a_contribution_that_is_wrong_fails_alone(ingest, ingest_cluster, sky):
    began(ingest, sky)
    ingest_cluster.hold()
    first = objects(sky.directory, "first", range(10))
    ingest.send(sky.name, "first", ContributionRequest(table="object", source=str(first)))
    ingest_cluster.held()
    # What is sent meanwhile is taken together, with one file that is wrong among them, and one that is none.
    for number in range(5):
        path = objects(sky.directory, f"more{number}", range(100 * number + 10, 100 * number + 30))
        ingest.send(sky.name, f"more{number}", ContributionRequest(table="object", source=str(path)))
    wrong = sky.directory / "wrong.csv"
    wrong.write_text("id,ra,dec\n1000,1,1\n1001,10,95\n")
    ingest.send(sky.name, "wrong", ContributionRequest(table="object", source=str(wrong)))
    (sky.directory / "none.parquet").write_text("no Parquet")
    ingest.send(sky.name, "none", ContributionRequest(table="object", source=str(sky.directory / "none.parquet")))
    ingest.send(sky.name, "again", ContributionRequest(table="object", source=str(objects(sky.directory, "again", [5, 2000]))))
    ingest_cluster.release()
    states = {each.name: ingest.contribution(sky.name, each.name, 60).state for each in ingest.contributions(sky.name)}
    assert states == {
        "first": DONE,
        **{f"more{number}": DONE for number in range(5)},
        "wrong": FAILED,
        "none": FAILED,
        "again": FAILED,
    }
    errors = {name: ingest.contribution(sky.name, name).files[0].error for name in ("wrong", "none", "again")}
    assert {name: error.code for name, error in errors.items()} == {
        "wrong": "ingest.bad_row",
        "none": "ingest.bad_file",
        "again": "ingest",
    }
    assert "wrong.csv, row 2" in errors["wrong"].message
    assert "(key)=(5) already exists" in errors["again"].message
    load = committed(ingest, sky)
    assert (load.state, load.error.code, load.committing) == (TransactionState.OPEN, "ingest", False)
    assert "contributions failed: again, none, wrong;" in load.error.message
    wrong.write_text("id,ra,dec\n1000,1,1\n1001,10,85\n")
    assert sent(ingest, sky, "wrong", "object", wrong).rows == 2
    for name in ("none", "again"):
        assert ingest.cancel_contribution(sky.name, name).state is CANCELLED
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 112


def test_rows_of_a_contribution_that_are_set_aside_are_told(ingest, ingest_cluster, sky):
    began(ingest, sky, max_bad_rows=1)
    (sky.directory / "a.csv").write_text("id,ra,dec\n1,1,1\n2,10,95\n")
    found = sent(ingest, sky, "one", "object", sky.directory / "a.csv")
    assert (found.rows, found.rejected) == (1, 1)
    assert json.loads(ingest.contribution_rejects(sky.name, "one"))["row"] == 2
    (sky.directory / "b.csv").write_text("id,ra,dec\n3,1,1\n4,10,95\n5,10,-95\n")
    assert sent(ingest, sky, "two", "object", sky.directory / "b.csv").state is FAILED
    ingest.cancel_contribution(sky.name, "two")
    assert committed(ingest, sky).rejected == 1
    assert ingest_cluster.rows(sky.name, "object") == 1


def test_files_may_come_with_the_request(ingest, ingest_cluster, sky):
    url, token = ingest_cluster.cluster.ingest_url, ingest_cluster.secrets.cluster.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"}
    began(ingest, sky)
    path = objects(sky.directory, "a", range(100))
    assert ingest.upload(sky.name, "file", "object", path).name == "file"
    ingest.upload(sky.name, "file", "object", path)
    text = b"200;1;1\n201;2;2\n"
    reading = ReadOptions(format=Format.CSV, delimiter=";", header=False)
    ingest.upload(sky.name, "text", "object", text, reading)
    with pytest.raises(LoadNameError):
        ingest.upload(sky.name, "text", "object", text + b"202;3;3\n", reading)
    batch = pa.record_batch({"id": [300, 301], "ra": [1.5, None], "dec": [2.5, None]})
    ingest.upload(sky.name, "rows", "object", pa.RecordBatchReader.from_batches(batch.schema, iter([batch, batch.slice(0, 0)])))
    call = calls.upload(sky.name, "x", "object", text, None)
    wrong = {**call.request(), "params": (("table", "object"), ("reading", '{"delimiter": 5}')), "content": text}
    with pytest.raises(QueryValueError, match="delimiter"):
        call.answer(httpx.request(**wrong | {"url": url + call.path, "headers": headers}))

    async def more():
        async with AsyncIngest.of_home(ingest_cluster.cluster.home, "tester") as client:
            await client.upload(sky.name, "more", "source", sources(sky.directory, "s", range(10)))
            others = pa.record_batch({"id": [400], "ra": [1.0], "dec": [2.0]})
            await client.upload(sky.name, "others", "object", pa.RecordBatchReader.from_batches(others.schema, [others]))
            return await client.contribution(sky.name, "more", 60)

    assert asyncio.run(more()).state is DONE
    (file,) = ingest.contribution(sky.name, "file", 60).files
    assert (file.source, file.rows, file.size_bytes) == ("upload:a.parquet", 100, path.stat().st_size)
    assert ingest.contribution(sky.name, "text", 60).rows == 2
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 105
    # What was sent before is known when it is sent again after all; else nothing is taken any more.
    assert ingest.upload(sky.name, "file", "object", path).rows == 100
    with pytest.raises(TransactionEndedError):
        ingest.upload(sky.name, "late", "object", path)
    assert not (ingest_cluster.cluster.home / "uploads" / sky.name).exists()


@pytest.fixture
def moody(sky):
    """A web server that gives a file after some requests; yields its URL, and what it was asked."""
    asked = []

    class Moody(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = b"" if len(asked) <= BUSY else (sky.directory / "a.csv").read_bytes()
            self.send_response(503 if len(asked) <= BUSY else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 (a name of the server)

        def log_message(self, *_):
            """Say nothing."""

    (sky.directory / "a.csv").write_text("id,ra,dec\n1,1,1\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/a.csv?signature=secret", asked
        server.shutdown()


def test_a_server_that_does_not_answer_is_asked_again(ingest, ingest_cluster, sky, moody):
    began(ingest, sky)
    url, asked = moody
    found = sent(ingest, sky, "one", "object", url)
    assert (found.state, found.rows, found.files[0].attempt) == (DONE, 1, 2)
    assert found.files[0].source == url.partition("?")[0]
    assert len(asked) > 1
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 1


def test_a_directory_is_one_contribution(ingest, ingest_cluster, sky):
    began(ingest, sky)
    (sky.directory / "many").mkdir()
    for number in range(7):
        objects(sky.directory / "many", str(number), range(10 * number, 10 * number + 10))
    found = sent(ingest, sky, "all", "object", sky.directory / "many")
    assert (found.state, found.rows, len(found.files)) == (DONE, 70, 7)
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 70


def test_a_transaction_goes_on_with_the_next_service(ingest, ingest_cluster, sky):
    began(ingest, sky)
    assert sent(ingest, sky, "one", "object", objects(sky.directory, "a", range(100))).state is DONE
    ingest_cluster.hold()
    ingest.send(sky.name, "two", ContributionRequest(table="object", source=str(objects(sky.directory, "b", range(100, 150)))))
    ingest_cluster.held()
    ingest_cluster.signal_service(signal.SIGKILL)
    ingest_cluster.release()
    found = until(lambda: answered(lambda: ingest.contribution(sky.name, "two", 60)))
    assert (found.rows, found.files[0].attempt) == (50, 2)
    assert sent(ingest, sky, "three", "source", sources(sky.directory, "c", [120, 3])).state is DONE
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (150, 2)


def test_a_cancelled_transaction_leaves_nothing(ingest, ingest_cluster, sky):
    began(ingest, sky)
    assert sent(ingest, sky, "one", "object", objects(sky.directory, "a", range(100))).state is DONE
    ingest.cancel(sky.name)
    load = ingest.finished(sky.name)
    assert (load.state, load.error.code) == (TransactionState.ABORTED, "ingest.cancelled")
    assert sky.name not in {database.name for database in ingest.databases()}
    with pytest.raises(TransactionEndedError):
        sent(ingest, sky, "two", "object", sky.directory / "a.parquet")
    with pytest.raises(TransactionEndedError, match="aborted"):
        ingest.commit(sky.name)
    began(ingest, sky)
    assert ingest.contributions(sky.name) == []
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "object") == 0


def test_a_load_into_the_family_waits_for_the_transaction(ingest, ingest_cluster, sky):
    began(ingest, sky, tables=("object",))
    assert sent(ingest, sky, "one", "object", objects(sky.directory, "a", range(10))).state is DONE
    ingest.submit(f"{sky.name}-load", sky.request({"source": (str(sources(sky.directory, "s", [1, 2])),)}))
    with pytest.raises(FamilyHeldError):
        ingest.drop(sky.name)
    assert ingest.load(f"{sky.name}-load").state is TransactionState.QUEUED
    with pytest.raises(SchemaError, match="makes object, not source"):
        sent(ingest, sky, "two", "source", sky.directory / "s.parquet")
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert ingest.finished(f"{sky.name}-load").state is TransactionState.COMMITTED
    assert ingest_cluster.rows(sky.name, "source") == 2


def test_rows_take_the_place_of_published_ones(ingest, ingest_cluster, sky):
    ingest.submit(f"{sky.name}-1", sky.request(sky.write(30)))
    assert ingest.finished(f"{sky.name}-1").state is TransactionState.COMMITTED
    began(ingest, sky, replace=True)
    assert sent(ingest, sky, "one", "object", objects(sky.directory, "a", range(50))).state is DONE
    assert ingest_cluster.rows(sky.name, "object") == 30
    ingest_cluster.signal_service(signal.SIGTERM)
    until(lambda: answered(lambda: sent(ingest, sky, "two", "source", sources(sky.directory, "b", [49]))))
    assert committed(ingest, sky).state is TransactionState.COMMITTED
    assert (ingest_cluster.rows(sky.name, "object"), ingest_cluster.rows(sky.name, "source")) == (50, 1)


def test_how_the_sky_is_cut_must_be_said(ingest, sky):
    began(ingest, sky, chunk_order=None)
    load = ingest.finished(sky.name)
    assert (load.state, load.error.code) == (TransactionState.ABORTED, "ingest")
    assert "chunk_order" in load.error.message
    began(ingest, sky, f"{sky.name}-2", chunk_order=9)
    assert "too narrow for an overlap of 0.1 degrees" in ingest.finished(f"{sky.name}-2").error.message


def test_the_sky_is_cut_after_positions(ingest, sky):
    path = objects(sky.directory, "a", range(2000))
    began(ingest, sky, chunk_order=None, positions={"object": (str(path),)}, chunk_target_rows=50)
    assert sent(ingest, sky, "one", "object", path).rows == 2000
    load = committed(ingest, sky)
    assert load.report.chunks > 40


def test_what_is_not_there(ingest, sky):
    with pytest.raises(NoSuchLoadError):
        ingest.contributions("no-such-transaction")
    began(ingest, sky)
    with pytest.raises(NoSuchLoadError):
        ingest.contribution(sky.name, "nothing")
    with pytest.raises(SchemaError, match="did you mean 'object'"):
        ingest.send(sky.name, "one", ContributionRequest(table="objekt", source="/nowhere"))
    ingest.cancel(sky.name)
    ingest.finished(sky.name)
