"""A worker that is silent because PostgreSQL computes, and one that is lost."""

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from qserv.errors import NodeUnavailableError
from tests.support.waiting import PATIENCE_S
from workers.client import WorkerClient
from workers.heartbeat import Heartbeat
from workers.protocol import ChunkQuery, ChunkTask

SILENCE_S = 2.0

SILENT_SERVER = """
import time
from pyarrow import flight
class Silent(flight.FlightServerBase):
    def do_get(self, context, ticket):
        time.sleep(600)
server = Silent("grpc://127.0.0.1:0")
print(server.port, flush=True)
server.serve()
"""


def silent_query(client, query_id, seconds):
    query = ChunkQuery(query_id, f"SELECT 1 AS one FROM pg_sleep({seconds})", (ChunkTask(12, {}),), PATIENCE_S)  # noqa: S608 (a number)
    with client.query(query) as answer:
        return pa.Table.from_batches([batch for batch, _ in answer], answer.schema).to_pylist()


@pytest.fixture
def impatient(server, postgres_cluster):
    with WorkerClient("127.0.0.1", server.port, postgres_cluster.secrets.cluster.get_secret_value(), SILENCE_S) as client:
        yield client


def test_a_query_may_be_silent_for_longer_than_its_worker(impatient, query_id):
    assert silent_query(impatient, query_id, 3 * SILENCE_S) == [{"one": 1}]


@pytest.mark.nightly
def test_beats_are_needed(impatient, query_id, monkeypatch):
    # gRPC's pings alone: the worker ends a connection on which nothing else comes.
    monkeypatch.setattr(Heartbeat, "begin", lambda _self: None)
    monkeypatch.setattr(Heartbeat, "end", lambda _self: None)
    with pytest.raises(NodeUnavailableError, match="pings"):
        silent_query(impatient, query_id, PATIENCE_S)


def test_a_frozen_worker_is_lost_within_the_time():
    process = subprocess.Popen([sys.executable, "-c", SILENT_SERVER], stdout=subprocess.PIPE, text=True)
    with process, WorkerClient("127.0.0.1", int(process.stdout.readline()), "secret", SILENCE_S) as client:
        client._beat()  # noqa: SLF001 (so that there is a connection)
        os.kill(process.pid, signal.SIGSTOP)
        begun_s = time.monotonic()
        with pytest.raises(NodeUnavailableError, match="cannot be reached"):
            client.query(ChunkQuery("q", "SELECT 1", (ChunkTask(12, {}),), 2 * PATIENCE_S))
        assert time.monotonic() - begun_s < PATIENCE_S
        process.kill()
