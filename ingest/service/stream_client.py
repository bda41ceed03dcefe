"""Sends rows to the ingest service over Arrow Flight."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import flight

from ingest.formats.source import BATCH_BYTES
from ingest.service.models import ContributionInfo, StreamRequest
from ingest.service.stream_errors import from_flight
from qserv.errors import IngestError, IngestLostError
from workers.client import SILENCE_S, channel_options
from workers.heartbeat import Heartbeat
from workers.protocol import AUTHORIZATION, Beat
from workers.row_streams import RowSender


def send_stream(
    url: str, token: str, request: StreamRequest, rows: pa.RecordBatchReader, stopped: threading.Event | None = None
) -> ContributionInfo:
    """Send rows to the service that takes them at a Flight location, as they come.

    Parameters
    ----------
    stopped
        When it is set, no more rows are sent, and nothing is kept of those that were.

    Raises
    ------
    QservError
        What the service told of.
    IngestLostError
        It does not answer.
    IngestError
        It was stopped.
    """
    header = (AUTHORIZATION.encode(), f"Bearer {token}".encode())
    options = [*channel_options(SILENCE_S), ("grpc.enable_http_proxy", 0)]
    with flight.connect(url, generic_options=options) as client:

        def beat() -> None:
            with contextlib.suppress(pa.ArrowException):
                action = flight.Action(Beat.kind, Beat().encode())
                list(client.do_action(action, flight.FlightCallOptions(timeout=SILENCE_S, headers=[header])))

        heartbeat = Heartbeat(beat, SILENCE_S / 3)
        sender = RowSender(client, flight.FlightCallOptions(headers=[header]), lambda error: from_flight(error, url))
        with contextlib.closing(heartbeat), heartbeat.during():
            answer = sender.send(request.model_dump_json().encode(), rows.schema, _parts(rows, stopped or threading.Event()))
    if answer is None:
        msg = f"the ingest service at {url} did not confirm contribution {request.contribution}; send it again"
        raise IngestLostError(msg)
    return ContributionInfo.model_validate_json(answer)


async def send_stream_async(url: str, token: str, request: StreamRequest, rows: pa.RecordBatchReader) -> ContributionInfo:
    """Send rows in a thread, which stops when the task is cancelled."""
    stopped = threading.Event()
    try:
        return await asyncio.to_thread(send_stream, url, token, request, rows, stopped)
    finally:
        stopped.set()


def _parts(rows: pa.RecordBatchReader, stopped: threading.Event) -> Iterator[pa.RecordBatch]:
    """Yield rows in batches that are not large: both ends have some in memory."""
    for batch in rows:
        if stopped.is_set():
            break
        length = max(1, batch.num_rows * BATCH_BYTES // max(batch.nbytes, 1))
        yield from (batch.slice(start, length) for start in range(0, batch.num_rows, length))
    if stopped.is_set():
        msg = "the task that sent these rows was cancelled; send them again if they are to be taken"
        raise IngestError(msg)
