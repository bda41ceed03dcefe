"""The Parquet file of one partition."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

ROW_GROUP_BYTES: Final = 32 * 2**20
"""Of rows in memory: readers skip groups by their range of pixels, and who writes holds one."""

COMPRESSION: Final = "zstd"


def write_partition(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], key: str) -> pq.FileMetaData:
    """Write the rows of a partition and return the footer of its file.

    Parameters
    ----------
    key
        Name of the column by which the rows are sorted.
    """
    floating = [field.name for field in schema if types.is_floating(field.type)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        path,
        schema,
        compression=COMPRESSION,
        # Halves of numbers that resemble each other, and pixels that ascend, compress better apart.
        column_encoding={**dict.fromkeys(floating, "BYTE_STREAM_SPLIT"), key: "DELTA_BINARY_PACKED"},
        use_dictionary=[field.name for field in schema if types.is_string(field.type) or types.is_boolean(field.type)],
        sorting_columns=[pq.SortingColumn(schema.names.index(key))],
    ) as writer:
        for group in _groups(tables):
            writer.write_table(group, row_group_size=max(len(group), 1))
    return pq.read_metadata(path)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows in pieces of about `ROW_GROUP_BYTES`."""
    waiting: list[pa.Table] = []
    waiting_bytes = 0
    for table in tables:
        rows = max(int(ROW_GROUP_BYTES / max(table.nbytes, 1) * len(table)), 1)
        for start in range(0, len(table), rows):
            piece = table.slice(start, rows)
            waiting.append(piece)
            waiting_bytes += piece.nbytes
            if waiting_bytes >= ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, waiting_bytes = [], 0
    if waiting:
        yield pa.concat_tables(waiting)
