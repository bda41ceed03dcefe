"""Rows on their way into the scratch database."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

PIECE_BYTES: Final = 1_000_000
"""Bytes of the rows that are sent as one message, roughly. For as long as a connection lasts, libpq keeps memory for the largest
that it has sent."""


def watched(batches: Iterable[pa.RecordBatch], failure: list[Exception]) -> Iterator[pa.RecordBatch]:
    """Yield batches in pieces; keep the error that they raise, which Arrow would turn into another one."""
    try:
        for batch in batches:
            yield from _pieces(batch)
    except Exception as error:
        failure.append(error)
        raise


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.get_total_buffer_size() <= PIECE_BYTES:  # a fraction of what `nbytes` costs, but of a slice that of its whole
        yield batch
        return
    rows = max(1, batch.num_rows * PIECE_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
