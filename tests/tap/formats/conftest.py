import datetime as dt
from dataclasses import dataclass

import pyarrow as pa
import pytest

from schema.model import Column, ColumnType, Frame, Table, TableRole, TimeSystem
from tap.formats.fields import fields_of

COLUMNS = (
    Column("id", ColumnType.LONG, "Key.", ucd="meta.id;meta.main"),
    Column("ra", ColumnType.DOUBLE, "Right ascension, <b>& more</b>.", unit="deg", ucd="pos.eq.ra;meta.main"),
    Column("name", ColumnType.STRING, length=12),
    Column("good", ColumnType.BOOLEAN),
    Column("vmag", ColumnType.FLOAT, unit="mag"),
    Column("flag", ColumnType.SHORT),
    Column("hip", ColumnType.INT),
    Column("seen", ColumnType.TIMESTAMP, ucd="time.epoch"),
    Column("label", ColumnType.UNICODE),
    Column("blob", ColumnType.BINARY),
)
TABLE = Table(
    "stars",
    TableRole.DIRECTOR,
    COLUMNS,
    ra="ra",
    dec="ra",
    frame=Frame("ICRS", "J1991.25"),
    time_system=TimeSystem("TCB", "BARYCENTER"),
)
INFINITY = float("inf")
ROWS = {
    "id": [2**62, None, -1, 0],
    "ra": [1e-300, None, float("nan"), -INFINITY],
    "name": ["a<b>&\"'c", None, "", "y ~x,\t\nz"],
    "good": [True, False, None, True],
    "vmag": [1.1, None, INFINITY, -0.0],
    "flag": [-32768, 7, None, 32767],
    "hip": [2**31 - 1, None, 0, -5],
    "seen": [dt.datetime(1991, 4, 2, 13, 30, 0), None, dt.datetime(2020, 1, 1, 0, 0, 0, 250000), dt.datetime(1, 1, 1)],  # noqa: DTZ001 (TCB)
    "label": ["Größe é", None, "🔭 x", ""],
    "blob": [b"\x00\xff", None, b"", b"abc"],
}
ARROW = {
    "id": pa.int64(),
    "ra": pa.float64(),
    "name": pa.string(),
    "good": pa.bool_(),
    "vmag": pa.float32(),
    "flag": pa.int16(),
    "hip": pa.int32(),
    "seen": pa.timestamp("us"),
    "label": pa.string(),
    "blob": pa.binary(),
}


@dataclass(frozen=True)
class Result:
    name: str
    column: Column
    table: Table | None = None


@pytest.fixture
def batch():
    return pa.record_batch({name: pa.array(values, ARROW[name]) for name, values in ROWS.items()})


@pytest.fixture
def fields(batch):
    return fields_of([Result(column.name, column, TABLE) for column in COLUMNS], batch.schema)
