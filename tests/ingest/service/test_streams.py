"""Rows that are sent over Arrow Flight: a contribution as any other, without a file."""

import asyncio
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import flight

from ingest.service import stream_client
from ingest.service.client import AsyncIngest
from ingest.service.stream_errors import from_flight
from ingest.service.streams import STREAMS_AT_A_TIME
from qserv.errors import (
    AccessError,
    BadFileError,
    LoadCancelledError,
    LoadNameError,
    NoSuchLoadError,
    QueryValueError,
    SchemaError,
    TransactionEndedError,
)
from qserv.metadata.contributions import ContributionState
from qserv.metadata.transactions import TransactionState
from tests.ingest.service.test_transactions import CANCELLED, DONE, FAILED, committed
from tests.support.waiting import until

RECEIVING = ContributionState.RECEIVING

BATCH_ROWS = 100

PAGE = Path(__file__).parents[3] / "docs" / "ingest-api.md"

SILENCE_S = 2.0
"""Of a client that has little patience."""

WIDE_BYTES = 1 << 17
"""Of a value in a column that the table does not have."""

MOST_GROWTH_BYTES = 300 << 20
"""Of the service's memory, while it takes rows of twice as many."""


def batches(ids, **more):
    """Yield rows of objects, some at a time."""
    ids = np.asarray(ids, dtype=np.int64)
    random = np.random.default_rng(7)
    for start in range(0, len(ids), BATCH_ROWS):
        some = ids[start : start + BATCH_ROWS]
        columns = {"id": some, "ra": random.uniform(0, 360, len(some)), "dec": random.uniform(-90, 90, len(some))}
        yield pa.record_batch(columns | {name: [value] * len(some) for name, value in more.items()})


def reader(ids, **more):
    schema = next(batches([0], **more)).schema
    return pa.RecordBatchReader.from_batches(schema, batches(ids, **more))


class Sender:
    """Sends a stream as docs/ingest-api.md says, with nothing of ours, and as slowly as a test likes."""

    def __init__(self, ingest_cluster, command, schema=None, token=None):
        token = token or ingest_cluster.secrets.cluster.get_secret_value()
        self.url = ingest_cluster.cluster.ingest_flight_url
        self.client = flight.connect(self.url)
        self.options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
        if isinstance(command, dict):
            command = json.dumps(command).encode()
        descriptor = flight.FlightDescriptor.for_command(command) if isinstance(command, bytes) else command
        self.rows, self.early = 0, None
        try:
            self.writer, self.answers = self.client.do_put(descriptor, schema or next(batches([0])).schema, self.options)
        except pa.ArrowException as error:  # the service was faster with its refusal than we with the schema
            self.early = error

    def send(self, rows):
        with suppress(pa.ArrowException):  # `refused` tells why
            for batch in rows:
                self.writer.write_batch(batch)
                self.rows += batch.num_rows

    def end(self):
        """Say that these were all; return the answer."""
        with self.writer:
            self.writer.write_metadata(json.dumps({"rows": self.rows}).encode())
            self.writer.done_writing()
            answer = self.answers.read()
        return json.loads(answer.to_pybytes())

    def refused(self, *, ends=True):
        """Return the error with which the stream ends."""
        if self.early:
            return from_flight(self.early, self.url)
        with pytest.raises(pa.ArrowException) as caught:
            self.end() if ends else self.writer.close()
        return from_flight(caught.value, self.url)


def command(sky, name="one", table="object", **more):
    return {"transaction": sky.name, "contribution": name, "table": table, **more}


def unfinished(ingest_cluster):
    return list((ingest_cluster.cluster.home / "uploads").glob(".receiving-*"))


