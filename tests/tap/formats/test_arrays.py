"""Columns of arrays in every format; VOTables are read by astropy."""

import csv
import datetime as dt
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse

from czar.result import result_column
from tap.formats.binary2 import Binary2Encoder
from tap.formats.delimited import CsvEncoder, TsvEncoder
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import fields_of
from tap.formats.parquet import ParquetEncoder
from tap.formats.tabledata import TabledataEncoder

VOTABLES = [Binary2Encoder, TabledataEncoder]
DAY = dt.date(2020, 2, 29)
MOMENT = dt.datetime(2020, 2, 29, 12, 0, 0, 250000)  # noqa: DTZ001 (TCB)
COLUMNS = {
    "shorts": (pa.int16(), [[1, None], None, [], [2]]),
    "ints": (pa.int32(), [[None], [2**31 - 1], [-5, 0], None]),
    "longs": (pa.int64(), [[2**53 + 1, None], [2**63 - 1], None, [0]]),
    "floats": (pa.float32(), [[0.5, None], None, [float("inf")], []]),
    "doubles": (pa.float64(), [[1e-300, float("nan")], [None], [], [-float("inf"), 2.0]]),
    "flags": (pa.bool_(), [[True, None, False], None, [], [False]]),
    "texts": (pa.string(), [["a b", 'q"\\', None], ["", "NULL", "{x}", "x,y"], [], None]),
    "days": (pa.date32(), [[DAY, None], [], None, [DAY]]),
    "times": (pa.timestamp("us"), [[MOMENT], None, [None], []]),
    "bytes": (pa.binary(), [[b"\0\xff"], [], None, [None]]),
    "after": (pa.int32(), [1, 2, 3, None]),
}
TEXTS = {
    "shorts": ["{1,NULL}", "", "{}", "{2}"],
    "doubles": ["{1e-300,NaN}", "{NULL}", "{}", "{-Inf,2}"],
    "flags": ["{true,NULL,false}", "", "{}", "{false}"],
    "texts": ['{"a b","q\\"\\\\",NULL}', '{"","NULL","{x}","x,y"}', "{}", ""],
    "days": ["{2020-02-29T00:00:00,NULL}", "{}", "", "{2020-02-29T00:00:00}"],
    "times": ["{2020-02-29T12:00:00.25}", "", "{NULL}", "{}"],
    "bytes": ["{00ff}", "{}", "", "{NULL}"],
}


def answer(columns=COLUMNS):
    """Return a batch with arrays, and its fields."""
    arrays = {name: pa.array(values, kind if name == "after" else pa.list_(kind)) for name, (kind, values) in columns.items()}
    batch = pa.record_batch(arrays)
    return batch, fields_of([result_column(field.name, None, None, field.type) for field in batch.schema], batch.schema)


def encode(encoder, fields, batches):
    writer = encoder(fields, Facts())
    return writer.head() + b"".join(writer.rows(batch) for batch in batches) + writer.tail(Outcome())


def pieces(batch):
    return [batch.slice(0, 1), batch.slice(1, 0), batch.slice(1, 2), batch.slice(3)]


def read(document):
    return parse(io.BytesIO(document), verify="exception").get_first_table()


@pytest.mark.parametrize("encoder", VOTABLES)
def test_numbers_and_booleans_are_arrays_in_votable(encoder):
    batch, fields = answer()
    table = read(encode(encoder, fields, pieces(batch)))
    found = {name: [np.ma.masked_array(value) for value in table.array[name]] for name in ("shorts", "ints", "longs")}
    # astropy does not tell an array that is NULL from an empty one.
    assert [value.tolist() for value in found["shorts"]] == [[1, None], [], [], [2]]
    assert [value.tolist() for value in found["ints"]] == [[None], [2**31 - 1], [-5, 0], []]
    assert [value.tolist() for value in found["longs"]] == [[2**53 + 1, None], [2**63 - 1], [], [0]]
    for name in ("floats", "doubles"):
        kind, values = COLUMNS[name]
        for value, expected in zip(table.array[name], values, strict=True):
            numbers = np.array([np.nan if each is None else each for each in expected or []], kind.to_pandas_dtype())
            np.testing.assert_array_equal(np.ma.filled(value, np.nan), numbers)
    assert [np.ma.masked_array(value).tolist() for value in table.array["flags"]] == [[True, None, False], [], [], [False]]
    assert table.array["after"].tolist() == [1, 2, 3, None]


@pytest.mark.parametrize("encoder", VOTABLES)
def test_anything_else_is_one_text_in_votable(encoder):
    batch, fields = answer()
    table = read(encode(encoder, fields, pieces(batch)))
    for name in ("texts", "days", "times", "bytes"):
        assert table.array[name].tolist() == TEXTS[name]


def test_a_field_says_what_its_elements_are():
    batch, fields = answer()
    by_name = {field.name: field for field in read(encode(Binary2Encoder, fields, [batch])).fields}
    said = {name: (field.datatype, field.arraysize, field.values.null) for name, field in by_name.items()}
    assert said["shorts"] == ("short", "*", -(2**15))
    assert said["longs"] == ("long", "*", -(2**63))
    assert said["doubles"] == ("double", "*", None)
    assert said["flags"] == ("boolean", "*", None)
    assert said["texts"] == said["days"] == ("char", "*", None)
    assert said["after"] == ("int", None, None)


@pytest.mark.parametrize("encoder", VOTABLES)
def test_an_element_that_reads_as_null_is_told(encoder):
    batch, fields = answer({"a": (pa.int16(), [[1, -(2**15)]]), "b": (pa.int16(), [[1, None]])})
    document = encode(encoder, fields, [batch])
    assert b"elements of column a that are -32768 read as NULL" in document
    assert b"elements of column b" not in document


@pytest.mark.parametrize("encoder", VOTABLES)
def test_a_text_beyond_ascii_in_an_array_is_told(encoder):
    batch, fields = answer({"a": (pa.string(), [["Größe", None]])})
    document = encode(encoder, fields, [batch])
    assert read(document).array["a"].tolist() == ["{Gr??e,NULL}"]
    assert b"characters of column a beyond ASCII" in document


def test_no_row_at_all():
    batch, fields = answer()
    for encoder in VOTABLES:
        assert len(read(encode(encoder, fields, [batch.slice(0, 0)])).array) == 0


def test_delimited_texts_are_those_of_postgresql():
    batch, fields = answer()
    rows = list(csv.DictReader(io.StringIO(encode(CsvEncoder, fields, pieces(batch)).decode(), newline="")))
    for name, texts in TEXTS.items():
        assert [row[name] for row in rows] == texts
    lines = encode(TsvEncoder, fields, pieces(batch)).decode().splitlines()
    assert lines[1].split("\t")[6] == TEXTS["texts"][0]


def test_parquet_has_lists():
    batch, fields = answer()
    found = pq.read_table(io.BytesIO(encode(ParquetEncoder, fields, pieces(batch))))
    assert str(found.to_pydict()) == str(batch.to_pydict())
