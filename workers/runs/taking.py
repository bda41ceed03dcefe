"""Rows in another order. Arrow's own `take` needs seven times as long for numbers among which there are NULLs."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import types

from partitioner.healpix import Pixels

BYTES = (1, 2, 4, 8)
"""Of the values that are taken here."""


def taken(rows: pa.RecordBatch, places: Pixels) -> pa.RecordBatch:
    """Return the rows at some places, shape (n,), in the order of these."""
    return gathered([rows], places)


def gathered(batches: Sequence[pa.RecordBatch], places: Pixels) -> pa.RecordBatch:
    """Return the rows of batches of one schema at some places, which go on from one batch to the next.

    One column after the other: together it fits in a processor's cache.
    """
    (first, *_), found = batches, pa.array(places)
    columns = []
    for number in range(first.num_columns):
        column = pa.concat_arrays([batch.column(number) for batch in batches]) if len(batches) > 1 else first.column(number)
        columns.append(_nullable(column, places) if _is_nullable(column) else column.take(found))
    return pa.RecordBatch.from_arrays(columns, schema=first.schema)


def _is_nullable(column: pa.Array) -> bool:
    """Whether it has NULLs, and its other values are of so many bytes each."""
    return column.null_count > 0 and types.is_primitive(column.type) and column.type.bit_width // 8 in BYTES


def _nullable(column: pa.Array, places: Pixels) -> pa.Array:
    validity, values = column.buffers()
    shown = slice(column.offset, column.offset + len(column))
    valid = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[shown].take(places)
    of_places = np.frombuffer(values, f"u{column.type.bit_width // 8}")[shown].take(places)
    bits = np.packbits(valid, bitorder="little")
    nulls = len(places) - int(np.count_nonzero(valid))
    return pa.Array.from_buffers(column.type, len(places), [pa.py_buffer(bits), pa.py_buffer(of_places)], nulls)
