"""Cancel reaches PostgreSQL, from wherever it comes."""

import subprocess
import sys
import threading

import pytest

from qserv.errors import NodeUnavailableError, QueryCancelledError
from tests.support.waiting import PATIENCE_S, until
from workers.client import WorkerClient
from workers.factory import make_server
from workers.protocol import ChunkQuery, ChunkTask, Lane
from workers.scheduler import LaneRule, Scheduler

LONG_S = 2 * PATIENCE_S
"""What a query takes that nobody cancels: longer than any test waits for its end."""


def sleeping(query_id, chunks=1):
    tasks = tuple(ChunkTask(chunk, {}) for chunk in range(4, 4 + chunks))
    return ChunkQuery(query_id, f"SELECT pg_sleep({LONG_S}) /* {query_id} */", tasks, 2 * LONG_S)


def backends(admin, query_id):
    """Number of PostgreSQL backends that run a query."""
    text = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE %s"
    return admin.execute(text, [f"%/* {query_id} */%"]).fetchone()[0]


class Asker(threading.Thread):
    """Runs a chunk query to its end; keeps its error."""

    def __init__(self, client, query):
        super().__init__()
        self.error = None
        self._client = client
        self._query = query
        self.start()

    def run(self):
        try:
            with self._client.query(self._query) as answer:
                list(answer)
        except QueryCancelledError as error:
            self.error = error


def test_a_cancel_stops_the_query_in_postgresql(client, admin, query_id):
    asker = Asker(client, sleeping(query_id))
    until(lambda: backends(admin, query_id) == 1)
    assert client.cancel(query_id) == 1
    until(lambda: backends(admin, query_id) == 0)
    asker.join(PATIENCE_S)
    assert str(asker.error) == f"query {query_id} was cancelled"


def test_a_cancel_stops_all_chunks_in_flight_and_those_to_come(client, admin, query_id):
    # The first chunk is quick to first rows but slow enough that the next one is begun beside it.
    asker = Asker(client, sleeping(query_id, chunks=5))
    until(lambda: backends(admin, query_id) >= 1)
    client.cancel(query_id)
    asker.join()
    until(lambda: backends(admin, query_id) == 0)
    assert isinstance(asker.error, QueryCancelledError)


def test_a_cancel_while_rows_are_streamed_ends_the_stream(client, query_id):
    sql = "SELECT generate_series(1, 100000000), repeat('x', 1000)"
    with client.query(ChunkQuery(query_id, sql, (ChunkTask(4, {}),), 60.0)) as answer:
        rows = iter(answer)
        next(rows)
        assert client.cancel(query_id) == 1
        with pytest.raises(QueryCancelledError):
            list(rows)


def test_a_cancel_before_the_query_refuses_it(client, query_id):
    assert client.cancel(query_id) == 0
    with pytest.raises(QueryCancelledError):
        client.query(sleeping(query_id))


def test_a_cancel_after_the_query_does_no_harm(client, ask, query_id):
    assert ask("SELECT 1 AS one").num_rows == 1
    assert client.cancel(query_id) == 0


def test_the_connections_of_cancelled_queries_do_not_hurt_later_ones(client, ask, query_id):
    for attempt in range(10):
        asker = Asker(client, sleeping(f"{query_id}-{attempt}"))
        until(lambda: client.health()["queries"] == 1)
        client.cancel(f"{query_id}-{attempt}")
        asker.join()
        assert ask("SELECT pg_sleep(0.01), 1 AS one").num_rows == 1


def test_a_reader_that_goes_away_in_mid_stream_ends_the_query(client, admin, query_id):
    sql = f"SELECT generate_series(1, 100000000), repeat('x', 1000) /* {query_id} */"
    with client.query(ChunkQuery(query_id, sql, (ChunkTask(4, {}), ChunkTask(5, {})), 60.0)) as answer:
        next(iter(answer))
        assert backends(admin, query_id) >= 1
    until(lambda: backends(admin, query_id) == 0)
    until(lambda: client.health()["queries"] == 0)


def test_a_reader_that_is_killed_before_the_first_row_ends_the_query(server, postgres_cluster, admin, query_id):
    secret = postgres_cluster.secrets.cluster.get_secret_value()
    program = (
        "import sys; from workers.client import WorkerClient; from workers.protocol import ChunkQuery; "
        "WorkerClient('127.0.0.1', int(sys.argv[1]), sys.argv[2]).query(ChunkQuery.decode(sys.argv[3].encode()))"
    )
    call = [sys.executable, "-c", program, str(server.port), secret, sleeping(query_id).encode().decode()]
    with subprocess.Popen(call) as reader:
        until(lambda: backends(admin, query_id) == 1)
        reader.kill()
    until(lambda: backends(admin, query_id) == 0)


def test_calls_beyond_the_limit_wait_and_can_be_cancelled(node, postgres_cluster, admin, query_id, tmp_path):
    scheduler = Scheduler({lane: LaneRule(slots=1, each=1, turn_s=60) for lane in Lane}, most_calls=2)
    server = make_server(node, postgres_cluster.secrets, tmp_path, scheduler=scheduler)
    with WorkerClient("127.0.0.1", server.port, postgres_cluster.secrets.cluster.get_secret_value()) as client:
        first = Asker(client, sleeping(f"{query_id}-first"))
        until(lambda: backends(admin, f"{query_id}-first") == 1)
        second = Asker(client, sleeping(f"{query_id}-second"))
        until(lambda: client.health()["waiting"] == 1)
        with pytest.raises(NodeUnavailableError, match="scan lane; try again later"):
            client.query(sleeping(f"{query_id}-third"))
        assert backends(admin, f"{query_id}-second") == 0
        assert client.cancel(f"{query_id}-second") == 1
        second.join(PATIENCE_S)
        assert not second.is_alive()
        assert first.is_alive()
        client.cancel(f"{query_id}-first")
        first.join()
        assert [type(asker.error) for asker in (first, second)] == [QueryCancelledError] * 2
    server.close()


def test_a_worker_that_closes_cancels_what_runs(node, postgres_cluster, admin, query_id, tmp_path):
    server = make_server(node, postgres_cluster.secrets, tmp_path)
    with WorkerClient("127.0.0.1", server.port, postgres_cluster.secrets.cluster.get_secret_value()) as client:
        asker = Asker(client, sleeping(query_id))
        until(lambda: backends(admin, query_id) == 1)
        server.close()
        asker.join()
    assert "shutting down" in str(asker.error)
    until(lambda: backends(admin, query_id) == 0)
