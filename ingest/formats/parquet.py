"""Parquet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.formats.compression import is_copied, seekable
from ingest.formats.source import CELL_BYTES, explained, rows_a_batch
from ingest.locations import Location

READ_AHEAD_BYTES: Final = 1024 * 1024
"""Of each column of a Parquet row group. Without it a row group is read whole, and some writers put a whole file in one."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file."""

    path: Location
    columns: tuple[str, ...]
    groups: tuple[int, ...]
    """Rows of each of its row groups."""
    units: Mapping[str, str]
    ucds: Mapping[str, str]
    descriptions: Mapping[str, str]
    first_group: int = 0
    first_row: int = 1

    @classmethod
    def open(cls, path: Location) -> "ParquetFile":
        """Read the file's footer."""
        with explained(path), seekable(path) as source, pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            groups = tuple(file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups))
            told = told_of(schema)
            return cls(path, tuple(schema.names), groups, told["units"], told["ucds"], told["descriptions"])

    @property
    def row_count(self) -> int:
        """Number of its rows."""
        return sum(self.groups)

    def parts(self, rows: int) -> list["ParquetFile"]:
        """Return parts of whole row groups; see `ingest.formats.source.SourceFile.parts`."""
        with explained(self.path):
            if is_copied(self.path):  # each part would be read from a copy of its own
                return [self]
        found, begin, count = list[ParquetFile](), 0, 0
        for end, group in enumerate(self.groups, 1):
            count += group
            if count >= rows or end == len(self.groups):
                part = replace(self, groups=self.groups[begin:end], first_group=self.first_group + begin)
                found.append(replace(part, first_row=self.first_row + sum(self.groups[:begin])))
                begin, count = end, 0
        return found or [self]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`."""
        rows = rows_a_batch(CELL_BYTES * len(columns))
        with (
            explained(self.path),
            seekable(self.path) as source,
            pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_AHEAD_BYTES) as file,
        ):
            groups = range(self.first_group, self.first_group + len(self.groups))
            yield from file.iter_batches(rows, row_groups=groups, columns=list(columns))


def told_of(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """Return the units, UCDs and descriptions that the metadata of columns say, under ``unit``, ``ucd`` and ``description``."""

    def told(key: bytes) -> dict[str, str]:
        found = {field.name: (field.metadata or {}).get(key, b"").decode(errors="replace") for field in schema}
        return {name: text for name, text in found.items() if text}

    return {"units": told(b"unit"), "ucds": told(b"ucd"), "descriptions": told(b"description")}
