"""Rows of the metadata database -> `Catalogue`."""

from collections.abc import Callable, Sequence

import numpy as np

from czar.catalogue import Catalogue, ColumnStatistics, StatisticsValue, TableEntry
from partitioner.chunkmap import ChunkMap
from qserv.ids import NodeId
from qserv.metadata import catalogue as metadata
from schema.model import ColumnType, Database, Table
from schema.serialise import column_from_json, table_from_json


def _single_precision(text: str) -> float:
    """REAL compares as the double that its 32 bits stand for, not as its shortest decimal."""
    return float(np.float32(text))


_READERS: dict[ColumnType, Callable[[str], StatisticsValue]] = {
    ColumnType.SHORT: int,
    ColumnType.INT: int,
    ColumnType.LONG: int,
    ColumnType.FLOAT: _single_precision,
    ColumnType.DOUBLE: float,
    ColumnType.CHAR: str,
    ColumnType.STRING: str,
    ColumnType.UNICODE: str,
    ColumnType.TEXT: str,
}
"""Types whose ranges prune. Texts compare by code point, as PostgreSQL does under collation C. Times are left out: one moment has
many spellings."""


def read_catalogue(rows: metadata.CatalogueRows) -> Catalogue:
    """Return the catalogue that a czar plans with."""
    families = {row.database: row.family for row in rows.databases}
    entries = tuple(_entry(row, families[row.database]) for row in rows.tables)
    databases = tuple(
        Database(
            name=row.database,
            family=row.family,
            tables=tuple(entry.table for entry in entries if entry.database == row.database),
            description=row.description,
            overlap_deg=next((family.overlap_deg for family in rows.families if family.family == row.family), 0.0),
            version=row.version,
        )
        for row in rows.databases
    )
    replicas: dict[str, dict[int, tuple[NodeId, ...]]] = {}
    for row in rows.tables:
        placed = replicas.setdefault(families[row.database], {})
        for chunk, nodes in row.replicas.items():
            placed[chunk] = tuple(node for node in placed.get(chunk, nodes) if node in nodes)
    return Catalogue(
        version=rows.version,
        databases=databases,
        entries=entries,
        chunk_maps={row.family: ChunkMap.from_nuniq(row.chunks) for row in rows.families if row.chunks},
        replicas=replicas,
        nodes=tuple(node.node_id for node in rows.nodes),
    )


def _entry(row: metadata.TableRow, family: str) -> TableEntry:
    table = table_from_json(row.declaration, [column_from_json(column) for column in row.columns])
    chunks = np.array(row.chunks, dtype=np.int64)
    references = row.facts.get("references", {})
    return TableEntry(
        database=row.database,
        family=family,
        table=table,
        chunks=chunks,
        row_counts=np.array(row.row_counts, dtype=np.int64),
        overlap_row_counts=np.array(row.overlap_row_counts, dtype=np.int64),
        statistics=_statistics(row, table, chunks),
        max_separation_deg=row.facts.get("max_separation_deg"),
        local_references=frozenset(name for name, fact in references.items() if fact.get("complete")),
    )


def _statistics(row: metadata.TableRow, table: Table, chunks: np.ndarray) -> dict[str, ColumnStatistics]:
    found = {}
    for name, ranges in row.statistics.items():
        column = table.by_name.get(name)
        read = _READERS.get(column.datatype) if column else None
        if read is None:
            continue
        places = np.searchsorted(chunks, ranges.chunks)
        null_count = np.zeros(len(chunks), dtype=np.int64)
        has_nan = np.zeros(len(chunks), dtype=np.bool_)
        null_count[places], has_nan[places] = ranges.null_count, ranges.has_nan
        found[name] = ColumnStatistics(
            minimum=_spread(ranges.minimum, places, len(chunks), read),
            maximum=_spread(ranges.maximum, places, len(chunks), read),
            null_count=null_count,
            has_nan=has_nan,
        )
    return found


def _spread(
    texts: Sequence[str | None],
    places: np.ndarray,
    length: int,
    read: Callable[[str], StatisticsValue],
) -> tuple[StatisticsValue | None, ...]:
    values: list[StatisticsValue | None] = [None] * length
    for place, text in zip(places.tolist(), texts, strict=True):
        values[place] = None if text is None else read(text)
    return tuple(values)