def program_of_the_page():
    """Return the function of docs/ingest-api.md that sends rows."""
    (program,) = re.findall(r"^```python\n(import json\n.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names = {}
    exec(program, names)  # noqa: S102 (a page of ours)
    return names["send_rows"]


def test_rows_are_sent_by_the_program_of_the_page(ingest, ingest_cluster, opened):
    send, token = program_of_the_page(), ingest_cluster.secrets.cluster.get_secret_value()
    location = httpx.get(ingest_cluster.cluster.ingest_url, headers={"Authorization": f"Bearer {token}"}).json()["flight"]
    schema = next(batches([0])).schema
    for attempt in range(3):
        answer = send(location, token, command(opened), schema, batches(range(250)))
        assert (answer["name"], answer["table"]) == ("one", "object")
        found = ingest.contribution(opened.name, "one", 60)
        assert (found.state, found.rows, found.files[0].attempt) == (DONE, 250, 1)
        assert (answer["state"] == "done") == bool(attempt)
    assert found.files[0].source == "upload:rows"
    assert found.files[0].size_bytes > 250 * 24
    # The same rows are the same contribution, whichever way they come.
    assert ingest.upload(opened.name, "one", "object", reader(range(250))).state is DONE
    assert ingest.stream(opened.name, "one", "object", reader(range(250))).state is DONE
    with pytest.raises(flight.FlightServerError, match="something else already"):
        send(location, token, command(opened), schema, batches(range(251)))
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 250
    assert not unfinished(ingest_cluster)


def test_clients_send_rows(ingest, ingest_cluster, opened):
    ingest.stream(opened.name, "one", "object", reader(range(10)))
    ingest.stream(opened.name, "none", "object", reader([]))
    degrees = pa.field("ra", pa.float64(), metadata={"unit": "rad"})
    schema = pa.schema([("id", pa.int64()), degrees, ("dec", pa.float64())])
    rows = pa.record_batch([[100], [180.0], [1.0]], schema=schema)
    ingest.stream(opened.name, "units", "object", pa.RecordBatchReader.from_batches(schema, [rows]), ignore_units=True)

    async def more():
        async with AsyncIngest.of_home(ingest_cluster.cluster.home, "tester") as client:
            sent = (client.stream(opened.name, f"n{n}", "object", reader([1000 + n])) for n in range(STREAMS_AT_A_TIME))
            await asyncio.gather(*sent)
            return [await client.contribution(opened.name, f"n{n}", 60) for n in range(STREAMS_AT_A_TIME)]

    assert {one.state for one in asyncio.run(more())} == {DONE}
    assert {name: ingest.contribution(opened.name, name, 60).rows for name in ("one", "none", "units")} == {
        "one": 10,
        "none": 0,
        "units": 1,
    }
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 11 + STREAMS_AT_A_TIME


def test_a_task_that_is_cancelled_sends_no_further(ingest, ingest_cluster, opened):
    go_on = threading.Event()

    def slowly():
        yield from batches(range(250))
        go_on.wait()

    async def cancelled():
        rows = pa.RecordBatchReader.from_batches(next(batches([0])).schema, slowly())
        async with AsyncIngest.of_home(ingest_cluster.cluster.home, "tester") as client:
            sending = asyncio.create_task(client.stream(opened.name, "one", "object", rows))
            await asyncio.to_thread(until, lambda: ingest.contributions(opened.name))
            sending.cancel()
            await asyncio.wait({sending})
            go_on.set()
            return sending.cancelled()

    assert asyncio.run(cancelled())  # which waits for the thread
    until(lambda: not unfinished(ingest_cluster))
    assert ingest.contributions(opened.name) == []


def test_a_sender_whose_rows_end_with_an_error_sees_its_own(ingest, ingest_cluster, opened):

    def rows():
        yield from batches(range(300))
        msg = "the program that makes rows failed"
        raise pa.ArrowInvalid(msg)

    with pytest.raises(pa.ArrowInvalid, match="makes rows failed"):
        ingest.stream(opened.name, "one", "object", pa.RecordBatchReader.from_batches(next(batches([0])).schema, rows()))
    until(lambda: not unfinished(ingest_cluster))
    assert ingest.contributions(opened.name) == []


@pytest.mark.parametrize(
    "case",
    [
        (b"", QueryValueError, "JSON"),
        (b'{"transaction": "x", "contribution": "y"}', QueryValueError, "table: Field required"),
        ({"name": "a b"}, QueryValueError, "contribution: String should match"),
        ({"compressed": 1}, QueryValueError, "compressed: Extra"),
        ({"table": "objects"}, SchemaError, "did you mean 'object'"),
        ({"table": "名" * 200}, SchemaError, "it has object, source"),
        ({"transaction": "no-such"}, NoSuchLoadError, "there is no transaction no-such"),
    ],
)
def test_what_a_stream_is_must_be_said_rightly(ingest, ingest_cluster, opened, case):
    wrong, error, says = case
    refused = Sender(ingest_cluster, wrong if isinstance(wrong, bytes) else command(opened, **wrong)).refused()
    assert isinstance(refused, error)
    assert says in str(refused)
    assert ingest.contributions(opened.name) == []
    assert not unfinished(ingest_cluster)


def test_a_stream_without_a_command_is_refused(ingest_cluster, opened):
    sender = Sender(ingest_cluster, flight.FlightDescriptor.for_path(opened.name, "one", "object"))
    assert isinstance(sender.refused(), QueryValueError)
    with pytest.raises(flight.FlightServerError, match="rows are sent by DoPut"):
        list(sender.client.do_action(flight.Action("other", b""), sender.options))


def test_who_has_not_the_token_sends_nothing(ingest, ingest_cluster, opened):
    sender = Sender(ingest_cluster, command(opened), token="wrong")  # noqa: S106 (it is none)
    refused = sender.refused()
    assert (type(refused), refused.code) == (AccessError, "access")
    with pytest.raises(flight.FlightUnauthenticatedError, match="send the cluster's token"):
        list(sender.client.do_action(flight.Action("beat", b"{}")))
    assert ingest.contributions(opened.name) == []


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (pa.schema([("id", pa.int64()), ("dec", pa.float64())]), "contribution one: column 'ra' is missing; it has 'id', 'dec'"),
        (pa.schema([("id", pa.int64()), ("id", pa.int64())]), "several columns of the name 'id'"),
        (next(batches([0])).schema.set(1, pa.field("ra", pa.float64(), metadata={"unit": "kg"})), "kg"),
    ],
    ids=["missing", "twice", "unit"],
)
def test_columns_are_checked_before_the_first_row(ingest, ingest_cluster, opened, schema, says):
    refused = Sender(ingest_cluster, command(opened), schema).refused(ends=False)
    assert isinstance(refused, BadFileError)
    assert says in str(refused)
    assert ingest.contributions(opened.name) == []


