"""Errors of PostgreSQL, of the network and of callers, as the errors of ours that a client sees."""

import psycopg
import pyarrow as pa
import pytest
from pyarrow import flight

from qserv.errors import (
    IngestError,
    InternalError,
    MemoryLimitError,
    NodeUnavailableError,
    PortInUseError,
    QservError,
    QueryEvaluationError,
    QueryLimitError,
    StorageFullError,
)
from schema.model import Column, ColumnType, Table, TableRole
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.execute import Executor
from workers.failures import from_failure, to_flight
from workers.loading import Loader
from workers.postgresql.failures import load_error, query_error
from workers.protocol import ChunkLoad, ChunkQuery, ChunkTask, Failure, Lane
from workers.scheduler import Scheduler, lane_rules
from workers.server import Endpoint, WorkerServer
from workers.turns import Turns

PLAIN = Table("plain", TableRole.REPLICATED, (Column("n", ColumnType.INT, nullable=False),))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT 1 / (5 - i) FROM generate_series(1, 10) AS i", "division by zero"),
        ("SELECT 1 / (500000 - i), repeat('x', 50) FROM generate_series(1, 600000) AS i", "division by zero"),
        ("SELECT 2147483647 + i::integer FROM generate_series(1, 2) AS i", "integer out of range"),
        ("SELECT no_such_function(1)", "function no_such_function(integer) does not exist"),
        ("SELECT 'x'::double precision", 'invalid input syntax for type double precision: "x"'),
    ],
)
def test_an_error_of_evaluation_keeps_postgresqls_message(ask, sql, message):
    with pytest.raises(QueryEvaluationError) as raised:
        ask(sql)
    assert str(raised.value) == message


def test_an_error_in_a_later_chunk_comes_after_the_rows_of_earlier_ones(client, query_id):
    tasks = tuple(ChunkTask(chunk, {"n": str(chunk)}) for chunk in (5, 6, 7, 8))
    got = []
    query = ChunkQuery(query_id, "SELECT 1 / (7 - {n}) AS one", tasks, 20.0, Lane.INTERACTIVE)
    with client.query(query) as answer, pytest.raises(QueryEvaluationError):
        got.extend(mark for _, mark in answer)
    # Two are asked at a time, in their order.
    assert [mark.end for mark in got] == [True] * len(got)
    assert got[0].chunks in {(5,), (6,)}
    assert {mark.chunks for mark in got} <= {(5,), (6,), (8,)}


def test_a_query_over_its_time_limit_is_ended_by_postgresql(ask):
    with pytest.raises(QueryLimitError, match="longer than its time limit"):
        ask("SELECT pg_sleep(20)", timeout_s=0.2)


def test_a_query_over_its_memory_for_temporary_files_is_a_limit():
    assert isinstance(query_error("53400", "temporary file size exceeds temp_file_limit"), QueryLimitError)


def test_a_query_that_needs_more_memory_than_there_is_meets_a_limit(ask):
    """Each advisory lock takes some of the memory that PostgreSQL's processes share, and goes with its transaction."""
    with pytest.raises(MemoryLimitError, match=r"has not enough memory for this part of the query .*; select fewer") as met:
        ask("SELECT COUNT(pg_advisory_xact_lock(i)) FROM generate_series(1, 10000000) AS i")
    assert met.value.code == "query.limit.memory"
    assert ask("SELECT 1 AS one")


def test_a_missing_chunk_table_is_a_node_that_cannot_answer(client, query_id):
    task = ChunkTask(12, {"t": '"nowhere"."star_12"'})
    with pytest.raises(NodeUnavailableError, match=r'relation "nowhere\.star_12" does not exist'):
        client.query(ChunkQuery(query_id, "SELECT * FROM {t}", (task,), 20.0))


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("SELECT * FROM nowhere.star_12", "42P01"),
        ("SELECT FROM FROM", "42601"),
        ("SELECT missing FROM generate_series(1, 2) AS i", "42703"),
        ("SELECT * FROM pg_authid", "42501"),
        ("SELECT nextval('nowhere')", "42P01"),
    ],
)
def test_a_statement_that_cannot_be_run_is_a_mistake_of_ours(ask, sql, sqlstate):
    with pytest.raises(InternalError, match=f"mistake of the system.*{sqlstate}"):
        ask(sql)


