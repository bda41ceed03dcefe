"""Chunk queries through Flight to PostgreSQL and back."""

import datetime as dt
import itertools

import pyarrow as pa
import pytest

from qserv.errors import NodeUnavailableError
from schema.model import Column, ColumnType, Table, TableRole
from schema.types import arrow_schema
from workers.postgresql.rows import _TYPES, _layout
from workers.protocol import BatchMark, ChunkQuery, ChunkTask, Lane

STAR = Table(
    "star",
    TableRole.DIRECTOR,
    (Column("id", ColumnType.LONG, nullable=False), Column("ra", ColumnType.DOUBLE), Column("dec", ColumnType.DOUBLE)),
    primary_key=("id",),
    ra="ra",
    dec="dec",
    director_key="id",
)

EVERY_TYPE = Table(
    "every_type", TableRole.DIRECTOR, tuple(Column(kind.value, kind) for kind in ColumnType), ra="double", dec="double"
)

VALUES = {
    "boolean": [True, False, None],
    "short": [-32768, 32767, None],
    "int": [-(2**31), 2**31 - 1, None],
    "long": [-(2**63), 2**63 - 1, None],
    "float": [1.5, float("inf"), None],
    "double": [1e308, float("-inf"), None],
    "char": ["é", "", None],
    "string": ["a\tb\n'\"\\", "x" * 5000, None],
    "unicode": ["星", "🌟", None],
    "text": ["t", "", None],
    "binary": [b"\x00\xff", b"", None],
    "timestamp": [dt.datetime(1991, 4, 2), dt.datetime(2200, 1, 1, 0, 0, 0, 1), None],  # noqa: DTZ001 (no zone is kept)
    "_healpix_29": [0, 2**62, None],
    "_contribution": [1, 2**31 - 1, None],
    "_nearest_deg": [0.0, 1e-9, None],
    "_friends": [0, 2**31 - 1, None],
}


def star_rows(ids, schema=None):
    n = len(ids)
    columns = {"id": ids, "ra": [0.5] * n, "dec": [float(i % 90) for i in ids], "_healpix_29": ids}
    columns["_contribution"] = columns["_friends"] = columns["_nearest_deg"] = [None] * n
    position = [("ra", pa.float64()), ("dec", pa.float64())]
    ours = [("_healpix_29", pa.int64()), ("_contribution", pa.int32()), ("_friends", pa.int32()), ("_nearest_deg", pa.float64())]
    return pa.table(columns, schema or pa.schema([("id", pa.int64()), *position, *ours]))


def test_every_type_returns_by_value_with_nulls(client, prepared, load, scan):
    table = prepared(EVERY_TYPE)
    rows = pa.table(VALUES, arrow_schema(table))
    assert load(table, rows, 12) == 3
    with client.query(scan(table, [12])) as answer:
        got = pa.Table.from_batches([batch for batch, _ in answer]).select(rows.column_names)
    assert got.schema.types == rows.schema.types
    assert got.to_pydict() == rows.to_pydict()


def test_batches_carry_their_chunks_which_come_as_they_are_answered(client, prepared, load, scan):
    table = prepared(STAR)
    load(table, star_rows([1, 2, 3]), 20)
    load(table, star_rows([]), 21)
    load(table, star_rows([4]), 22)
    with client.query(scan(table, [22, 21, 20, 22], "id")) as answer:
        assert answer.schema.names == ["id"]
        got = [(mark, batch.column(0).to_pylist()) for batch, mark in answer]
    # Chunks that turn out to be quick may share a statement, and then end together.
    assert sorted(chunk for mark, _ in got for chunk in mark.chunks) == [20, 21, 22, 22]
    assert all(mark.end for mark, _ in got)
    assert sorted(key for _, keys in got for key in keys) == [1, 2, 3, 4, 4]
    assert all(set(keys) <= {key for chunk in mark.chunks for key in {20: [1, 2, 3], 21: [], 22: [4]}[chunk]} for mark, keys in got)


def test_a_long_chunk_comes_in_several_batches_and_only_the_last_is_marked(client, query_id):
    tasks = (ChunkTask(12, {}), ChunkTask(13, {}))
    query = ChunkQuery(query_id, "SELECT i, repeat('x', 100) AS t FROM generate_series(1, 200000) AS i", tasks, 30.0)
    with client.query(query) as answer:
        got = [(*mark.chunks, mark.end, batch.num_rows) for batch, mark in answer]
    for chunk in (12, 13):
        of_chunk = [(end, rows) for number, end, rows in got if number == chunk]
        assert len(of_chunk) > 2
        assert [end for end, _ in of_chunk] == [False] * (len(of_chunk) - 1) + [True]
        assert sum(rows for _, rows in of_chunk) == 200_000
    assert len(list(itertools.groupby(chunk for chunk, _, _ in got))) == 2