def test_rows_that_are_wrong_fail_as_those_of_a_file_do(ingest, ingest_cluster, opened):
    wrong = pa.record_batch({"id": [1, 2], "ra": [1.0, 1.0], "dec": [1.0, 95.0]})
    ingest.stream(opened.name, "wrong", "object", pa.RecordBatchReader.from_batches(wrong.schema, [wrong]))
    (file,) = ingest.contribution(opened.name, "wrong", 60).files
    assert (file.state, file.error.code) == (FAILED, "ingest.bad_row")
    assert "row 2" in file.error.message
    assert ingest.cancel_contribution(opened.name, "wrong").state is CANCELLED
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 0


def test_a_transaction_that_ends_meanwhile_takes_nothing(ingest, ingest_cluster, opened):
    sender = Sender(ingest_cluster, command(opened))
    sender.send(batches(range(250)))
    until(lambda: ingest.contributions(opened.name))
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert isinstance(sender.refused(), TransactionEndedError)
    with pytest.raises(TransactionEndedError, match="begin another one"):
        ingest.stream(opened.name, "two", "object", reader([1]))
    assert ingest_cluster.rows(opened.name, "object") == 0
    assert not unfinished(ingest_cluster)


def test_the_same_is_sent_twice_at_once(ingest, ingest_cluster, opened):
    one, same, other = (Sender(ingest_cluster, command(opened)) for _ in range(3))
    for part in (range(100), range(100, 250)):
        for sender in (one, same, other):
            sender.send(batches(part))
    other.send(batches([300]))
    until(lambda: len(unfinished(ingest_cluster)) == 3)
    (coming,) = ingest.contributions(opened.name)
    assert (coming.name, coming.state) == ("one", RECEIVING)
    with ThreadPoolExecutor(2) as both:
        answers = [future.result() for future in [both.submit(one.end), both.submit(same.end)]]
    assert [answer["name"] for answer in answers] == ["one", "one"]
    assert isinstance(other.refused(), LoadNameError)
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 250


def test_how_much_has_come_is_told(ingest, ingest_cluster, opened):
    sender = Sender(ingest_cluster, command(opened))
    sender.send(batches(range(250)))
    found = until(lambda: next((one for one in ingest.contributions(opened.name) if one.files[0].size_bytes > 100 * 24), None))
    assert (found.name, found.table, found.state, found.files[0].sha256) == ("one", "object", RECEIVING, None)
    until(lambda: ingest.contribution(opened.name, "one").rows == 250)
    waiting = ThreadPoolExecutor(1)
    ended = waiting.submit(ingest.contribution, opened.name, "one", 60)
    sender.send(batches([300]))
    sender.end()
    assert (ended.result().state, ended.result().rows) == (DONE, 251)
    waiting.shutdown()
    assert committed(ingest, opened).state is TransactionState.COMMITTED


