"""Rows of one chunk, held until its end mark: in memory, and beyond a limit on disk."""

import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa


class ChunkBuffer:
    """Batches of one schema. Add them, then iterate once; close it if it is not iterated to its end."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self.size_bytes = 0
        """Bytes of all rows, those on disk too."""
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Hold a batch, in memory while there is room."""
        self._held.append(batch)
        # RecordBatch.nbytes takes 20 microseconds, and lets another thread run; it differs for cut batches alone.
        size_bytes = batch.get_total_buffer_size()
        self._held_bytes += size_bytes
        self.size_bytes += size_bytes
        if self._held_bytes > self._limit_bytes:
            self._spill()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            if self._file is not None and self._writer is not None:
                self._writer.close()
                self._file.seek(0)
                yield from pa.ipc.open_stream(self._file)
            yield from self._held
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what is held."""
        self._held = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _spill(self) -> None:
        if self._file is None or self._writer is None:
            self._file = tempfile.TemporaryFile(prefix="qserv-chunk-")  # noqa: SIM115 (closed by close)
            self._writer = pa.ipc.new_stream(self._file, self._held[0].schema)
        for batch in self._held:
            self._writer.write_batch(batch)
        self._held, self._held_bytes = [], 0
