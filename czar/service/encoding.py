"""Answers as Arrow IPC streams and as Parquet files, with what the columns mean in the fields' metadata."""

from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from czar.answer import SMALL_BYTES
from czar.service.models import ResultFormat
from czar.service.outbox import Outbox

MEDIA_TYPES: dict[ResultFormat, str] = {
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""Of Arrow IPC: a continuation mark, and no message (Arrow columnar format, section "IPC Streaming Format")."""

ROW_GROUP_BYTES = 64 * 2**20
"""Rows are held until there are so many bytes of them: a row group much smaller compresses badly, and readers skip whole ones."""


class Encoder(Protocol):
    """Writes one answer: ``rows`` for each batch, then ``tail``. Each returns what can be sent."""

    few_bytes: int
    """Rows up to this are encoded sooner than a thread for them begins."""
    held_bytes: int
    """Of rows that were added and are not written yet."""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Add a batch."""

    def tail(self) -> bytes:
        """End the answer."""


class ArrowEncoder:
    """Writes an Arrow IPC stream, message by message: pyarrow's writer would call `Outbox` for every buffer of every column, which
    for a batch of 66 columns and 98 rows takes 1.1 ms rather than 0.1.
    """

    few_bytes = 1 << 19
    held_bytes = 0

    def __init__(self, schema: pa.Schema) -> None:
        self._begin: bytes = schema.serialize().to_pybytes()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Add a batch."""
        written: bytes = batch.serialize().to_pybytes()
        return self._begun() + written

    def tail(self) -> bytes:
        """End the stream."""
        return self._begun() + END_OF_STREAM

    def _begun(self) -> bytes:
        begin, self._begin = self._begin, b""
        return begin


class ParquetEncoder:
    """Writes one Parquet file."""

    few_bytes = SMALL_BYTES

    def __init__(self, schema: pa.Schema) -> None:
        self._outbox = Outbox()
        self._writer = pq.ParquetWriter(self._outbox, schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self.held_bytes = 0

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Add a batch; a row group is written when there are rows enough."""
        self._held.append(batch)
        self.held_bytes += batch.nbytes
        if self.held_bytes >= ROW_GROUP_BYTES:
            self._write()
        return self._outbox.take()

    def tail(self) -> bytes:
        """End the file."""
        if self._held:
            self._write()
        self._writer.close()
        return self._outbox.take()

    def _write(self) -> None:
        table = pa.Table.from_batches(self._held)
        self._writer.write_table(table, row_group_size=max(len(table), 1))
        self._held, self.held_bytes = [], 0


ENCODERS: dict[ResultFormat, type[ArrowEncoder] | type[ParquetEncoder]] = {"arrow": ArrowEncoder, "parquet": ParquetEncoder}
