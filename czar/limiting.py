"""LIMIT and OFFSET over batches whose order does not matter."""

from collections.abc import Iterable, Iterator

import pyarrow as pa


def limited(batches: Iterable[pa.RecordBatch], offset: int, limit: int | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows after the first ``offset``, ``limit`` of them at the most (None for all)."""
    if limit == 0:
        return
    left = limit
    for batch in batches:
        if offset >= batch.num_rows:
            offset -= batch.num_rows
            continue
        is_whole = not offset and (left is None or left >= batch.num_rows)
        rest = batch if is_whole else batch.slice(offset, left)  # 3 microseconds, which each of 100,000 chunks would pay
        offset = 0
        yield rest
        if left is not None:
            left -= rest.num_rows
            if left == 0:
                return
