"""Arrow IPC: the file format (also called Feather) and the stream format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

import pyarrow as pa
from pyarrow import ipc

from ingest.formats.compression import open_bytes, seekable
from ingest.formats.parquet import told_of
from ingest.formats.source import CELL_BYTES, Undivided, check_names, explained, rows_a_batch
from ingest.locations import Location
from qserv.errors import BadFileError

FILE_MAGIC: Final = b"ARROW1"
STREAM_MAGIC: Final = b"\xff\xff\xff\xff"
"""A message of a stream begins so (since Arrow 0.15)."""

END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The last bytes of a stream. Without them, nobody knows whether it was cut off."""

MOST_IDLE_SHARE: Final = 0.5
"""Columns of which a table needs less than this share of a batch are copied: it may need one of hundreds."""


@dataclass(frozen=True)
class ArrowFile(Undivided):
    """A file of record batches."""

    path: Location
    columns: tuple[str, ...]
    units: Mapping[str, str]
    ucds: Mapping[str, str]
    descriptions: Mapping[str, str]
    is_stream: bool

    @property
    def row_count(self) -> int | None:
        """Not known: only reading it to its end can tell."""
        return None

    @classmethod
    def open(cls, path: Location, *, is_stream: bool) -> "ArrowFile":
        """Read the file's schema."""
        with explained(path):
            if is_stream:
                with open_bytes(path) as file, ipc.open_stream(pa.PythonFile(file, mode="r")) as stream:
                    schema = stream.schema
            else:
                with seekable(path) as file, ipc.open_file(file) as batches:
                    schema = batches.schema
        return cls.of(path, schema, is_stream=is_stream)

    @classmethod
    def of(cls, path: Location, schema: pa.Schema, *, is_stream: bool) -> "ArrowFile":
        """Return a file of which the schema is known, be it there or not."""
        check_names(path, schema.names)
        return cls(path, tuple(schema.names), is_stream=is_stream, **told_of(schema))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`."""
        rows = rows_a_batch(CELL_BYTES * len(columns))
        with explained(self.path):
            for batch in self._stream() if self.is_stream else self._file(columns):
                wanted = batch.select(list(columns))
                if MOST_IDLE_SHARE * batch.nbytes > wanted.nbytes:
                    # The columns of a stream's batch are views of one buffer, which they would keep.
                    wanted = pa.concat_batches([wanted, wanted.slice(0, 0)])
                yield from (wanted.slice(start, rows) for start in range(0, wanted.num_rows, rows))

    def _stream(self) -> Iterator[pa.RecordBatch]:
        with open_bytes(self.path) as file:
            ending = _Ending(file)
            with ipc.open_stream(pa.PythonFile(ending, mode="r")) as stream:
                yield from stream
            ending.read(len(END))
            if ending.last != END:
                msg = f"{self.path} does not end as a stream does: it was cut off, or its writer was not closed; write it again"
                raise BadFileError(msg)

    def _file(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with seekable(self.path) as file:
            names = self.columns
            options = ipc.IpcReadOptions(included_fields=sorted(names.index(name) for name in columns))
            with ipc.open_file(file, options=options) as batches:
                for place in range(batches.num_record_batches):
                    yield batches.get_batch(place)


class _Ending:
    """A file that is read to its end, and tells its last bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    closed = False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.last = (self.last + data[-len(END) :])[-len(END) :]
        return data