def test_damaged_data_is_a_node_that_cannot_answer():
    assert isinstance(query_error("XX001", "invalid page in block 3 of relation base/5/16385"), NodeUnavailableError)


@pytest.mark.parametrize("template", ["SELECT {unknown}", "SELECT {", "SELECT '}'"])
def test_a_template_that_cannot_be_filled_is_told(ask, template):
    with pytest.raises(QservError, match="template"):
        ask(template)


def test_doubled_braces_and_braces_in_names_stay(client, query_id):
    task = ChunkTask(4, {"t": '(SELECT 1 AS "{t}")'})
    with client.query(ChunkQuery(query_id, "SELECT '{{t}}' AS braces, x.* FROM {t} AS x", (task,), 20.0)) as answer:
        ((batch, _),) = list(answer)
    assert batch.to_pylist() == [{"braces": "{t}", "{t}": 1}]


def test_a_query_without_chunks_is_told(client, query_id):
    with pytest.raises(QueryEvaluationError, match="names no chunk"):
        client.query(ChunkQuery(query_id, "SELECT 1", (), 20.0))


def test_a_killed_backend_is_a_node_that_cannot_answer_and_the_next_query_is_answered(ask):
    with pytest.raises(NodeUnavailableError):
        ask("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
    assert ask("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_after_a_restart_of_postgresql_the_next_calls_are_answered(client, ask, admin):
    # Both pools hold idle connections now, which lose their servers.
    ask("SELECT 1 AS one")
    client.health()
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'qserv-worker%'")
    assert ask("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    assert client.health()["queries"] == 0


def test_nobody_listening_is_a_node_that_cannot_answer():
    with WorkerClient("127.0.0.1", 1, "secret") as client, pytest.raises(NodeUnavailableError, match="refused"):
        client.health()


def test_postgresql_that_is_down_is_a_node_that_cannot_answer(query_id, tmp_path):
    conninfo = "postgresql://nobody:nothing@127.0.0.1:1/qserv"
    executor, loader = Executor(reader_conninfo=conninfo, connections=1), Loader(conninfo, tmp_path)
    server = WorkerServer(executor, loader, Turns(Scheduler(lane_rules(1))), Endpoint("alone", "127.0.0.1", 0, "secret"))
    with WorkerClient("127.0.0.1", server.port, "secret") as client:
        with pytest.raises(NodeUnavailableError):
            client.health()
        with pytest.raises(NodeUnavailableError):
            client.query(ChunkQuery(query_id, "SELECT 1", (ChunkTask(4, {}),), 5.0))
    server.close()


@pytest.mark.parametrize("secret", ["", "wrong", "x" * 100_000, "schlüssel"])
def test_a_wrong_secret_is_refused(server, secret):
    with WorkerClient("127.0.0.1", server.port, secret) as client:
        with pytest.raises(NodeUnavailableError):
            client.health()
        with pytest.raises(NodeUnavailableError):
            client.query(ChunkQuery("q", "SELECT 1", (ChunkTask(4, {}),), 5.0))


def test_no_secret_is_refused(server):
    with flight.connect(f"grpc://127.0.0.1:{server.port}") as client, pytest.raises(flight.FlightUnauthenticatedError):
        list(client.do_action(flight.Action("health", b"{}")))


def test_an_unknown_action_and_undecodable_messages_are_told(server, postgres_cluster):
    secret = postgres_cluster.secrets.cluster.get_secret_value()
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {secret}".encode())])
    with flight.connect(f"grpc://127.0.0.1:{server.port}") as client:
        for action in (flight.Action("explode", b"{}"), flight.Action("cancel", b"nonsense"), flight.Action("cancel", b'{"a": 1}')):
            with pytest.raises(flight.FlightServerError, match="cannot understand"):
                list(client.do_action(action, options))
        with pytest.raises(flight.FlightServerError, match="cannot understand"):
            client.do_get(flight.Ticket(b"[]"), options)


def test_a_port_in_use_is_told(server, tmp_path):
    executor, loader = Executor(reader_conninfo="postgresql://", connections=1), Loader("postgresql://", tmp_path)
    with pytest.raises(PortInUseError, match="node-9"):
        WorkerServer(executor, loader, Turns(Scheduler(lane_rules(1))), Endpoint("node-9", "127.0.0.1", server.port, "secret"))


def test_a_full_disk_is_named_as_such():
    # PostgreSQL's own words for ENOSPC; a disk that fills up for real is in tests of the embedded nodes.
    for error in (query_error("53100", "No space left on device"), load_error("53100", "No space left on device", "t")):
        assert isinstance(error, StorageFullError)
        assert "No space left on device" in str(error)


def numbers(**columns):
    """Return rows of integers; they come with the first contribution."""
    found = {name: pa.array(values, getattr(values, "type", pa.int32())) for name, values in columns.items()}
    return pa.table(found | {"_contribution": pa.array([1] * max(map(len, found.values())), pa.int32())})


@pytest.mark.parametrize(
    "rows",
    [
        numbers(n=pa.array([1], pa.int64())),
        numbers(m=[1]),
        pa.table({"n": pa.array([1], pa.int32())}),
        numbers(n=[1], m=[1]),
        numbers(n=[1, None]),
    ],
    ids=["type", "name", "too few", "too many", "null"],
)
def test_rows_that_do_not_fit_their_declaration_are_refused_and_nothing_changes(prepared, load, loader, rows):
    table = prepared(PLAIN)
    load(table, numbers(n=[7]), None)
    with pytest.raises(IngestError, match="plain"):
        load(table, rows, None)
    assert loader.execute("SELECT n FROM worker_test.plain").fetchall() == [(7,)]


def test_a_sender_that_fails_loads_nothing_and_sees_its_own_error(client, prepared, loader):
    table = prepared(PLAIN)

    def rows():
        yield from numbers(n=[1]).to_batches()
        msg = "the file ends early"
        raise pa.ArrowInvalid(msg)

    with pytest.raises(pa.ArrowInvalid, match="ends early"):
        client.load(ChunkLoad("worker_test", table_to_json(table), 12), numbers(n=[]).schema, rows())
    assert loader.execute("SELECT to_regclass('worker_test.plain_12')").fetchone() == (None,)


def test_a_stream_that_breaks_off_loads_nothing(server, postgres_cluster, prepared, loader):
    table = prepared(PLAIN)
    secret = postgres_cluster.secrets.cluster.get_secret_value()
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {secret}".encode())])
    with flight.connect(f"grpc://127.0.0.1:{server.port}") as raw:
        descriptor = flight.FlightDescriptor.for_command(ChunkLoad("worker_test", table_to_json(table), 12).encode())
        writer, _ = raw.do_put(descriptor, numbers(n=[]).schema, options)
        writer.write_table(numbers(n=[1]))
        with pytest.raises(flight.FlightServerError, match="broke off after 1 rows"):
            writer.close()
    assert loader.execute("SELECT to_regclass('worker_test.plain_12')").fetchone() == (None,)


def test_errors_travel_by_code_and_an_unknown_code_becomes_the_class_above():
    for error in (QueryLimitError("too long"), NodeUnavailableError("gone"), IngestError("no")):
        back = from_failure(Failure.decode(bytes(to_flight(error).extra_info)))
        assert (type(back), str(back)) == (type(error), str(error))
    assert type(from_failure(Failure("ingest.of_tomorrow", "x"))) is IngestError
    assert type(from_failure(Failure("of.tomorrow", "x"))) is QservError


def test_chunk_queries_can_write_nothing(ask, loader):
    loader.execute("CREATE TABLE IF NOT EXISTS qserv.precious (n integer)")
    with pytest.raises(InternalError, match="read-only"):
        ask("DELETE FROM qserv.precious")
    with pytest.raises(InternalError, match="read-only"):
        ask("SELECT lo_create(0)")
    loader.execute("DROP TABLE qserv.precious")
    with pytest.raises(psycopg.errors.UndefinedTable):
        loader.execute("TABLE qserv.precious")
