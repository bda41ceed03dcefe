"""From the text of a query to the batches of its answer, cut where it is to be cut."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
from sqlglot import exp

from czar.answer import Answer, encoded_aside, up_to
from czar.parse import DIALECTS
from czar.service.encoding import Encoder
from qserv.errors import QueryValueError

if TYPE_CHECKING:
    from czar.session import Session

Readers = Mapping[str, Callable[[str], exp.Expr]]
"""What reads a dialect that the session itself does not read, by the dialect's name."""


class Asking:
    """Asks a session in any of the dialects that this process reads."""

    def __init__(self, session: "Session", readers: Readers) -> None:
        self.session, self._readers = session, readers
        self.dialects = (*DIALECTS, *readers)

    async def read(self, text: str, dialect: str) -> str | exp.Expr:
        """Return what a session takes. Long texts take long: they are read in a thread.

        Raises
        ------
        QueryError
            The text is not a query, or nothing here reads the dialect.
        """
        if dialect in DIALECTS:
            return text
        if dialect not in self._readers:
            msg = f"dialect {dialect!r} is not known; there are: {', '.join(self.dialects)}"
            raise QueryValueError(msg)
        return await asyncio.to_thread(self._readers[dialect], text)

    async def ask(  # noqa: PLR0913 (what is asked, by whom, and how it is to be known)
        self, text: str, dialect: str, user: str, max_rows: int | None, query_id: UUID | None, *, patient: bool = False
    ) -> Answer:
        """Begin to answer a query; one row more than ``max_rows`` is asked for, to know whether there is more.

        Without ``max_rows``, more rows than an answer may have are an error.
        """
        statement = await self.read(text, dialect)
        rows = None if max_rows is None else max_rows + 1
        return await self.session.query(
            statement, dialect=dialect, user=user, max_rows=rows, text=text, query_id=query_id, patient=patient
        )


def rows_of(answer: Answer, max_rows: int | None) -> AsyncGenerator[tuple[pa.RecordBatch, bool], None]:
    """Yield the batches of an answer up to ``max_rows`` rows, and with each whether more is behind.

    Closing the generator cancels the query.
    """
    return up_to(sys.maxsize if max_rows is None else max_rows, answer.batches())


async def encoded(answer: Answer, max_rows: int | None, encoder: Encoder) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of an answer, a short one in one piece. An error behind the first can only break the connection off."""
    piece = b""
    async with aclosing(rows_of(answer, max_rows)) as batches:
        async for batch, _ in batches:
            # What is held may be written now, too.
            size_bytes = encoder.held_bytes + batch.get_total_buffer_size()
            piece += await encoded_aside(size_bytes, encoder.rows, batch, few_bytes=encoder.few_bytes)
            if piece and not answer.is_over:
                yield piece
                piece = b""
    yield piece + await encoded_aside(encoder.held_bytes, encoder.tail, few_bytes=encoder.few_bytes)
