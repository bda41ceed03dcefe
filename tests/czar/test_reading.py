"""Statistics of the metadata database, as a czar plans with them."""

import datetime as dt

import numpy as np
import pytest

from czar.reading import read_catalogue
from qserv.metadata.catalogue import CatalogueRows, ColumnStatistics, DatabaseRow, FamilyRow, TableRow
from schema.model import Column, ColumnType, Table, TableRole
from schema.serialise import column_to_json, table_to_json

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 (columns have no zone)

RANGES = {
    ColumnType.LONG: (("-9223372036854775808", "9007199254740993"), np.int64, [0, -(2**63), 0, 2**53 + 1]),
    ColumnType.DOUBLE: (("-Infinity", "0.1"), np.float64, [0, -np.inf, 0, 0.1]),
    ColumnType.FLOAT: (("-3.4028235e+38", "0.1"), np.float64, [0, -float(np.finfo(np.float32).max), 0, float(np.float32(0.1))]),
    ColumnType.STRING: (("", "\u00e9"), object, ["", "", "", "\u00e9"]),
    ColumnType.TIMESTAMP: (
        ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
        np.dtype("datetime64[us]"),
        [EPOCH, dt.datetime(1, 1, 1), EPOCH, dt.datetime(9999, 12, 31, 23, 59, 59, 999999)],  # noqa: DTZ001 (as above)
    ),
    ColumnType.BOOLEAN: (("false", "true"), np.bool_, [False, False, False, True]),
}


@pytest.mark.parametrize("datatype", RANGES)
def test_ranges_of_chunks(datatype):
    """Chunk 16 has no statistics, chunk 18 has no range."""
    (first, last), dtype, expected = RANGES[datatype]
    ranges = ColumnStatistics((17, 18, 19), (first, None, last), (first, None, last), (1, 2, 3), (True, False, False), (False,) * 3)
    found = entry_of(datatype, ranges).statistics["value"]
    assert found.minimum.dtype == found.maximum.dtype == dtype
    assert found.minimum.tolist() == found.maximum.tolist() == expected
    assert found.is_known.tolist() == [False, True, False, True]
    assert found.null_count.tolist() == [0, 1, 2, 3]
    assert found.has_nan.tolist() == [False, True, False, False]


def test_half_of_a_range_is_none():
    ranges = ColumnStatistics((16, 17), ("1", None), (None, "2"), (0, 0), (False, False), (False, False))
    assert not entry_of(ColumnType.LONG, ranges).statistics["value"].is_known.any()


def test_bytes_have_no_ranges():
    ranges = ColumnStatistics((16,), (None,), (None,), (0,), (False,), (False,))
    assert not entry_of(ColumnType.BINARY, ranges).statistics


def test_pixels_of_a_director_are_those_of_its_chunks():
    """Chunk 0 has the rows without a position; that of 18 is a third of order 1, that of 4 the first base pixel."""
    table = Table("star", TableRole.DIRECTOR, (Column("id", ColumnType.LONG),), director_key="id")
    found = read(table, {}, chunks=(0, 4, 18)).statistics["_healpix_29"]
    assert found.is_known.tolist() == [False, True, True]
    assert found.null_count.tolist() == [5, 0, 0]
    assert found.minimum.tolist()[1:] == [0, 2 * 4**28]
    assert found.maximum.tolist()[1:] == [4**29 - 1, 3 * 4**28 - 1]


def test_pixels_of_a_dependent_are_not_known_of_its_chunks():
    """It lies where its director does, and its own position may be beyond the edge."""
    table = Table("source", TableRole.DEPENDENT, (Column("id", ColumnType.LONG),), director="star", director_key="id")
    assert not read(table, {}, chunks=(4,)).statistics


def entry_of(datatype, ranges):
    return read(Table("values", TableRole.REPLICATED, (Column("value", datatype),)), {"value": ranges})


def read(table, statistics, chunks=(16, 17, 18, 19)):
    row = TableRow(
        table_id=1,
        database="stars",
        name=table.name,
        published=True,
        declaration=table_to_json(table, columns=False),
        columns=(column_to_json(table.columns[0]),),
        facts={},
        chunks=chunks,
        row_counts=(5,) * len(chunks),
        overlap_row_counts=(0,) * len(chunks),
        statistics=statistics,
    )
    rows = CatalogueRows(1, (), (FamilyRow("stars", 0.1, ()),), (DatabaseRow("stars", "stars", "", "1"),), (row,))
    return read_catalogue(rows).entries[0]
