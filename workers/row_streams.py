"""Streams of rows over Flight, of which both ends know that all came: the last message, a `LoadEnd`, says how many there were."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import pyarrow as pa
from pyarrow import flight

from qserv.errors import IngestError, QservError
from workers.protocol import LoadEnd

T = TypeVar("T")


def complete_rows(
    reader: flight.MetadataRecordBatchReader, next_step: str = "nothing was loaded, load again"
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a stream.

    Parameters
    ----------
    next_step
        What the error says to do.

    Raises
    ------
    IngestError
        The stream ended without its `LoadEnd`. Flight does not tell a sender that died from one that is done.
    """
    rows = 0
    end: LoadEnd | None = None
    for chunk in reader:
        if chunk.app_metadata is not None:
            end = LoadEnd.decode(chunk.app_metadata.to_pybytes())
        if chunk.data is not None:
            rows += chunk.data.num_rows
            yield chunk.data
    if end is None or end.rows != rows:
        expected = "" if end is None else f" of {end.rows}"
        msg = f"the stream of rows broke off after {rows} rows{expected}; {next_step}"
        raise IngestError(msg)


class RowSender:
    """Sends streams of rows.

    Parameters
    ----------
    client, options
        To whom, and how each call is made.
    told
        Turns what pyarrow raises into what callers know.
    """

    def __init__(
        self, client: flight.FlightClient, options: flight.FlightCallOptions, told: Callable[[pa.ArrowException], QservError]
    ) -> None:
        self._client, self._options, self._told = client, options, told

    def send(self, command: bytes, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> bytes | None:
        """Send rows to their end; return the answer.

        Errors of `batches` itself pass through: then the stream ends without a `LoadEnd`.
        """
        descriptor = flight.FlightDescriptor.for_command(command)
        with self._errors():
            writer, reader = self._client.do_put(descriptor, schema, self._options)
        rows = 0
        try:
            for batch in batches:
                self._step(writer, partial(writer.write_batch, batch))
                rows += batch.num_rows
        except BaseException:
            # The other end's complaint says less than the cause.
            with contextlib.suppress(pa.ArrowException):
                writer.close()
            raise
        self._step(writer, lambda: writer.write_metadata(pa.py_buffer(LoadEnd(rows).encode())))
        self._step(writer, writer.done_writing)
        answer = self._step(writer, reader.read)
        self._step(writer, writer.close)
        return None if answer is None else bytes(answer.to_pybytes())

    def _step(self, writer: flight.FlightStreamWriter, step: Callable[[], T]) -> T:
        """Take a step. Where it fails, only closing the stream tells what the other end said."""
        with self._errors():
            try:
                return step()
            except pa.ArrowException:
                writer.close()
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowException as error:
            raise self._told(error) from error
