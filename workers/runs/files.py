"""Files of the runs of a node: rows sorted by chunk and ``_healpix_29``, and where in the file each chunk's rows are.

``<transaction>/<table>/<run>-<part>.arrow``, all four of them numbers and words of ours. A file gets its name when it is whole and
on the disk: what has another name is left over from a sender or a worker that died.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from partitioner.healpix import Pixels
from qserv.errors import IngestError, StorageFullError
from qserv.failpoints import durable
from qserv.ids import ChunkId
from workers.protocol import PARTS, RunLoad

BEGIN_BYTES: Final = 8
"""Before the first message of an Arrow IPC file ("IPC File Format" of the Arrow columnar format)."""

MAGIC: Final = b"ARROW1"
"""What it ends with."""

LAYOUT: Final = b"qserv.run"
"""Key of the metadata, of a file's schema, that say how its rows lie."""


@dataclass(frozen=True)
class RunFile:
    """Sorted rows in an Arrow IPC file.

    Attributes
    ----------
    chunks
        Chunks that have rows in it, ascending; shape (n,).
    bounds
        Place of the first row of each, and behind the last one; shape (n + 1,).
    starts
        Place of the first row of each batch, and behind the last one; shape (m + 1,).
    schema
        Of the rows.
    places
        Of the batches in the file, bytes: to find them anew for each chunk takes longer than to read their rows.
    """

    path: Path
    chunks: Pixels
    bounds: Pixels
    starts: Pixels
    schema: pa.Schema
    places: Sequence[int]

    @classmethod
    def open(cls, path: Path) -> "RunFile":
        """Read how the rows of a file lie.

        Raises
        ------
        IngestError
            The file is not there, or damaged.
        """
        try:
            return cls._opened(path)
        except (OSError, EOFError, StopIteration, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            msg = f"rows that were sent to this node are lost: {path}: {error}; load them again"
            raise IngestError(msg) from error

    @classmethod
    def _opened(cls, path: Path) -> "RunFile":
        with pa.memory_map(str(path)) as source:
            source.seek(source.size() - len(MAGIC))
            whole = source.read() == MAGIC
            source.seek(BEGIN_BYTES)
            messages = ipc.MessageReader.open_stream(source)
            schema = ipc.read_schema(messages.read_next_message())
            places, ends = [source.tell()], [0]
            for message in messages:
                places.append(source.tell())
                ends.append(ends[-1] + ipc.read_record_batch(message, schema).num_rows)
        layout = json.loads(schema.metadata[LAYOUT])
        chunks, bounds = np.array(layout["chunks"], np.int64), np.array([0, *layout["ends"]], np.int64)
        if not whole or ends[-1] != bounds[-1]:
            msg = "it is cut off"
            raise EOFError(msg)
        return cls(path, chunks, bounds, np.array(ends), schema.remove_metadata(), places[:-1])

    def slice(self, chunk: ChunkId) -> tuple[int, int]:
        """Return the places of the first row of a chunk and behind its last one: the same where it has none."""
        place = int(np.searchsorted(self.chunks, chunk))
        if place == len(self.chunks) or self.chunks[place] != chunk:
            return 0, 0
        return int(self.bounds[place]), int(self.bounds[place + 1])

    def read(self, chunk: ChunkId, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a chunk in order, in batches, each of them mapped until it is forgotten: they never add up."""
        start, end = self.slice(chunk)
        with pa.memory_map(str(self.path)) as source:
            for number in range(np.searchsorted(self.starts, start, "right") - 1, np.searchsorted(self.starts, end)):
                first, behind = self.starts[number : number + 2].tolist()
                low, high = max(start - first, 0), min(end, behind) - first
                source.seek(self.places[number])
                batch = ipc.read_record_batch(ipc.read_message(source), self.schema)
                yield (batch if columns is None else batch.select(columns)).slice(low, high - low)


class RunFiles:
    """The runs of a node, below a directory. All methods may be called from any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, run: RunLoad, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Write a run, in place of one of the same name; return its number of rows, which are on the disk then.

        Raises
        ------
        IngestError
            The rows are not those that the message tells of.
        StorageFullError
            The disk is full.
        """
        path = self._path(run.transaction, run.table, run.run, run.part)
        if not run.chunks or len(run.chunks) != len(run.ends):
            msg = f"run {run.run} does not say which rows are of which chunks; send it again"
            raise IngestError(msg)
        new = path.with_name(path.name + ".new")
        layout = {"chunks": run.chunks, "ends": run.ends}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with pa.OSFile(str(new), "wb") as sink:
                    rows = _write(sink, schema.with_metadata({LAYOUT: json.dumps(layout)}), batches)
                if rows != run.ends[-1]:
                    msg = f"{rows} rows of run {run.run} came, {run.ends[-1]} were told of; send it again"
                    raise IngestError(msg)
                with durable("worker.run.write"):
                    _sync(new)
                    new.rename(path)
                    _sync(path.parent)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            msg = f"{path.parent}: {error}; make room on that disk, then load again"
            raise StorageFullError(msg) from error
        return rows

    def open(self, transaction: int, table: int, runs: Iterable[int], part: str) -> list[RunFile]:
        """Return those of the runs that have rows of a part for this node, in their order."""
        paths = (self._path(transaction, table, run, part) for run in runs)
        return [RunFile.open(path) for path in paths if path.exists()]

    def drop(self, transaction: int, table: int | None = None) -> None:
        """Delete the runs of a transaction, or those of one table of it; does nothing where there are none."""
        place = self._directory / str(transaction)
        # What is there and cannot be deleted is an error: its transaction would be taken for cleared.
        doomed = place if table is None else place / str(table)
        with durable("worker.runs.drop"):
            while doomed.exists():  # until a run that somebody still writes has its name
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(doomed)

    def _path(self, transaction: int, table: int, run: int, part: str) -> Path:
        if part not in PARTS or not all(isinstance(number, int) for number in (transaction, table, run)):
            msg = f"a run is named by three numbers and one of {', '.join(PARTS)}, not by {(transaction, table, run, part)}"
            raise IngestError(msg)
        return self._directory / str(transaction) / str(table) / f"{run}-{part}.arrow"


def _write(sink: pa.NativeFile, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches; return their number of rows."""
    rows = 0
    with ipc.new_file(sink, schema) as writer:
        for batch in batches:
            if batch.num_rows:
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
                rows += batch.num_rows
    return rows


def _sync(path: Path) -> None:
    """Wait until a file, or a directory's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
