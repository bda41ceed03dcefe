"""Apache Parquet, with the VOTable that describes it in its metadata (IVOA note "VOParquet" 1.0)."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from czar.service.outbox import Outbox
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import Field
from tap.formats.votable import document_head, document_tail

ROW_GROUP_BYTES = 64 * 2**20
"""Rows are held until there are so many bytes of them: a row group much smaller compresses badly, and readers skip whole ones."""


class ParquetEncoder:
    """Writes one Parquet file."""

    tells_errors = False

    def __init__(self, fields: Sequence[Field], facts: Facts) -> None:
        self._fields = tuple(fields)
        self._outbox = Outbox()
        description = (document_head(self._fields, facts) + document_tail(Outcome())).decode()
        metadata = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": description}
        self._schema = pa.schema([pa.field(field.name, field.arrow) for field in self._fields], metadata)
        self._writer = pq.ParquetWriter(self._outbox, self._schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0

    def head(self) -> bytes:
        """Return the beginning of the file."""
        return self._outbox.take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the row groups that are full with this batch."""
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._write()
        return self._outbox.take()

    def _write(self) -> None:
        """Write what is held as one row group."""
        table = pa.Table.from_batches(self._held).rename_columns([field.name for field in self._fields])
        self._writer.write_table(table.replace_schema_metadata(self._schema.metadata), row_group_size=max(len(table), 1))
        self._held, self._held_bytes = [], 0

    def tail(self, outcome: Outcome) -> bytes:  # noqa: ARG002 (the format has no place for it)
        """Return the last row group and the footer."""
        if self._held:
            self._write()
        self._writer.close()
        return self._outbox.take()
