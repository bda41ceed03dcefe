"""Joins small batches: each of them costs whoever handles it as much, be it of one row or of a thousand."""

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

from czar.buffer import ChunkBuffer

Part = tuple[pa.RecordBatch, bool]
"""Rows of an answer, and whether they are known to be the last."""

SMALL_BYTES: Final = 1 << 16
"""Of a chunk whose rows are joined with others': so few that they are copied in no time."""

JOINED_BYTES: Final = 1 << 20
"""Of joined batches; larger ones spoil caches."""


GATHERED_BYTES: Final = 1 << 19
"""Of rows that come together: more are handed on before the last of them are here."""


def joined(chunks: Iterable[ChunkBuffer]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of chunks of one schema, those of small ones joined. The order of chunks is not kept: it means nothing."""
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for chunk in chunks:
        if chunk.size_bytes > SMALL_BYTES:
            yield from chunk
            continue
        held += chunk
        held_bytes += chunk.size_bytes
        if held_bytes > JOINED_BYTES:
            yield pa.concat_batches(held)
            held, held_bytes = [], 0
    if held:
        yield _one(held)


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[Part]:
    """Yield batches, small ones joined: for rows that come soon, so that whoever hands them on does so once."""
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in batches:
        held.append(batch)
        held_bytes += batch.get_total_buffer_size()
        if held_bytes > GATHERED_BYTES:
            yield _one(held), False
            held, held_bytes = [], 0
    if held:
        yield _one(held), True


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.concat_batches(batches) if len(batches) > 1 else batches[0]
