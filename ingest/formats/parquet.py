"""Parquet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.formats.compression import seekable
from ingest.formats.source import CELL_BYTES, explained, rows_a_batch
from ingest.locations import Location

READ_AHEAD_BYTES: Final = 1024 * 1024
"""Of each column of a Parquet row group. Without it a row group is read whole, and some writers put a whole file in one."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file."""

    path: Location
    columns: tuple[str, ...]
    row_count: int | None
    units: Mapping[str, str]
    ucds: Mapping[str, str]
    descriptions: Mapping[str, str]

    @classmethod
    def open(cls, path: Location) -> "ParquetFile":
        """Read the file's footer."""
        with explained(path), seekable(path) as source, pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            return cls(path, tuple(schema.names), file.metadata.num_rows, **told_of(schema))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`."""
        rows = rows_a_batch(CELL_BYTES * len(columns))
        with (
            explained(self.path),
            seekable(self.path) as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_AHEAD_BYTES) as file,
        ):
            yield from file.iter_batches(rows, columns=list(columns))


def told_of(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """Return the units, UCDs and descriptions that the metadata of columns say, under ``unit``, ``ucd`` and ``description``."""

    def told(key: bytes) -> dict[str, str]:
        found = {field.name: (field.metadata or {}).get(key, b"").decode(errors="replace") for field in schema}
        return {name: text for name, text in found.items() if text}

    return {"units": told(b"unit"), "ucds": told(b"ucd"), "descriptions": told(b"description")}
