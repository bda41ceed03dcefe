"""From the batches of an answer to the pieces of a document."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pyarrow as pa
import structlog

from czar.answer import SMALL_BYTES, Answer, encoded_aside, up_to
from tap.errors import message_of
from tap.formats.encoder import Encoder, Outcome

PIECE_BYTES = 4 * 2**20
"""Arrow bytes that are encoded at once: enough to be fast, little enough for a hundred readers to fit into memory."""

log = structlog.get_logger()


async def document(answer: Answer, encoder: Encoder, rows: int) -> AsyncGenerator[bytes, None]:
    """Yield the document of an answer, cut after ``rows`` rows; the engine must be asked for one row more.

    The first piece holds the first rows, so that an error before them is raised before anything is sent. An error behind them
    becomes the end of the document where the format can say so; else it is raised, and the connection must be broken off.
    Closing the generator cancels the query.
    """
    head, begun = encoder.head(), False
    try:
        async with aclosing(_limited(answer, rows)) as batches:
            overflow = False
            async for batch, cut in batches:
                overflow = cut
                for piece in pieces(batch):
                    encoded = head + await encoded_aside(piece.nbytes, encoder.rows, piece)
                    head = b""
                    if encoded:
                        yield encoded
                        begun = True
        yield head + encoder.tail(Outcome(overflow=overflow))
    except Exception as error:
        if not begun or not encoder.tells_errors:
            raise
        log.warning("answer failed on its way", query_id=answer.query_id, error=str(error), exc_info=not hasattr(error, "code"))
        yield encoder.tail(Outcome(error=message_of(error)))


async def _limited(answer: Answer, rows: int) -> AsyncGenerator[tuple[pa.RecordBatch, bool], None]:
    """Yield the batches of an answer up to ``rows`` rows, and with each whether it was cut."""
    if not rows:  # MAXREC=0 asks for the columns alone, and is told OVERFLOW without running the query (DALI 1.1, section 3.4.4)
        await answer.close()
        yield pa.RecordBatch.from_pylist([], schema=answer.schema), True
        return
    async with aclosing(up_to(rows, answer.batches())) as batches:
        async for batch in batches:
            yield batch


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch into pieces of about `PIECE_BYTES`."""
    if batch.get_total_buffer_size() <= SMALL_BYTES:  # of many columns, `nbytes` takes as long as to encode a few rows
        yield batch
        return
    count = max(1, -(-batch.nbytes // PIECE_BYTES))
    size = max(1, -(-batch.num_rows // count))
    for start in range(0, max(batch.num_rows, 1), size):
        yield batch.slice(start, size)
