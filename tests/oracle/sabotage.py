"""Sessions in which one part of the engine is put out of order, to show that the corpus would notice."""

import contextlib
import dataclasses

import numpy as np
import pytest

import czar.analyse
import czar.planning
from czar.session import Session
from partitioner.chunkmap import ChunkMap


class SabotagedSession(Session):
    """A session that plans with another catalogue."""

    change = staticmethod(lambda catalogue: catalogue)

    async def catalogue(self):
        return self.change(await super().catalogue())


@contextlib.contextmanager
def without_rule(name):
    """Leave one of the rules of analysis out."""
    with pytest.MonkeyPatch.context() as patch:
        for group in ("NAMING", "PRUNING"):
            rules = getattr(czar.analyse, group)
            patch.setattr(czar.analyse, group, tuple(rule for rule in rules if rule.__name__ != name))
        yield


@contextlib.contextmanager
def without_partners():
    """Partners of a join are read without the overlap of the chunk."""

    def pruned(query, rows):
        return czar.analyse.pruned(query, dataclasses.replace(rows, partners=frozenset()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(czar.planning, "pruned", pruned)
        yield


def each_entry(catalogue, change):
    return dataclasses.replace(catalogue, entries=tuple(change(entry) for entry in catalogue.entries))


def without_overlap(catalogue):
    """Overlap tables are not read."""
    return each_entry(
        catalogue, lambda entry: dataclasses.replace(entry, overlap_row_counts=np.zeros_like(entry.overlap_row_counts))
    )


def with_neighbours_of_any_distance(catalogue):
    """The nearest neighbour is taken to be known at any distance."""
    return each_entry(catalogue, lambda entry: dataclasses.replace(entry, nearest_deg=entry.nearest_deg and 180.0))


def without_margin_of_dependents(catalogue):
    """Regions on dependents are not grown by their distance from their directors."""
    return each_entry(
        catalogue, lambda entry: dataclasses.replace(entry, max_separation_deg=0.0 if entry.max_separation_deg else None)
    )


def without_margin_of_partners(catalogue):
    """Regions on partners of a key join are not grown by the overlap."""
    databases = tuple(dataclasses.replace(database, overlap_deg=0.0) for database in catalogue.databases)
    return dataclasses.replace(catalogue, databases=databases)


def with_orphans_forgotten(catalogue):
    """All rows of dependents are taken to lie with their directors."""
    return each_entry(catalogue, lambda entry: dataclasses.replace(entry, orphan_chunks=entry.orphan_chunks[:0]))


class ShrunkMap(ChunkMap):
    """Finds one chunk less for each region."""

    def chunks_in(self, ranges):
        return super().chunks_in(ranges)[:-1]


def with_shrunk_regions(catalogue):
    maps = {family: ShrunkMap.from_nuniq(each.nuniq) for family, each in catalogue.chunk_maps.items()}
    return dataclasses.replace(catalogue, chunk_maps=maps)


def with_statistics(catalogue, change):
    def changed(entry):
        return dataclasses.replace(entry, statistics={name: change(ranges) for name, ranges in entry.statistics.items()})

    return each_entry(catalogue, changed)


def _shifted(values, by):
    return values if values.dtype.kind in "Ob" else values + by


def with_narrow_maxima(catalogue):
    return with_statistics(catalogue, lambda ranges: dataclasses.replace(ranges, maximum=_shifted(ranges.maximum, -1)))


def with_narrow_minima(catalogue):
    return with_statistics(catalogue, lambda ranges: dataclasses.replace(ranges, minimum=_shifted(ranges.minimum, 1)))


def with_nan_forgotten(catalogue):
    return with_statistics(catalogue, lambda ranges: dataclasses.replace(ranges, has_nan=np.zeros_like(ranges.has_nan)))


def with_nulls_forgotten(catalogue):
    return with_statistics(catalogue, lambda ranges: dataclasses.replace(ranges, null_count=np.zeros_like(ranges.null_count)))


def without_unplaced_rows(catalogue):
    """Chunk 0 is not asked."""

    def changed(entry):
        places = np.flatnonzero(entry.chunks != 0)
        kept = {name: getattr(entry, name)[places] for name in ("chunks", "row_counts", "overlap_row_counts")}
        return dataclasses.replace(entry, **kept, statistics={})

    return each_entry(catalogue, changed)
