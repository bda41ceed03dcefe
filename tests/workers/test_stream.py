"""Queries past libpq: long answers and rows, errors, what the server says unasked, servers that go away."""

import contextlib
import select
import socket
import struct
import threading
import time

import psycopg
import pyarrow as pa
import pytest

from qserv.cluster import NODE_DATABASE, Role
from qserv.errors import NodeUnavailableError
from schema.model import Column, ColumnType, Table, TableRole
from tests.support.waiting import until
from workers.postgresql.stream import BATCH_BYTES, FIRST_BATCH_BYTES, PARAMETERS, RowStream
from workers.postgresql.wire import ServerError
from workers.protocol import ChunkQuery, ChunkTask

NAME = "row-stream-test"

ENDED = 20
"""Backends that are ended under a worker."""

PLAIN = Table("plain", TableRole.REPLICATED, (Column("n", ColumnType.INT, nullable=False),))


@pytest.fixture
def stream(node, postgres_cluster):
    conninfo = node.postgres.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets)
    stream = RowStream(psycopg.connect(f"{conninfo}?{PARAMETERS}&application_name={NAME}", autocommit=True))
    yield stream
    stream.close()


def batches(stream, sql, **options):
    stream.ask(sql, **options)
    stream.schema()
    return list(iter(stream.next_batch, None))


def numbers(stream, sql, **options):
    return [value for batch in batches(stream, sql, **options) for value in batch.column(0).to_pylist()]


def end_backends(admin):
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [NAME])


