"""Wire messages by which ingest makes and changes the tables of a node, and their answers: more actions of ``workers.protocol``."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from workers.protocol import Action, Message


@dataclass(frozen=True)
class PrepareTable(Action):
    """Make the schema of a database and the empty prototype of a table. Answer: ``{}``.

    The prototype stands in for the chunk tables of chunks where the table has no rows.
    """

    kind: ClassVar[str] = "prepare-table"
    database: str
    declaration: dict[str, Any]


@dataclass(frozen=True)
class BuildTable(Action):
    """Make the tables of all chunks of a table out of its runs, beside its prototype. Answer: a `BuiltChunk` for each, when it is
    committed, the largest first. Building twice builds once. With a number they are a segment beside what the chunks have.
    """

    kind: ClassVar[str] = "build-table"
    database: str
    declaration: dict[str, Any]
    transaction: int
    table: int
    runs: list[int]
    segment: int = 0


class MeasuredColumn(NamedTuple):
    """Range of a column's values that are neither NULL nor NaN, as PostgreSQL writes them; None where it is not known."""

    column: str
    minimum: str | None
    maximum: str | None
    null_count: int
    has_nan: bool
    has_infinity: bool


@dataclass(frozen=True)
class BuiltChunk(Message):
    """A chunk that was made; of a director with what its rows tell of their neighbours: up to which separations, deg."""

    chunk: int
    rows: int
    overlap_rows: int
    statistics: list[MeasuredColumn]
    nearest_deg: float | None = None
    friends_deg: float | None = None

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "statistics": [MeasuredColumn(*each) for each in values["statistics"]]}


@dataclass(frozen=True)
class MergeSegments(Action):
    """Make one segment of several of a chunk (-1: of a replicated table), which stay; twice makes one. Answer: a `BuiltChunk`.

    ``base`` and ``overlap`` name those that have rows of either. Rows that have, in some columns, integers that stand together in
    lists of one of ``without`` are left out, but those of ``fresh`` segments. In the ``background`` all else goes before it.
    """

    kind: ClassVar[str] = "merge-segments"
    database: str
    declaration: dict[str, Any]
    chunk: int
    base: list[int]
    overlap: list[int]
    segment: int
    without: list[dict[str, list[int]]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    background: bool = False


@dataclass(frozen=True)
class EndVersions(Action):
    """Make a segment of a chunk of the former versions of a director's rows. Answer: a `BuiltChunk`. Asking twice makes it once.

    Its rows are those of some segments, ``before``, whose keys rows of a newer one have: they end when these begin.
    """

    kind: ClassVar[str] = "end-versions"
    database: str
    declaration: dict[str, Any]
    chunk: int
    before: list[int]
    newer: int
    segment: int


@dataclass(frozen=True)
class DropRuns(Action):
    """Delete the runs of a transaction, or those of one table of it, if there. Answer: ``{}``."""

    kind: ClassVar[str] = "drop-runs"
    transaction: int
    table: int | None = None


@dataclass(frozen=True)
class DropSegment(Action):
    """Drop the physical tables of a segment of a table, in some chunks or everywhere, if there. Answer: ``{"dropped": count}``."""

    kind: ClassVar[str] = "drop-segment"
    database: str
    table: str
    segment: int
    chunks: list[int] | None = None


@dataclass(frozen=True)
class MoveTable(Action):
    """Move the physical tables of a table from one database to another, where they take the place of its tables of that name.

    It must be hidden from queries meanwhile: other sessions see some tables moved and others not. Answer: ``{"moved": count}``.
    """

    kind: ClassVar[str] = "move-table"
    source: str
    database: str
    table: str


@dataclass(frozen=True)
class IndexTable(Action):
    """Make the indexes that a table should have, and drop the others. Answer: `TablesDone` after each physical table."""

    kind: ClassVar[str] = "index-table"
    database: str
    declaration: dict[str, Any]


@dataclass(frozen=True)
class AlterTable(Action):
    """Add a column to all physical tables of a table, and drop those not declared. Answer: `TablesDone`, over and over."""

    kind: ClassVar[str] = "alter-table"
    database: str
    declaration: dict[str, Any]
    column: str | None


@dataclass(frozen=True)
class TablesDone(Message):
    """Physical tables that are as they should be, and all of them."""

    done: int
    total: int


@dataclass(frozen=True)
class DropTable(Action):
    """Drop the prototype and every chunk and overlap table of a table, if there. Answer: ``{"dropped": count}``."""

    kind: ClassVar[str] = "drop-table"
    database: str
    table: str
