"""What a czar knows of published tables: declarations, chunk maps, places of chunks, statistics. One version at a time."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from partitioner.chunkmap import ChunkMap
from qserv.errors import Place, UnknownNameError
from qserv.ids import ChunkId, NodeId, Segment
from schema.model import ColumnType, Database, Table, TableRole

Ranges = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.object_] | NDArray[np.datetime64] | NDArray[np.bool_]
"""Least or greatest values of a column: whole numbers, numbers in double precision, texts, times in microseconds, or booleans."""

WHOLE = frozenset({ColumnType.SHORT, ColumnType.INT, ColumnType.LONG})


def are_among(chunks: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which chunks are among others; both are sorted, without repetition. (NumPy's set functions would sort them again.)"""
    if not len(wanted):
        return np.zeros(len(chunks), dtype=np.bool_)
    found: NDArray[np.bool_] = wanted.take(np.searchsorted(wanted, chunks), mode="clip") == chunks
    return found


@dataclass(frozen=True, eq=False)
class ColumnStatistics:
    """Ranges of one column, one entry a chunk of the table (same order as `TableEntry.chunks`).

    100,000 chunks of 46 columns take 120 MB; as tuples of Python's numbers they took 470 MB, and every condition a loop.
    """

    minimum: Ranges
    maximum: Ranges
    """Of one type: int64, float64, object of str, datetime64[us] or bool. Where the range is not known they hold any value."""
    is_known: NDArray[np.bool_]
    null_count: NDArray[np.int64]
    has_nan: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TableEntry:
    """A published table and what is known of its rows."""

    database: str
    family: str
    table: Table
    chunks: NDArray[np.int64]
    """Sorted numbers of the chunks where the table has rows or overlap rows; -1 alone for a replicated table."""
    row_counts: NDArray[np.int64]
    overlap_row_counts: NDArray[np.int64]
    """Of a ref-match table: pairs whose second row is in the chunk and whose home, where `row_counts` counts them, is elsewhere."""
    statistics: Mapping[str, ColumnStatistics] = field(default_factory=dict)
    max_separation_deg: float | None = None
    """Of a dependent with a position: largest distance of a row from its director row. Of a ref-match table: largest distance of
    the two rows of a pair; None where some pair is not within its home chunk (that of the first row) and the chunk's overlap."""
    local_references: frozenset[str] = frozenset()
    """Names of the foreign keys to other directors of which every pair was found inside a chunk and its overlap at publish."""
    nearest_deg: float | None = None
    """Of a director whose rows say how near the nearest other one is: the largest separation that they know of."""
    friends_deg: NDArray[np.float64] | None = None
    """Of a director, for each of its chunks: rows that are not farther apart are in one group; NaN where that is not known."""

    orphan_chunks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Of a dependent: sorted numbers of the chunks that have rows of keys which its director does not have, or of NULL. Rows of one
    such key may be in several chunks."""

    segments: Mapping[ChunkId, Sequence[Segment]] = field(default_factory=dict)
    """What the rows of some chunks are in, where that is not what a load made alone: by their numbers."""

    margin_deg: float = 0.0
    """How far outside of its chunk a row of the director can be: it stays where its first version was."""

    table_id: int = 0
    """Of the metadata database: a table that takes the place of another one has another."""
    is_large: bool = False
    """Of the rows of a step: whether they are too many to be sent to the nodes."""
    in_metadata: bool = False
    """Whether its rows are in the metadata database alone, as those of provenance. How many there are is not known."""

    @property
    def beyond_deg(self) -> float | None:
        """How far outside of its chunk the position of a row can be; None where that is not known."""
        if self.table.role is not TableRole.DEPENDENT:
            return self.margin_deg
        return None if self.max_separation_deg is None else self.max_separation_deg + self.margin_deg

    @property
    def name(self) -> str:
        """Name as users write it: ``database.table``."""
        return f"{self.database}.{self.table.name}"

    @cached_property
    def row_count(self) -> int:
        """Rows of the whole table."""
        return int(self.row_counts.sum())

    @property
    def known_row_count(self) -> int | None:
        """The same, if it is known."""
        return None if self.in_metadata else self.row_count

    def rows_in(self, chunks: NDArray[np.int64]) -> int:
        """Return how many rows the chunks hold; all rows of a replicated table."""
        if not self.table.partitioned:
            return self.row_count
        return int(self.row_counts[are_among(self.chunks, chunks)].sum())

    def measured_deg(self, chunks: NDArray[np.int64]) -> float | None:
        """Return up to which separation rows of some chunks know how near the nearest other one is; None if not all do.

        Rows of one segment know nothing of those of another one.
        """
        apart = [chunk for chunk, found in self.segments.items() if len(found) > 1]
        return None if apart and np.isin(chunks, apart).any() else self.nearest_deg

    def linking_deg(self, chunks: NDArray[np.int64]) -> float | None:
        """Return up to which separation near rows are in one group in each of some chunks; None if that is not known of all."""
        if self.friends_deg is None:
            return None
        known = self.friends_deg[are_among(self.chunks, chunks)]
        return None if np.isnan(known).any() else float(known.min(initial=np.inf))

    @cached_property
    def home_chunks(self) -> NDArray[np.int64]:
        """Chunks that are home to rows; others have overlap rows alone."""
        return self.chunks[self.row_counts > 0]

    def numbers(self, columns: Sequence[str]) -> list[tuple[int | float | None, ...]] | None:  # noqa: ARG002 (for those that are known)
        """Return the values of some columns in all rows, if these are at hand and the values are numbers; else None."""
        return None

    def is_never_null(self, column: str) -> bool:
        """Whether no row has NULL in a column."""
        declared, found = self.table.by_name.get(column), self.statistics.get(column)
        return (declared is not None and not declared.nullable) or (found is not None and not found.null_count.any())

    def is_whole(self, column: str) -> bool:
        """Whether a column is declared to hold whole numbers."""
        declared = self.table.by_name.get(column)
        return declared is not None and declared.datatype in WHOLE

    def has_rows(self, chunks: NDArray[np.int64], *, overlap: bool = False) -> NDArray[np.bool_]:
        """Return for each of some chunks whether a chunk table, or an overlap table, with rows exists."""
        counts = self.overlap_row_counts if overlap else self.row_counts
        if not len(self.chunks):
            return np.zeros(len(chunks), dtype=np.bool_)
        places = np.minimum(np.searchsorted(self.chunks, chunks), len(self.chunks) - 1)
        return np.asarray((self.chunks[places] == chunks) & (counts[places] > 0), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All published tables, as of one version of the metadata database."""

    version: int
    databases: tuple[Database, ...]
    entries: tuple[TableEntry, ...]
    chunk_maps: Mapping[str, ChunkMap]
    replicas: Mapping[str, Mapping[int, tuple[NodeId, ...]]]
    """Nodes that hold a chunk, by family and chunk."""
    nodes: tuple[NodeId, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names of databases by further names, in lower case, that they are asked by."""

    @cached_property
    def _by_name(self) -> dict[str, list[TableEntry]]:
        found: dict[str, list[TableEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.table.name.lower(), []).append(entry)
        return found

    def row_count(self, database: str, table: str) -> int | None:
        """Return the number of rows of a table, from the counts taken at ingest; None if it is not known."""
        return self.find(database, table, quoted=True).known_row_count

    def find(self, database: str | None, table: str, *, quoted: bool, place: Place | None = None) -> TableEntry:
        """Return the table of a name; unquoted names match in any case.

        Raises
        ------
        UnknownNameError
            No table has the name, or several databases have one and none was named.
        """
        wanted = None if database is None else self.aliases.get(database.lower(), database).lower()
        candidates = [
            entry
            for entry in self._by_name.get(table.lower(), [])
            if (wanted is None or entry.database.lower() == wanted) and (not quoted or entry.table.name == table)
        ]
        if len(candidates) == 1:
            return candidates[0]
        written = f"{database}.{table}" if database else table
        if candidates:
            names = " or ".join(entry.name for entry in candidates)
            msg = f"table {written} is ambiguous: write {names}"
            raise UnknownNameError(msg, place)
        hint = nearest(written, self._spellings(bare=database is None)) or "; tap_schema.tables lists all tables"
        msg = f"unknown table {written}{hint}"
        raise UnknownNameError(msg, place)

    def _spellings(self, *, bare: bool) -> list[str]:
        return [entry.table.name if bare else entry.name for entry in self.entries]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the known name that is most like a name, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[found[0]]}?" if found else ""