def end_waiting_backends(admin):
    """End backends once they wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    until(lambda: admin.execute(waiting, [NAME]).fetchone() == (1,))
    end_backends(admin)


def test_the_first_batch_is_small_and_the_others_are_not(stream):
    found = batches(stream, "SELECT i, repeat('x', 81) AS t FROM generate_series(1, 200000) AS i")
    sizes = [batch.num_rows * 100 for batch in found]
    assert sizes[0] <= FIRST_BATCH_BYTES
    assert BATCH_BYTES / 2 < max(sizes) <= BATCH_BYTES
    assert pa.Table.from_batches(found).column("i").to_pylist() == list(range(1, 200_001))


def test_a_row_longer_than_any_batch_comes_whole(stream):
    found = batches(stream, "SELECT repeat('y', i * 12000000) AS t FROM generate_series(0, 2) AS i")
    assert [len(value.as_py()) for batch in found for value in batch.column(0)] == [0, 12_000_000, 24_000_000]


def test_rows_that_come_slowly_are_handed_on(stream, admin):
    # The server keeps rows back until it has 8 kB. It computes the last one when it may.
    held = "CASE i WHEN 3 THEN (SELECT 3 FROM pg_advisory_xact_lock_shared(31)) ELSE i END"
    admin.execute("SELECT pg_advisory_lock(31)")
    try:
        stream.ask(f"SELECT {held} AS i, repeat('x', 20000) AS t FROM generate_series(1, 3) AS i")  # noqa: S608 (a test's own text)
        found = stream.next_batch().column("i").to_pylist()
        assert set(found) <= {1, 2}
    finally:
        admin.execute("SELECT pg_advisory_unlock(31)")
    assert found + [number for batch in iter(stream.next_batch, None) for number in batch.column("i").to_pylist()] == [1, 2, 3]


def test_an_empty_answer_has_a_schema(stream):
    stream.ask("SELECT 1 AS one, 'x' AS x WHERE false")
    assert stream.schema().names == ["one", "x"]
    assert stream.next_batch() is None
    assert stream.ended


def test_statements_before_a_query_hold_for_it(stream):
    assert numbers(stream, "SELECT current_setting('statement_timeout')", before=["SET statement_timeout = 7000"]) == ["7s"]
    with pytest.raises(ServerError) as raised:
        batches(stream, "SELECT pg_sleep(60)", before=["SET statement_timeout = 50"])
    assert raised.value.sqlstate == "57014"


def test_nothing_comes_before_the_answer(stream, admin):
    """Who asks several servers reads the first one that sends something."""
    admin.execute("SELECT pg_advisory_lock(32)")
    stream.ask("SELECT 1 AS one FROM pg_advisory_xact_lock(32)", before=["SET statement_timeout = 60000"])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    until(lambda: admin.execute(waiting, [NAME]).fetchone() == (1,))
    assert select.select([stream.descriptor], [], [], 0)[0] == []
    admin.execute("SELECT pg_advisory_unlock(32)")
    assert stream.next_batch().column("one").to_pylist() == [1]


@pytest.mark.parametrize(
    "sql", ["SELECT 1 / 0", "SELECT no_such_column", "SELECT 1 / (50000 - i) FROM generate_series(1, 60000) AS i"]
)
def test_after_an_error_the_connection_serves_on(stream, sql):
    with pytest.raises(ServerError) as raised:
        batches(stream, sql)
    assert raised.value.sqlstate in {"22012", "42703"}
    assert stream.ended
    assert numbers(stream, "SELECT 7") == [7]


def test_what_has_no_rows_is_no_query(stream):
    with pytest.raises(ServerError, match="no rows for an answer"):
        batches(stream, "SET work_mem = '8MB'")


def test_notices_among_rows_are_left_out(stream):
    # From the first row on, the server tells of everything it does.
    sql = "SELECT i FROM generate_series(1, 3) AS i WHERE set_config('client_min_messages', 'debug5', false) <> ''"
    assert numbers(stream, sql) == [1, 2, 3]
    assert numbers(stream, "SELECT i FROM generate_series(1, 3) AS i") == [1, 2, 3]


def test_changed_settings_of_the_server_are_no_answer(stream, admin):
    assert numbers(stream, "SELECT 1") == [1]
    admin.execute("ALTER SYSTEM SET intervalstyle = 'iso_8601'")
    try:
        admin.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)
        assert numbers(stream, "SELECT 2") == [2]
    finally:
        admin.execute("ALTER SYSTEM RESET intervalstyle")
        admin.execute("SELECT pg_reload_conf()")
    assert numbers(stream, "SELECT pg_sleep(0.2), 3") == [""]


class Scripted:
    """Stands in for a connection, where a real server cannot be made to send just these bytes."""

    def __init__(self):
        self.ours, self.server = socket.socketpair()
        self.fileno = self.ours.fileno

    def close(self):
        self.ours.close()
        self.server.close()


def message(kind, body=b""):
    return kind + struct.pack(">i", len(body) + 4) + body


def test_an_answer_ends_also_where_something_unasked_follows_it():
    connection = Scripted()
    stream = RowStream(connection)
    column = message(b"T", struct.pack(">h", 1) + b"n\0" + struct.pack(">ihIhih", 0, 0, 23, 4, -1, 1))
    row = message(b"D", struct.pack(">hii", 1, 4, 42))
    connection.server.sendall(column + row + message(b"C", b"SELECT 1\0") + message(b"Z", b"I") + message(b"S", b"TimeZone\0UTC\0"))
    assert numbers(stream, "SELECT n") == [42]
    stream.close()


def test_a_server_that_goes_away_while_it_is_idle_is_told(stream, admin):
    assert numbers(stream, "SELECT 1") == [1]
    end_backends(admin)
    time.sleep(0.1)
    with pytest.raises(ServerError) as raised:
        batches(stream, "SELECT 1")
    assert raised.value.sqlstate in {None, "57P01"}


def test_a_server_that_goes_away_while_the_query_waits_for_a_lock_is_told(stream, admin, prepared, loader):
    prepared(PLAIN)
    with loader.transaction():
        loader.execute("LOCK TABLE worker_test.plain")
        ending = threading.Thread(target=end_waiting_backends, args=[admin])
        ending.start()
        with pytest.raises(ServerError) as raised:
            batches(stream, "SELECT * FROM worker_test.plain")
        ending.join()
    assert (raised.value.sqlstate, raised.value.fatal) == ("57P01", True)


def test_a_server_that_goes_away_among_rows_is_told(stream, admin):
    stream.ask("SELECT generate_series(1, 100000000), repeat('x', 100)")
    assert stream.next_batch() is not None
    end_backends(admin)
    with pytest.raises(ServerError) as raised:
        list(iter(stream.next_batch, None))
    assert raised.value.fatal


def test_a_closed_connection_leaves_no_backend(node, postgres_cluster, admin):
    conninfo = node.postgres.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets)
    stream = RowStream(psycopg.connect(f"{conninfo}?{PARAMETERS}&application_name={NAME}", autocommit=True))
    stream.ask("SELECT generate_series(1, 100000000), repeat('x', 100)")
    stream.close()
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    until(lambda: admin.execute(left, [NAME]).fetchone() == (0,))


def test_a_worker_outlives_backends_that_are_ended_at_any_moment(client, ask, admin, query_id):
    """Every query is answered rightly, or told that the node does not answer."""
    over = threading.Event()
    outcomes = []

    def query(place):
        sql = (
            "SELECT sum(i) AS s, (SELECT count(*) FROM pg_class WHERE relname <> '{x}') > 0 AS c FROM generate_series(1, 300) AS i"
        )
        for number in range(10_000):
            if over.is_set():
                return
            tasks = tuple(ChunkTask(chunk, {"x": str(chunk)}) for chunk in range(4, 7))
            with (
                contextlib.suppress(NodeUnavailableError),
                client.query(ChunkQuery(f"{query_id}-{place}-{number}", sql, tasks, 20.0)) as answer,
            ):
                outcomes.append([batch.column("s").to_pylist() for batch, _ in answer])

    askers = [threading.Thread(target=query, args=(place,)) for place in range(3)]
    for asker in askers:
        asker.start()
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'qserv-worker'"
    ended = 0

    def enough():
        nonlocal ended
        ended += admin.execute(end).fetchone()[0]
        return ended > ENDED and outcomes

    try:
        until(enough)
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert all(outcome == [[45150]] * 3 for outcome in outcomes)
    assert ask("SELECT 1 AS one").to_pylist() == [{"one": 1}]
