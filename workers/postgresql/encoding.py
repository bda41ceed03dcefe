"""Arrow record batches -> rows in COPY's binary format. No I/O."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

MANY_ROWS: Final = 8_192
"""From a batch of as many rows on, compiled loops write them: they take a fifth of the time of ``pgpq``, and half a second once."""

FEW_ROWS: Final = 4_096
"""Of smaller batches, so many rows are written at a time: few megabytes, which are sent while they are in a cache."""

TRAILER: Final = b"\xff\xff"
"""Of the format: -1 fields."""


class RowEncoder:
    """Writes rows of a schema. `header` first, `rows` of each batch, and `trailer` last.

    Parameters
    ----------
    schema
        Of the rows, of types that columns of tables have.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._few: ArrowToPostgresBinaryEncoder | None = ArrowToPostgresBinaryEncoder(schema)
        self._header: bytes = self._few.write_header()

    def header(self) -> bytes:
        """Return what stands before the first row."""
        return self._header

    def rows(self, batch: pa.RecordBatch) -> Iterator[bytes | memoryview]:
        """Yield rows, in their order: some of those that came before, perhaps, and not yet the last ones.

        What is yielded is there until the next is.
        """
        if self._few is not None and batch.num_rows >= MANY_ROWS:
            yield self._few.finish().removesuffix(TRAILER)
            self._few = None
        if self._few is not None:
            for start in range(0, batch.num_rows, FEW_ROWS):
                yield self._few.write_batch(batch.slice(start, FEW_ROWS))
        elif batch.num_rows:
            from workers.postgresql.encoded_blocks import blocks  # noqa: PLC0415 (a worker starts without Numba)

            yield from blocks(batch)

    def trailer(self) -> bytes:
        """Return the last rows, and what stands behind them."""
        return TRAILER if self._few is None else self._few.finish()
