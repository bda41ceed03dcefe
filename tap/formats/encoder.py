"""What every output format does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from tap.formats.fields import Field


@dataclass(frozen=True)
class Facts:
    """What a document says about its query: pairs of INFO name and value."""

    infos: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How an answer ended."""

    overflow: bool = False
    """Whether there are more rows than were asked for at most."""
    error: str | None = None
    """Why the answer is not complete, if it is not."""


class Encoder(Protocol):
    """Writes one answer. Pure: it neither reads nor waits. ``head``, then ``rows`` for each batch, then ``tail``."""

    tells_errors: bool
    """Whether ``tail`` can say that the answer is not complete; if not, the connection must be broken off instead."""

    def __init__(self, fields: Sequence[Field], facts: Facts) -> None: ...

    def head(self) -> bytes:
        """Return what stands before the rows."""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Return the rows of a batch."""

    def tail(self, outcome: Outcome) -> bytes:
        """Return what stands behind the rows."""