def test_many_small_chunks_are_asked_in_few_statements_that_end_together(client, query_id, monkeypatch):
    monkeypatch.setattr("workers.grouping.STATEMENT_S", 5.0)  # they are small on a slow machine, too
    tasks = tuple(ChunkTask(chunk, {"n": str(chunk)}) for chunk in range(100, 400))
    query = ChunkQuery(query_id, "SELECT {n} AS n ORDER BY n LIMIT 1 -- one", tasks, 30.0)
    with client.query(query) as answer:
        got = [(mark, batch.column(0).to_pylist()) for batch, mark in answer]
    chunks = [chunk for mark, _ in got for chunk in mark.chunks]
    assert sorted(chunks) == list(range(100, 400))
    assert all(mark.end and rows == list(mark.chunks) for mark, rows in got)
    assert len(got[0][0].chunks) == 1
    assert len(got) < 100


def test_a_chunk_that_takes_long_does_not_keep_the_others_from_going_on(client, admin, query_id):
    tasks = tuple(ChunkTask(chunk, {"chunk": str(chunk)}) for chunk in range(100, 120))
    sql = "SELECT 1 AS one FROM pg_advisory_xact_lock({chunk}), pg_sleep(0.05)"
    chunks = []
    admin.execute("SELECT pg_advisory_lock(100), pg_advisory_lock(119)")  # the sweep comes from one of its ends
    with client.query(ChunkQuery(query_id, sql, tasks, 60.0)) as answer:
        for _, mark in answer:
            chunks += mark.chunks
            if len(chunks) > 10:
                admin.execute("SELECT pg_advisory_unlock_all()")
    assert sorted(chunks) == list(range(100, 120))
    assert {100, 119}.isdisjoint(chunks[:11])


def test_where_few_rows_are_expected_the_first_statement_is_for_several_chunks(client, query_id):
    tasks = tuple(ChunkTask(chunk, {"n": str(chunk)}) for chunk in range(100, 107))
    query = ChunkQuery(query_id, "SELECT {n} AS n", tasks, 30.0, Lane.INTERACTIVE, 5)
    with client.query(query) as answer:
        got = [(mark, batch.column(0).to_pylist()) for batch, mark in answer]
    assert sorted(mark.chunks for mark, _ in got) == [tuple(range(100, 105)), (105, 106)]
    assert all(rows == list(mark.chunks) for mark, rows in got)


def test_numeric_comes_as_double_precision(ask):
    got = ask("SELECT 1.50::numeric AS n, 'Infinity'::numeric AS infinite, NULL::numeric AS nothing")
    assert got.schema.types == [pa.float64()] * 3
    assert got.to_pylist() == [{"n": 1.5, "infinite": float("inf"), "nothing": None}]


@pytest.mark.parametrize("rows", [1, 100_000])
def test_values_that_are_not_of_their_type_are_an_error_and_the_next_query_is_answered(rows, ask, monkeypatch):
    monkeypatch.setitem(_TYPES, 23, _TYPES[20])  # as if the server sent numbers cut off
    monkeypatch.setattr("workers.postgresql.rows._layout", _layout.__wrapped__)
    sql = f"SELECT i, repeat('x', 9) AS x FROM generate_series(1, {rows}) AS i"  # noqa: S608 (a number)
    with pytest.raises(NodeUnavailableError, match="no rows of the query: a value of type int64 does not have 8 bytes") as met:
        ask(sql)
    assert met.value.retryable
    monkeypatch.undo()
    assert ask(sql).num_rows == rows


def test_hundred_thousand_rows_are_loaded_and_loading_again_replaces_them(client, prepared, load, scan, loader):
    table = prepared(STAR)
    assert load(table, star_rows(list(range(100_000))), 20) == 100_000
    assert load(table, star_rows(list(range(100_000))), 20) == 100_000
    with client.query(scan(table, [20], "count(*) AS n, sum(id) AS s")) as answer:
        ((batch, mark),) = list(answer)
    assert mark == BatchMark((20,), end=True)
    assert batch.column("n").to_pylist() == [100_000]
    frozen = loader.execute("SELECT relallvisible FROM pg_class WHERE relname = 'star_20'").fetchone()
    assert frozen is not None
