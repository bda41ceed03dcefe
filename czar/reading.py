"""Rows of the metadata database -> `Catalogue`."""

from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from operator import attrgetter
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from czar.catalogue import Catalogue, ColumnStatistics, Ranges, TableEntry
from czar.patching import patched, with_places
from partitioner.chunkmap import ChunkMap
from partitioner.healpix import nuniq_of, pixels_of_nuniq, range_starts
from qserv.ids import NULL_CHUNK, REPLICATED_CHUNK, NodeId
from qserv.metadata import catalogue as metadata
from qserv.metadata.catalogue import Json
from schema.model import HEALPIX, ColumnType, Database, Table, TableRole
from schema.provenance import PROVENANCE
from schema.serialise import column_from_json, table_from_json

Element = TypeVar("Element", bound=np.generic)


def _integers(texts: list[str]) -> NDArray[np.int64]:
    return np.fromiter(map(int, texts), np.int64, len(texts))


def _doubles(texts: list[str]) -> NDArray[np.float64]:
    return np.fromiter(map(float, texts), np.float64, len(texts))


def _singles(texts: list[str]) -> NDArray[np.float64]:
    """REAL compares as the double that its 32 bits stand for, not as its shortest decimal."""
    return _doubles(texts).astype(np.float32).astype(np.float64)


def _texts(texts: list[str]) -> NDArray[np.object_]:
    return np.array(texts, dtype=np.object_)


def _moments(texts: list[str]) -> NDArray[np.datetime64]:
    return np.array(texts, dtype="datetime64[us]")


def _truths(texts: list[str]) -> NDArray[np.bool_]:
    return np.array([text == "true" for text in texts], dtype=np.bool_)


_READERS: dict[ColumnType, Callable[[list[str]], Ranges]] = {
    ColumnType.SHORT: _integers,
    ColumnType.INT: _integers,
    ColumnType.LONG: _integers,
    ColumnType.FLOAT: _singles,
    ColumnType.DOUBLE: _doubles,
    ColumnType.CHAR: _texts,
    ColumnType.STRING: _texts,
    ColumnType.UNICODE: _texts,
    ColumnType.TEXT: _texts,
    ColumnType.TIMESTAMP: _moments,
    ColumnType.BOOLEAN: _truths,
}
"""Types whose ranges prune: all but binary. Texts compare by code point, as PostgreSQL does under collation C."""


def read_catalogue(rows: metadata.CatalogueRows) -> Catalogue:
    """Return the catalogue that a czar plans with."""
    families = {row.database: row.family for row in rows.databases}
    margins = _margins((row.database, row.declaration) for row in rows.tables)
    entries = tuple(_entry(row, families[row.database], margins) for row in rows.tables)
    loaded = tuple(
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
        databases=tuple(sorted((*loaded, PROVENANCE), key=attrgetter("name"))),
        entries=(*entries, *PROVENANCE_ENTRIES),
        chunk_maps={row.family: ChunkMap.from_nuniq(row.chunks) for row in rows.families if row.chunks},
        replicas=replicas,
        nodes=tuple(node.node_id for node in rows.nodes),
        aliases={alias.lower(): database for alias, database in rows.aliases.items()},
    )


def read_changes(known: Catalogue, changes: metadata.CatalogueChanges) -> Catalogue:
    """Return a catalogue in which chunks have changed."""
    families = {entry.table_id: entry.family for entry in known.entries}
    margins = {(entry.database, entry.table.name): entry.margin_deg for entry in known.entries}
    rows = [row for row in changes.tables if row.table_id in families]
    found = patched(known, changes.version, {row.table_id: _entry(row, families[row.table_id], margins) for row in rows})
    for row in rows:
        found = with_places(found, families[row.table_id], row.replicas)
    return found


PROVENANCE_ENTRIES: Final = tuple(
    TableEntry(
        database=PROVENANCE.name,
        family=PROVENANCE.family,
        table=table,
        chunks=np.array([REPLICATED_CHUNK]),
        row_counts=np.array([0]),
        overlap_row_counts=np.array([0]),
        in_metadata=True,
    )
    for table in PROVENANCE.tables
)
"""Of each catalogue."""


def _margins(declared: Iterable[tuple[str, Json]]) -> dict[tuple[str, str], float]:
    """Return how far outside of their chunks rows of directors can be, by database and name."""
    versions = ((database, declaration["name"], declaration.get("versions")) for database, declaration in declared)
    return {(database, name): found["margin_deg"] for database, name, found in versions if found}


def _entry(row: metadata.TableRow, family: str, margins: Mapping[tuple[str, str], float]) -> TableEntry:
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
        statistics=_statistics(row, table, chunks) | _pixels(row, table, chunks),
        max_separation_deg=row.facts.get("max_separation_deg"),
        margin_deg=margins.get((row.database, table.director or table.name), 0.0),
        nearest_deg=row.facts.get("nearest_deg"),
        friends_deg=np.array(row.friends_deg, dtype=np.float64),
        orphan_chunks=np.array(row.facts.get("orphans", {}).get("chunks", ()), dtype=np.int64),
        segments=row.segments,
        table_id=row.table_id,
        local_references=frozenset(name for name, fact in references.items() if fact.get("complete")),
    )


def _statistics(row: metadata.TableRow, table: Table, chunks: NDArray[np.int64]) -> dict[str, ColumnStatistics]:
    found = {}
    for name, ranges in row.statistics.items():
        column = table.by_name.get(name)
        read = _READERS.get(column.datatype) if column else None
        if read is None:
            continue
        places = np.searchsorted(chunks, ranges.chunks)
        known = [low is not None and high is not None for low, high in zip(ranges.minimum, ranges.maximum, strict=True)]
        known_places = places[np.array(known, dtype=np.bool_)]
        found[name] = ColumnStatistics(
            minimum=_spread(read(list(compress(ranges.minimum, known))), known_places, len(chunks)),  # type: ignore[arg-type]  # no None is left
            maximum=_spread(read(list(compress(ranges.maximum, known))), known_places, len(chunks)),  # type: ignore[arg-type]  # as above
            is_known=_spread(np.ones(len(known_places), dtype=np.bool_), known_places, len(chunks)),
            null_count=_spread(np.array(ranges.null_count, dtype=np.int64), places, len(chunks)),
            has_nan=_spread(np.array(ranges.has_nan, dtype=np.bool_), places, len(chunks)),
        )
    return found


def _pixels(row: metadata.TableRow, table: Table, chunks: NDArray[np.int64]) -> dict[str, ColumnStatistics]:
    """Return the range of the pixel column: a director's rows are in the pixel of their chunk, or without a position in chunk 0."""
    if table.role is not TableRole.DIRECTOR or table.versions is not None:
        return {}
    has_pixel = chunks != NULL_CHUNK
    orders, pixels = pixels_of_nuniq(np.where(has_pixel, chunks, nuniq_of(0, 0)))
    counts = np.array(row.row_counts, dtype=np.int64)
    return {
        HEALPIX.name: ColumnStatistics(
            minimum=range_starts(orders, pixels),
            maximum=range_starts(orders, pixels + 1) - 1,
            is_known=has_pixel,
            null_count=np.where(has_pixel, 0, counts),
            has_nan=np.zeros(len(chunks), dtype=np.bool_),
        )
    }


def _spread(values: NDArray[Element], places: NDArray[np.int64], length: int) -> NDArray[Element]:
    """Return an array with values at places, and with 0, False or an empty text elsewhere."""
    found = np.zeros(length, dtype=values.dtype)
    if values.dtype == np.object_:
        found.fill("")
    found[places] = values
    return found
