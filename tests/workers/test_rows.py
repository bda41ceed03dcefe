"""Bytes of PostgreSQL's protocol -> Arrow: positions of rows, and values of every type against what psycopg reads."""

import random
import struct
from decimal import Decimal

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qserv.errors import NotYetSupportedError, QueryEvaluationError
from workers.postgresql.columns import SLACK_BYTES, MalformedError
from workers.postgresql.rows import FEW_ALIKE, FEW_BYTES, FEW_ROWS, RowDecoder, _layout, complete_rows
from workers.postgresql.stream import PARAMETERS, RowStream
from workers.postgresql.wire import ResultField

INT8, TEXT = 20, 25


def data_row(values):
    """Encode a row as the server does; None is NULL."""
    values = list(values)
    fields = b"".join(struct.pack(">i", -1 if value is None else len(value)) + (value or b"") for value in values)
    return b"D" + struct.pack(">ih", len(fields) + 6, len(values)) + fields


def in_memory(data):
    return np.frombuffer(data + bytes(SLACK_BYTES), np.uint8)


confusing = st.one_of(
    st.none(),
    # What rows are made of, so that values look like rows.
    st.lists(st.sampled_from([b"D", b"\0", b"\0\2", b"\0\0\0\x0e", b"\xff", b"C"]), max_size=12).map(b"".join),
    st.lists(st.just(b"a"), max_size=3).map(lambda values: data_row([*values, None][:2])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(confusing, confusing), max_size=12), st.data())
def test_all_rows_that_are_whole_are_found_wherever_the_bytes_are_cut(rows, data):
    encoded = [data_row(row) for row in rows]
    whole = b"".join(encoded) + b"C\0\0\0\x0dSELECT 2\0"
    cut = data.draw(st.integers(0, len(whole)))
    ends = np.cumsum([len(row) for row in encoded], dtype=np.int64)
    ends = ends[ends <= cut].tolist()
    begins, size = complete_rows(np.frombuffer(whole[:cut], np.uint8), 2)
    assert begins.tolist() == [0, *ends][: len(ends)]
    assert size == (ends[-1] if ends else 0)


values = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))


def int8_or_text(value):
    return value if value is None else value.encode() if isinstance(value, str) else struct.pack(">q", value)


@pytest.mark.parametrize("few_bytes", [0, FEW_BYTES], ids=["by columns", "by values"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(values, values, values, texts, values, texts), min_size=1, max_size=6), min_size=1, max_size=4))
def test_nulls_anywhere_in_any_batch_stay_where_they_are(monkeypatch, few_bytes, batches):
    monkeypatch.setattr("workers.postgresql.rows.FEW_BYTES", few_bytes)
    _layout.cache_clear()  # what was learnt of the NULLs of these columns before
    fields = [ResultField(f"c{place}", TEXT if place in {3, 5} else INT8) for place in range(6)]
    # The first decoder learns, the second one knows.
    for decoder, rows in ((decoder, rows) for decoder in (RowDecoder(fields), RowDecoder(fields)) for rows in batches):
        encoded = b"".join(data_row(map(int8_or_text, row)) for row in rows)
        batch, size = decoder.take(in_memory(encoded + b"D\0"), len(encoded) + 2)
        batch.validate(full=True)
        assert size == len(encoded)
        assert list(zip(*(column.to_pylist() for column in batch.columns), strict=True)) == rows


def test_decoders_of_the_same_columns_learn_which_have_nulls():
    fields = [ResultField(f"shared{place}", INT8) for place in range(3 + FEW_ALIKE)]
    values = [1, None, *range(3, 4 + FEW_ALIKE)]
    encoded = data_row([None if value is None else struct.pack(">q", value) for value in values]) * (FEW_ROWS + 1)
    for _ in range(2):
        batch, _ = RowDecoder(fields).take(in_memory(encoded), len(encoded))
        assert [column.to_pylist() for column in batch.columns] == [[value] * (FEW_ROWS + 1) for value in values]
        assert _layout(tuple(fields)).has_nulls == [value is None for value in values]


