"""What is sent as the body of a request: a file, bytes, or rows, which become an Arrow IPC stream while they are sent."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

Content: TypeAlias = Path | bytes | pa.RecordBatchReader
"""A file, what is in one, or rows."""

PART_BYTES: Final = 1 << 20
"""Of a file that is sent, at a time."""


def parts(content: Content | None) -> Iterator[bytes] | None:
    """Return what is sent, piece by piece, rows a batch at a time; None if nothing is."""
    return None if content is None else _pieces(content)


def parts_async(content: Content | None) -> AsyncIterator[bytes] | None:
    """The same for a program with an event loop, which files and rows do not block."""
    return None if content is None else _in_threads(_pieces(content))


def _pieces(content: Content) -> Iterator[bytes]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            while part := file.read(PART_BYTES):
                yield part
    elif isinstance(content, bytes):
        yield content
    else:
        yield from stream_pieces(content.schema, content)


async def _in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (part := await asyncio.to_thread(next, pieces, None)) is not None:
        yield part


def stream_pieces(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Yield the pieces of an Arrow IPC stream, a batch at a time."""
    written = io.BytesIO()
    with pa.ipc.new_stream(written, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield _taken(written)
    yield _taken(written)


def _taken(written: io.BytesIO) -> bytes:
    """Return what was written, and forget it."""
    found = written.getvalue()
    written.seek(0)
    written.truncate()
    return found
