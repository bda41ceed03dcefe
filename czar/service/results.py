"""Results of jobs, as files in a directory that all czars of a metadata database share.

A result is one Arrow IPC stream, compressed. It is written under a temporary name and renamed at its end, so that a file of the
final name is whole; the attempt is part of the name, so that a czar that was taken for dead and wakes overwrites nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import pyarrow as pa

from qserv.errors import NoSuchJobError, StorageFullError

RESULT_DIRECTORY = "results"
"""Directory of results in a cluster's home."""

PART = ".part"
"""What a file's name ends with while it is written."""


class ResultFile:
    """The result of one attempt while it is written."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_stream(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        self.rows = self.size_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._writer.write_batch(batch)
        self.rows += batch.num_rows
        self.size_bytes += batch.nbytes

    def close(self) -> None:
        """End the stream."""
        self._writer.close()


class Results:
    """The directory of results."""

    def __init__(self, home: Path) -> None:
        self.directory = home / RESULT_DIRECTORY

    def path(self, job_id: UUID, attempt: int) -> Path:
        """Return where the whole result of an attempt is, or will be."""
        return self.directory / f"{job_id}-{attempt}.arrow"

    def whole(self, job_id: UUID, attempt: int) -> Path:
        """Return where the whole result of an attempt is.

        Raises
        ------
        NoSuchJobError
            It is not there.
        """
        path = self.path(job_id, attempt)
        if not path.exists():
            msg = f"the result of job {job_id} is not in {self.directory} any more; submit the query again"
            raise NoSuchJobError(msg)
        return path

    @contextmanager
    def writing(self, job_id: UUID, attempt: int, schema: pa.Schema) -> Iterator[ResultFile]:
        """Give a file to write a result to; it gets its name when the block ends well, and goes when it does not.

        Raises
        ------
        StorageFullError
            The disk is full.
        """
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.path(job_id, attempt)
        part = path.with_name(path.name + PART)
        try:
            with part.open("wb") as file:
                result = ResultFile(file, schema)
                yield result
                result.close()
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            msg = f"the result cannot be written to {self.directory} ({error.strerror or error}); ask an admin to make room"
            raise StorageFullError(msg) from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def remove(self, job_id: UUID, *, but: int | None = None) -> None:
        """Delete what a job has written, but for the result of one attempt."""
        kept = None if but is None else self.path(job_id, but)
        for path in self.directory.glob(f"{job_id}-*"):
            if path != kept:
                path.unlink(missing_ok=True)

    def jobs(self) -> set[UUID]:
        """Return the jobs that have files."""
        return {UUID(path.name[:36]) for path in self.directory.glob("*.arrow*")}
