"""Arrays in PostgreSQL's binary rows -> Arrow lists: values of every type against what psycopg reads."""

import random

import psycopg
import pyarrow as pa
import pytest

from qserv.errors import QueryEvaluationError
from workers.postgresql.stream import PARAMETERS, RowStream

TYPES = [
    ("i % 2 = 0", pa.bool_()),
    ("i::smallint", pa.int16()),
    ("-i", pa.int32()),
    ("i * 9007199254740993", pa.int64()),
    ("i::oid", pa.int64()),
    ("(i / 8.0)::real", pa.float32()),
    ("i / 7::double precision", pa.float64()),
    ("repeat('ä\"{},\\', i % 4)", pa.string()),
    ("i::text::varchar(3)", pa.string()),
    ("i::text::character(5)", pa.string()),
    ("('c' || i)::name", pa.string()),
    ("decode(lpad(to_hex(i), 8, '0'), 'hex')", pa.binary()),
    ("date '1999-12-30' + i", pa.date32()),
    ("timestamp '1999-12-31 23:59:59.999999' + i * interval '1 hour'", pa.timestamp("us")),
    ("timestamptz '1900-01-01 00:00:00+00' + i * interval '1 day'", pa.timestamp("us", "UTC")),
]


@pytest.fixture
def rows_of(conninfo):
    """Read the answer to a query as an Arrow table."""
    stream = RowStream(psycopg.connect(f"{conninfo}?{PARAMETERS}&options=-ctimezone%3DUTC", autocommit=True))

    def read(sql):
        stream.ask(sql)
        schema, batches = stream.schema(), []
        while (batch := stream.next_batch()) is not None:
            batch.validate(full=True)
            batches.append(batch)
        return pa.Table.from_batches(batches, schema)

    yield read
    stream.close()


@pytest.mark.parametrize(("expression", "arrow"), TYPES)
@pytest.mark.parametrize("rows", [4, 300])
def test_values_are_those_that_psycopg_reads(rows_of, conninfo, expression, arrow, rows):
    sql = f"""
        SELECT i, array_agg(v), array_agg(v) FILTER (WHERE j < i % 4), array_agg(CASE WHEN (i + j) % 3 > 0 THEN v END),
               CASE WHEN i % 2 = 0 THEN array_agg(v) END, (array_agg(v))[9:], i
        FROM generate_series(1, {rows}) AS i, LATERAL (SELECT j, {expression} AS v FROM generate_series(1, i % 5 + 1) AS j) AS x
        GROUP BY i"""  # noqa: S608 (a test's own text)
    found = rows_of(sql)
    assert found.schema.types == [pa.int32(), *[pa.list_(arrow)] * 5, pa.int32()]
    with psycopg.connect(f"{conninfo}?options=-ctimezone%3DUTC") as connection:
        expected = connection.execute(sql).fetchall()
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected


def test_numeric_is_the_nearest_double(rows_of):
    (found,) = rows_of("SELECT ARRAY[0.1, NULL, 'NaN', 9007199254740993, -1e-20]::numeric[] AS n").column(0).to_pylist()
    assert list(map(str, found)) == ["0.1", "None", "nan", "9007199254740992.0", "-1e-20"]


def test_a_long_array_of_texts_that_look_like_lengths(rows_of, conninfo):
    draw = random.Random(1)  # noqa: S311 (values to read, no secret)
    texts = [draw.choice([None, "", "\x01\x01\x01\x01", "\x01" * 9, "a" * draw.randint(0, 300)]) for _ in range(3000)]
    bytes_ = [draw.choice([None, b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0" * draw.randint(0, 40)]) for _ in range(3000)]
    with psycopg.connect(conninfo) as connection:
        literals = [psycopg.sql.Literal(values).as_string(connection) for values in (texts, bytes_)]
    found = rows_of(f"SELECT {literals[0]}::text[] AS t, {literals[1]}::bytea[] AS b, 7 AS n")
    assert found.to_pylist() == [{"t": texts, "b": bytes_, "n": 7}]


def test_a_long_array_of_numbers_of_which_some_are_null(rows_of):
    sql = "SELECT array_agg(CASE WHEN i % 7 > 0 THEN i END ORDER BY i) AS n FROM generate_series(8::bigint, 200000) AS i"
    assert rows_of(sql).column(0).to_pylist() == [[i if i % 7 else None for i in range(8, 200_001)]]


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ARRAY[ARRAY[1, 2], ARRAY[3, 4]]", "an array of 2 dimensions"),
        ("'[0:1]={1,2}'::int[]", "first subscript is 0"),
        ("ARRAY['infinity'::timestamp]", "infinite time"),
    ],
)
def test_what_lists_do_not_hold_is_told(rows_of, value, message, rows):
    with pytest.raises(QueryEvaluationError, match=message):
        rows_of(f"SELECT {value} AS a, repeat('a', 100) FROM generate_series(1, {rows})")  # noqa: S608 (a test's own text)