def test_streams_wait_for_others_without_harm(ingest, ingest_cluster, opened, monkeypatch):
    monkeypatch.setattr(stream_client, "SILENCE_S", SILENCE_S)
    others = [Sender(ingest_cluster, command(opened, f"n{n}")) for n in range(STREAMS_AT_A_TIME)]
    until(lambda: len(unfinished(ingest_cluster)) == STREAMS_AT_A_TIME)
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(ingest.stream, opened.name, "one", "object", reader(range(10)))
        # In this time a service that says nothing would be given up, and one that is asked too often would complain.
        time.sleep(4 * SILENCE_S)
        assert not waiting.done()
        assert len(unfinished(ingest_cluster)) == STREAMS_AT_A_TIME
        others[0].end()
        assert waiting.result().name == "one"
    for other in others[1:]:
        other.end()
    assert ingest.contribution(opened.name, "one", 60).rows == 10
    assert committed(ingest, opened).state is TransactionState.COMMITTED


def test_what_comes_is_cancelled(ingest, ingest_cluster, opened):
    sender = Sender(ingest_cluster, command(opened))
    sender.send(batches(range(250)))
    until(lambda: ingest.contributions(opened.name))
    assert ingest.cancel_contribution(opened.name, "one").state is CANCELLED
    assert not unfinished(ingest_cluster)
    assert ingest.contributions(opened.name) == []
    assert isinstance(sender.refused(), LoadCancelledError)
    assert ingest.stream(opened.name, "one", "object", reader(range(10))).name == "one"
    assert ingest.contribution(opened.name, "one", 60).rows == 10
    # So is what comes over HTTP, and what failed before it came again.
    path = opened.directory / "wrong.csv"
    path.write_text("id,ra,dec\n1000,1,95\n")
    ingest.upload(opened.name, "wrong", "object", path)
    assert ingest.contribution(opened.name, "wrong", 60).state is FAILED
    go_on = threading.Event()

    def slowly():
        yield from batches(range(1000, 1250))
        go_on.wait()

    schema = next(batches([0])).schema
    with ThreadPoolExecutor(2) as beside:
        sent = [
            beside.submit(ingest.upload, opened.name, name, "object", pa.RecordBatchReader.from_batches(schema, slowly()))
            for name in ("http", "wrong")
        ]
        until(lambda: [one.state for one in ingest.contributions(opened.name)].count(RECEIVING) == 2)
        for name in ("http", "wrong"):
            assert ingest.cancel_contribution(opened.name, name).state is CANCELLED
        go_on.set()
        for one in sent:
            assert isinstance(one.exception(), LoadCancelledError)
    assert {one.name: one.state for one in ingest.contributions(opened.name)} == {"one": DONE, "wrong": CANCELLED}
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 10


def test_large_rows_need_no_large_memory(ingest, ingest_cluster, opened):
    before = peak_bytes(ingest_cluster)
    value = b"x" * WIDE_BYTES
    # A batch of 13 MB each, and all in one, which the client sends in parts.
    ingest.stream(opened.name, "many", "object", reader(range(5000), image=value))
    (whole,) = pa.Table.from_batches(batches(range(10_000, 10_500), image=value)).combine_chunks().to_batches()
    ingest.stream(opened.name, "whole", "object", pa.RecordBatchReader.from_batches(whole.schema, [whole]))
    ingest.upload(opened.name, "http", "object", reader(range(20_000, 20_300), image=value))
    rows = {name: ingest.contribution(opened.name, name, 60).rows for name in ("many", "whole", "http")}
    assert rows == {"many": 5000, "whole": 500, "http": 300}
    assert peak_bytes(ingest_cluster) - before < MOST_GROWTH_BYTES
    huge = Sender(ingest_cluster, command(opened, "huge"), whole.schema)
    huge.send([pa.concat_batches([whole] * 2)])
    refused = huge.refused(ends=False)
    assert isinstance(refused, BadFileError)
    assert "a batch of 1000 rows has more than 64 MiB; send smaller ones" in str(refused)
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 5800


def peak_bytes(ingest_cluster):
    """Return the most memory that the service ever had."""
    lines = Path(f"/proc/{ingest_cluster.pid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
