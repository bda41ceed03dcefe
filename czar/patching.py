"""A catalogue of which chunks have changed: what is known of these in place of what was, and all else as it is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czar.catalogue import Catalogue, ColumnStatistics, TableEntry
from qserv.ids import ChunkId, NodeId

Places = tuple[NDArray[np.int64], NDArray[np.int64], int]
"""Where the chunks of before are, and those that changed, in an array of both; and its length."""


def patched(catalogue: Catalogue, version: int, changed: Mapping[int, TableEntry]) -> Catalogue:
    """Return a catalogue as it is with a version.

    Parameters
    ----------
    changed
        By their ids, tables with those of their chunks that have changed.
    """
    entries = tuple(_patched(entry, changed[entry.table_id]) if entry.table_id in changed else entry for entry in catalogue.entries)
    return replace(catalogue, version=version, entries=entries)


def with_places(catalogue: Catalogue, family: str, chunks: Mapping[ChunkId, tuple[NodeId, ...]]) -> Catalogue:
    """Return a catalogue that knows the nodes of chunks of a family in which no table had rows before."""
    known = catalogue.replicas.get(family, {})
    new: dict[int, tuple[NodeId, ...]] = {chunk: nodes for chunk, nodes in chunks.items() if chunk not in known}
    return replace(catalogue, replicas={**catalogue.replicas, family: {**known, **new}}) if new else catalogue


def _patched(old: TableEntry, new: TableEntry) -> TableEntry:
    chunks = np.union1d(old.chunks, new.chunks)
    places = np.searchsorted(chunks, old.chunks), np.searchsorted(chunks, new.chunks), len(chunks)
    friends_deg = None
    if old.friends_deg is not None and new.friends_deg is not None:
        friends_deg = _joined(places, old.friends_deg, new.friends_deg)
    return replace(
        new,
        chunks=chunks,
        row_counts=_joined(places, old.row_counts, new.row_counts),
        overlap_row_counts=_joined(places, old.overlap_row_counts, new.overlap_row_counts),
        friends_deg=friends_deg,
        segments={**old.segments, **new.segments},
        statistics={
            name: _statistics(places, old.statistics.get(name), new.statistics.get(name))
            for name in {**old.statistics, **new.statistics}
        },
    )


def _statistics(places: Places, old: ColumnStatistics | None, new: ColumnStatistics | None) -> ColumnStatistics:
    """Return the ranges of a column. Of chunks that one of them does not know nothing is known."""
    known = old or new
    assert known is not None  # noqa: S101 (one of them is there)
    old, new = (found or _unknown(known, len(where)) for found, where in zip((old, new), places[:2], strict=True))
    return ColumnStatistics(
        minimum=_joined(places, old.minimum, new.minimum),
        maximum=_joined(places, old.maximum, new.maximum),
        is_known=_joined(places, old.is_known, new.is_known),
        null_count=_joined(places, old.null_count, new.null_count),
        has_nan=_joined(places, old.has_nan, new.has_nan),
    )


def _unknown(like: ColumnStatistics, length: int) -> ColumnStatistics:
    nothing = np.zeros(length, dtype=np.bool_)
    ends: Any = np.zeros(length, dtype=like.minimum.dtype)
    if ends.dtype == np.object_:
        ends.fill("")
    return ColumnStatistics(ends, ends, nothing, np.zeros(length, dtype=np.int64), nothing)


def _joined(places: Places, old: np.ndarray, new: np.ndarray) -> Any:  # noqa: ANN401 (an array of the type of both)
    """Return the values of all chunks: the new ones where there are both."""
    of_old, of_new, length = places
    found = np.empty(length, dtype=old.dtype)
    found[of_old] = old
    found[of_new] = new
    return found
