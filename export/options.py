"""What an export is told, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from partitioner.overlap import MAX_OVERLAP_DEG
from qserv.errors import ExportError

ARCSEC_A_DEGREE: Final = 3600

Progress = Callable[[str, int, int | None], object]
"""Told of a stage, of how much of it is done, and of how much there is, if that is known."""


def NO_PROGRESS(_stage: str, _done: int, _total: int | None) -> None:  # noqa: N802 (a constant that is a function)
    """Tell nobody."""


@dataclass(frozen=True)
class ExportOptions:
    """How a collection is written.

    Attributes
    ----------
    margin_arcsec
        How far around a partition its margin reaches; 0 for none.
    partition_rows, partition_bytes
        Of a partition in memory, at the most; whichever is met first.
    overwrite
        Whether a collection that is there is replaced.
    """

    margin_arcsec: float = 5.0
    partition_rows: int = 1_000_000
    partition_bytes: int = 2**30
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        ExportError
            The margin is too large.
        """
        if not 0 <= self.margin_arcsec <= MAX_OVERLAP_DEG * ARCSEC_A_DEGREE:
            msg = f"a margin of {self.margin_arcsec:g} arcsec is outside 0 to {MAX_OVERLAP_DEG * ARCSEC_A_DEGREE:g}"
            raise ExportError(msg)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    rows
        All of them; ``without_position`` are in a file of their own.
    schema_file
        Name of the Felis file, by which the collection can be loaded again.
    table
        The name that it gives the table.
    """

    rows: int
    without_position: int
    partitions: int
    margin_rows: int
    schema_file: str
    table: str
