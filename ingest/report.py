"""What a load says: how far it is, and what it did."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Steps of the load of one table."""

    MAPPING = "mapping the sky"
    READING = "reading"
    BUILDING = "making chunk tables"
    PUBLISHING = "publishing"
    INDEXING = "indexing"
    ADDING = "adding the column"


@dataclass(frozen=True)
class Progress:
    """How far a stage is: ``done`` of ``total`` rows, chunks or tables; ``total`` None where it is not known.

    ``table`` is the name of the database while it is published.
    """

    table: str
    stage: Stage
    done: int
    total: int | None


ProgressCallback = Callable[[Progress], None]
"""Called from several threads."""


@dataclass(frozen=True)
class TableReport:
    """What was loaded into a table. ``overlap_rows`` are copies, not counted in ``rows``."""

    table: str
    rows: int
    overlap_rows: int
    chunks: int
    seconds: float
    ignored_columns: tuple[str, ...]
    """Columns of the files that the table does not have."""
    rejected: int = 0
    """Rows that were set aside."""
    orphans: int = 0
    """Rows that were kept though their director has no row of their key."""
    orphan_keys: tuple[int | None, ...] = ()
    """The first of their keys; None is NULL."""


@dataclass(frozen=True)
class LoadReport:
    """What a load did. ``version`` is that of the catalogue in which its tables are first seen."""

    database: str
    tables: tuple[TableReport, ...]
    chunks: int
    """Chunks of the family's map."""
    version: int
    seconds: float
    load: str
    """Name of the load, by which `qserv loads` tells of it."""
