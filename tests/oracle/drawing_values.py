"""Values of every type for generated rows: pools with the ends of the type, what sorts and compares oddly, and few that repeat."""

import datetime as dt
import math
from dataclasses import dataclass

import pyarrow as pa

from schema.model import ColumnType
from tests.oracle.edges import BIG, DOUBLES, LABELS, REALS, SEEN, SHORTS

INTEGERS = {ColumnType.SHORT: 2**15, ColumnType.INT: 2**31, ColumnType.LONG: 2**63}
"""Types of integers, and how many of each sign they have."""

FLOATS = (ColumnType.FLOAT, ColumnType.DOUBLE)
TEXTS = (ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.TEXT)

TAME, WILD, FEW, EMPTY = PROFILES = ("tame", "wild", "few", "empty")
"""Sums of tame values are neither rounded nor beyond any type; wild ones are at the ends of it; few repeat; empty are all NULL."""

BYTES = (b"", b"\x00", b"\x00\xff", b"abc", b"it's", b"\\x41", b"\xff" * 20, None)
"""Of a binary column."""

FEW_VALUES = 3

KINDS = (
    dict.fromkeys(INTEGERS, "integer")
    | dict.fromkeys(TEXTS, "text")
    | {ColumnType.FLOAT: "real", ColumnType.DOUBLE: "float", ColumnType.BOOLEAN: "boolean"}
    | {ColumnType.TIMESTAMP: "time", ColumnType.BINARY: "binary"}
)
"""What the generators of queries call the types."""


@dataclass(frozen=True)
class Drawn:
    """How the values of a column are drawn."""

    datatype: ColumnType
    profile: str
    null_fraction: float


def pool(datatype, profile):
    """Return values of a type, NULL among those that are wild."""
    if profile == EMPTY:
        return (None,)
    values = _POOLS[datatype](datatype, wild=profile == WILD)
    return tuple(value for value in values if value is not None)[:FEW_VALUES] if profile == FEW else values


def _integers(datatype, *, wild):
    end = INTEGERS[datatype]
    if not wild:
        return tuple(range(-20, 100))
    ends = (end - 1, -end, end - 2, -end + 1)
    fitting = (value for value in (*BIG, *SHORTS) if value is None or -end <= value < end)
    return tuple(dict.fromkeys((*ends, *fitting)))


def _floats(datatype, *, wild):
    if not wild:
        # Eighths have sums without rounding; a billionth and a third have not.
        return (*(value / 8 for value in range(-40, 200, 3)), *(() if datatype is ColumnType.FLOAT else (1e-9, 1 / 3)))
    return REALS if datatype is ColumnType.FLOAT else DOUBLES


def _texts(_datatype, *, wild):
    return (*LABELS, "back\\slash", "a_b", "NULL", "tab\there", "ẞ") if wild else ("star", "Star", "galaxy", "a", "b")


def _times(_datatype, *, wild):
    first = dt.datetime(2026, 1, 1)  # noqa: DTZ001 (columns have no zone)
    return SEEN if wild else tuple(first + dt.timedelta(hours=7 * number) for number in range(50))


_POOLS = (
    dict.fromkeys(INTEGERS, _integers)
    | dict.fromkeys(FLOATS, _floats)
    | dict.fromkeys(TEXTS, _texts)
    | {ColumnType.TIMESTAMP: _times}
    | {ColumnType.BOOLEAN: lambda _datatype, *, wild: (True, False, None) if wild else (True, False)}
    | {ColumnType.BINARY: lambda _datatype, *, wild: BYTES if wild else BYTES[:4]}
)


def values(random, drawn, count, arrow):
    """Return a column of values, drawn with a numpy generator."""
    found = pool(drawn.datatype, drawn.profile)
    chosen = random.integers(0, len(found), count)
    null = random.random(count) < drawn.null_fraction
    return pa.array([None if gone else found[place] for place, gone in zip(chosen, null, strict=True)], arrow, from_pandas=False)


def literal(value, datatype):
    """Return a value as it is written in SQL, of the same type where that matters."""
    if datatype is ColumnType.BINARY:
        return f"CAST('\\x{value.hex()}' AS BYTEA)"
    if isinstance(value, float) and not math.isfinite(value):
        return f"CAST('{value}' AS DOUBLE PRECISION)"
    if datatype is ColumnType.FLOAT:
        return f"CAST({value!r} AS REAL)"
    if isinstance(value, str):
        return f"'{value.replace(chr(39), chr(39) * 2)}'"
    if isinstance(value, dt.datetime):
        return f"'{value.isoformat(sep=' ')}'"
    return repr(value)