LENGTHS = {16: 1, 20: 8, 21: 2, 23: 4, 700: 4, 701: 8, 1082: 4, 1114: 8, 1184: 8}
"""Bytes of values by type."""


def damaged(row, length):
    """Return a row whose first field says that it has another length."""
    return row[:7] + struct.pack(">i", length) + row[11:]


@pytest.fixture(params=[0, FEW_BYTES], ids=["by columns", "by values"])
def take(request, monkeypatch):
    monkeypatch.setattr("workers.postgresql.rows.FEW_BYTES", request.param)

    def taken(oids, rows):
        fields = [ResultField(f"c{place}", oid) for place, oid in enumerate(oids)]
        return RowDecoder(fields).take(in_memory(rows), len(rows))[0]

    return taken


@pytest.mark.parametrize("oid", LENGTHS)
@pytest.mark.parametrize("off", [-1, 1, 8])
def test_a_value_of_another_length_is_no_value_of_the_type(oid, off, take):
    good = data_row([bytes(LENGTHS[oid]), b"text"])
    assert take([oid, TEXT], good + good).num_rows == 2
    with pytest.raises(MalformedError, match=f"does not have {LENGTHS[oid]} bytes"):
        take([oid, TEXT], good + data_row([bytes(LENGTHS[oid] + off), b"text"]))


@pytest.mark.parametrize("oid", [TEXT, 17, 20, 1700])
@pytest.mark.parametrize("length", [-(2**31), -2, 3, 9, 40, 1000, 2**31 - 1])
def test_a_damaged_length_is_an_error_wherever_it_leads(oid, length, take):
    good = data_row([struct.pack(">hhhh", 0, 0, 0, 0), b"text"])  # eight bytes; as a numeric it is zero
    assert take([oid, TEXT], good).num_rows == 1
    for rows in (damaged(good, length), good + damaged(good, length) + good):
        with pytest.raises(MalformedError):
            take([oid, TEXT], rows)


@pytest.mark.parametrize(("oid", "value"), [(1016, b"\0\0\0\0\0\0\0\7"), (1009, b"seven")])
def test_a_damaged_array_is_an_error(oid, value, take):
    def array(count, length):
        return struct.pack(">iiiiii", 1, 0, 0, count, 1, length) + value

    good = data_row([array(1, len(value)), b"text"])
    assert take([oid, TEXT], good + good).num_rows == 2
    for count, length in ((1, len(value) + 1), (1, 1000), (1, -2), (2, len(value)), (2**31 - 1, len(value)), (-1, len(value))):
        if (count, oid) == (-1, 1016) or count >= 0:
            with pytest.raises(MalformedError):
                take([oid, TEXT], good + data_row([array(count, length), b"text"]))
    for short in (1, 4, 19):
        with pytest.raises(MalformedError):
            take([oid, TEXT], good + data_row([array(1, len(value))[:short], b"text"]))


def test_a_numeric_with_more_digits_than_bytes_is_an_error(take):
    with pytest.raises(MalformedError, match="as many bytes as its digits"):
        take([1700], data_row([struct.pack(">hhhh", 32_000, 0, 0, 0)]))


@pytest.fixture
def stream(conninfo):
    stream = RowStream(psycopg.connect(f"{conninfo}?{PARAMETERS}&options=-ctimezone%3DUTC", autocommit=True))
    yield stream
    stream.close()


@pytest.fixture
def rows_of(stream):
    """Read the answer to a query as an Arrow table."""

    def read(sql):
        stream.ask(sql)
        schema, batches = stream.schema(), []
        while (batch := stream.next_batch()) is not None:
            batch.validate(full=True)
            batches.append(batch)
        return pa.Table.from_batches(batches, schema)

    return read


