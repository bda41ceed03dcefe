"""Where the rows of published tables are: on which nodes, and in which physical tables."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from qserv.ids import REPLICATED_CHUNK, ChunkId, NodeId, Segment
from qserv.metadata.catalogue import TableRow
from schema.model import Database
from schema.physical import column_list, rows_of_chunk, together, words_of

OF_TABLE: Final = re.compile(r"\0(\w+)\0")
"""Stands for the columns of a table until it is known which are read. No name has a NUL."""

BASE, OVERLAP = False, True
"""Which rows of a chunk."""


@dataclass(frozen=True)
class Place:
    """Where the rows of a table in a chunk are, how many, and what stands for them and for the overlap in a FROM: see `reading`."""

    nodes: tuple[NodeId, ...]
    rows: int
    base: str
    overlap: str

    @classmethod
    def of(cls, row: TableRow, chunk: ChunkId, nodes: tuple[NodeId, ...], segments: Sequence[Segment]) -> "Place":
        """Return that of some segments of a chunk."""
        physical, columns = None if chunk == REPLICATED_CHUNK else chunk, f"\0{row.name}\0"
        base, overlap = (
            together(rows_of_chunk(row.database, row.name, physical, segments, overlap=part), columns) for part in (BASE, OVERLAP)
        )
        return cls(nodes, sum(segment.row_count for segment in segments), base, overlap)


def segments_of(row: TableRow) -> dict[ChunkId, tuple[Segment, ...]]:
    """Return what the rows of a table are in, by their chunks."""
    counts = zip(row.chunks, row.row_counts, row.overlap_row_counts, strict=True)
    return {chunk: row.segments.get(chunk) or (Segment(0, rows, near),) for chunk, rows, near in counts}


def places_of(row: TableRow) -> dict[ChunkId, Place]:
    """Return where the rows of a table are, by their chunks."""
    return {chunk: Place.of(row, chunk, row.replicas[chunk], found) for chunk, found in segments_of(row).items()}


def reading(relation: str, database: Database, words: AbstractSet[str]) -> str:
    """Return what stands for rows in a FROM of a text that has some words: with the columns that it may read.

    Parameters
    ----------
    relation
        That of a `Place`, maybe with a condition around it.
    """
    named = words | words_of(relation) if OF_TABLE.search(relation) else words

    def columns(found: re.Match[str]) -> str:
        table = database.by_name[found[1]]
        return column_list(column.name for column in (*table.columns, *table.carried) if column.name in named)

    return OF_TABLE.sub(columns, relation)
