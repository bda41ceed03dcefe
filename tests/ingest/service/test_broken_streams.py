"""Streams of rows that break off, at either end: nothing half is taken, and who sends them again is served."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from ingest.service import stream_client
from ingest.service.client import Ingest
from qserv.embedded.ports import find_free_port
from qserv.errors import IngestError, IngestLostError
from qserv.metadata.transactions import TransactionState
from tests.ingest.service.conftest import IngestCluster
from tests.ingest.service.test_killed_service import insist
from tests.ingest.service.test_streams import RECEIVING, Sender, batches, command, reader, unfinished
from tests.ingest.service.test_transactions import DONE, answered, committed
from tests.support.freezing import frozen, process_of
from tests.support.waiting import PATIENCE_S, until

SILENCE_S = 1.0

STALLED_S = 5
"""After which a service gives a sender up."""
"""Of a service, or a client, that has little patience."""

ENDLESS = """
import json, sys
import pyarrow as pa
from pyarrow import flight
given = json.loads(sys.argv[1])
batch = pa.record_batch({"id": [1, 2], "ra": [1.0, 2.0], "dec": [1.0, 2.0]})
options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {given['token']}".encode())])
descriptor = flight.FlightDescriptor.for_command(json.dumps(given["command"]).encode())
writer, _ = flight.connect(given["url"]).do_put(descriptor, batch.schema, options)
while True:
    writer.write_batch(batch)
"""


def test_a_sender_that_is_killed_leaves_nothing(ingest, ingest_cluster, opened):
    token, url = ingest_cluster.secrets.cluster.get_secret_value(), ingest_cluster.cluster.ingest_flight_url
    given = json.dumps({"token": token, "url": url, "command": command(opened)})
    with subprocess.Popen([sys.executable, "-c", ENDLESS, given]) as sender:
        until(lambda: any(one.rows > 1000 for one in ingest.contributions(opened.name)))
        sender.kill()
    until(lambda: not unfinished(ingest_cluster))
    assert ingest.contributions(opened.name) == []
    ingest.stream(opened.name, "one", "object", reader(range(10)))
    assert ingest.contribution(opened.name, "one", 60).state is DONE
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 10


def test_a_stream_that_does_not_say_that_it_ends_broke_off(ingest, ingest_cluster, opened):
    sender = Sender(ingest_cluster, command(opened))
    sender.send(batches(range(250)))
    refused = sender.refused(ends=False)
    assert type(refused) is IngestError
    assert "broke off after 250 rows; nothing of contribution one is kept, send it again with" in str(refused)
    sender = Sender(ingest_cluster, command(opened))
    sender.send(batches(range(250)))
    sender.rows += 1
    assert "broke off after 250 rows of 251;" in str(sender.refused())
    assert ingest.contributions(opened.name) == []
    assert not unfinished(ingest_cluster)


def test_a_service_that_is_killed_or_stopped_takes_the_stream_anew(ingest, ingest_cluster, opened):
    for number in (signal.SIGKILL, signal.SIGTERM):
        sender = Sender(ingest_cluster, command(opened))
        sender.send(batches(range(250)))
        until(lambda: ingest.contributions(opened.name))
        ingest_cluster.signal_service(number)
        lost = sender.refused(ends=False)
        assert isinstance(lost, IngestLostError)
        assert "send it again" in str(lost)
        insist(lambda: ingest.load(opened.name))
        assert ingest.contributions(opened.name) == []
        assert not unfinished(ingest_cluster)
    ingest.stream(opened.name, "one", "object", reader(range(250)))
    assert ingest.contribution(opened.name, "one", 60).rows == 250
    assert committed(ingest, opened).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 250


@pytest.mark.parametrize("point", ["service.upload.keep.before", "service.upload.keep.after", "service.contribution.send.after"])
def test_a_service_killed_at_the_end_of_a_stream_counts_it_once(point, ingest, ingest_cluster, opened):
    ingest_cluster.arm(point)
    insist(lambda: ingest.stream(opened.name, "one", "object", reader(range(250))))
    assert insist(lambda: ingest.contribution(opened.name, "one", 60)).rows == 250
    assert ingest_cluster.went_off(point)
    assert insist(lambda: committed(ingest, opened)).state is TransactionState.COMMITTED
    assert ingest_cluster.rows(opened.name, "object") == 250


def test_a_client_gives_up_a_service_that_is_frozen(ingest, ingest_cluster, opened, monkeypatch):
    monkeypatch.setattr(stream_client, "SILENCE_S", SILENCE_S)

    def rows():
        yield from batches(range(100))
        with frozen(process_of(ingest_cluster.cluster.home, "ingest")):
            for _ in range(10**6):
                yield from batches(range(100))

    with pytest.raises(IngestLostError, match="does not answer"):
        ingest.stream(opened.name, "one", "object", pa.RecordBatchReader.from_batches(next(batches([0])).schema, rows()))
    until(lambda: answered(lambda: not ingest.contributions(opened.name)))
    assert not unfinished(ingest_cluster)


@pytest.fixture
def impatient(ingest_cluster, tmp_path):
    """A second service of the cluster, which waits for nobody: with its process, and a client of it."""
    ports = {"ingest_port": find_free_port(set())}
    ports["ingest_flight_port"] = find_free_port(set(ports.values()))
    cluster = dataclasses.replace(ingest_cluster.cluster, home=tmp_path, **ports)
    cluster.save()
    (tmp_path / "secrets.json").write_bytes((ingest_cluster.cluster.home / "secrets.json").read_bytes())
    environment = os.environ | {"QSERV_UPLOAD_SILENCE_S": str(STALLED_S)}
    process = subprocess.Popen([sys.executable, "-m", "ingest.service", "--home", str(tmp_path)], env=environment)
    with Ingest.of_home(tmp_path, "tester") as client:
        insist(lambda: client.loads() is not None)
        yield IngestCluster(cluster, ingest_cluster.secrets, tmp_path), process, client
    process.kill()
    process.wait()


def test_a_sender_that_stalls_is_given_up(ingest, impatient, opened):
    cluster, _, second = impatient
    until(lambda: ingest.load(opened.name).state is TransactionState.OPEN)
    told, left = (Sender(cluster, command(opened, name)) for name in ("told", "left"))
    for sender in (told, left):
        sender.send(batches(range(100)))
    until(lambda: {one.name: one.state for one in second.contributions(opened.name)} == {"told": RECEIVING, "left": RECEIVING})
    until(lambda: "told" not in {one.name for one in second.contributions(opened.name)})
    refused = told.refused(ends=False)
    until(lambda: not second.contributions(opened.name))
    assert not unfinished(cluster)
    assert type(refused) is IngestError
    says = f"nothing more of contribution told of transaction {opened.name} came for {STALLED_S} s; nothing of it is kept"
    assert says in str(refused)
    # Who does not send on is hung up on.
    assert left.answers.read() is None
    assert isinstance(left.refused(ends=False), IngestLostError)


def test_a_service_ends_while_a_sender_stalls(impatient, opened):
    cluster, process, second = impatient
    sender = Sender(cluster, command(opened))
    sender.send(batches(range(100)))
    until(lambda: second.contributions(opened.name))
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert not unfinished(cluster)
    assert isinstance(sender.refused(), IngestLostError)