@pytest.mark.parametrize(
    ("expression", "arrow"),
    [
        ("i % 2 = 0", pa.bool_()),
        ("i::smallint", pa.int16()),
        ("-i", pa.int32()),
        ("i * 3000000000", pa.int64()),
        ("i::oid", pa.int64()),
        ("(i / 8.0)::real", pa.float32()),
        ("i / 7::double precision", pa.float64()),
        ("repeat('ä', i % 5)", pa.string()),
        ("i::text::varchar(3)", pa.string()),
        ("i::text::character(5)", pa.string()),
        ("('c' || i)::name", pa.string()),
        ("decode(lpad(to_hex(i), 4, '0'), 'hex')", pa.binary()),
        ("date '1999-12-30' + i", pa.date32()),
        ("timestamp '1999-12-31 23:59:59.999999' + i * interval '1 hour'", pa.timestamp("us")),
        ("timestamptz '1900-01-01 00:00:00+00' + i * interval '1 day'", pa.timestamp("us", "UTC")),
    ],
)
@pytest.mark.parametrize("rows", [9, 900])
def test_values_are_those_that_psycopg_reads(rows_of, conninfo, expression, arrow, rows):
    sql = f"""
        SELECT v, CASE WHEN i % 3 = 0 THEN v END, v, CASE WHEN i % 2 = 0 THEN NULL ELSE v END, CASE WHEN i < 0 THEN v END
        FROM generate_series(1, {rows}) AS i, LATERAL (SELECT {expression} AS v) AS x"""  # noqa: S608 (a test's own text)
    found = rows_of(sql)
    assert found.schema.types == [arrow] * 5
    with psycopg.connect(f"{conninfo}?options=-ctimezone%3DUTC") as connection:
        expected = connection.execute(sql).fetchall()
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected


NUMERICS = [
    "0",
    "-0.5",
    "1",
    "10000",
    "1e20",
    "-1e-20",
    "0.1",
    "123456789.987654321",
    "9007199254740993",
    "1e-308",
    "-17976931348623157e292",
]


def test_numeric_is_the_nearest_double(rows_of):
    digits = random.Random(1)  # noqa: S311 (numbers to read, no secret)
    texts = NUMERICS + [f"{digits.choice(['', '-'])}{digits.getrandbits(2 * n)}e{digits.randint(-30, 30)}" for n in range(1, 300)]
    found = rows_of(f"SELECT v::numeric AS n FROM unnest(ARRAY[{','.join(map(repr, texts))}]) AS v").column(0)  # noqa: S608 (own text)
    assert found.to_pylist() == [float(Decimal(text)) for text in texts]


def test_numeric_has_null_nan_and_infinities(rows_of):
    found = rows_of("SELECT unnest(ARRAY[NULL, 'NaN', 'Infinity', '-Infinity', '2.50']::numeric[]) AS n").column(0)
    assert found.null_count == 1
    assert [str(value) for value in found.to_pylist()] == ["None", "nan", "inf", "-inf", "2.5"]


def test_an_interval_longer_than_nanoseconds_count_is_an_error(rows_of):
    with pytest.raises(QueryEvaluationError, match="292 years"):
        rows_of("SELECT interval '2562048 hours' AS i")


def test_a_time_of_day_is_read(rows_of):
    ((value,),) = rows_of("SELECT time '23:59:59.999999' AS t").cast(pa.schema([("t", pa.int64())])).to_pydict().values()
    assert value == 86_399_999_999


def test_an_interval_keeps_its_parts(rows_of):
    ((value,),) = rows_of("SELECT interval '1 year 2 days 3.5 seconds' AS i").to_pydict().values()
    assert (value.months, value.days, value.nanoseconds) == (12, 2, 3_500_000_000)


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize("value", ["'infinity'::timestamp", "'-infinity'::timestamptz", "'infinity'::date"])
def test_an_infinite_time_is_told(rows_of, value, rows):
    with pytest.raises(QueryEvaluationError, match="infinite time"):
        rows_of(f"SELECT {value} AS t FROM generate_series(1, {rows})")  # noqa: S608 (a test's own text)


def test_a_type_that_no_column_has_is_told(rows_of):
    with pytest.raises(NotYetSupportedError, match="column box of PostgreSQL's type number 603"):
        rows_of("SELECT box(point(1, 2), point(3, 4))")
