"""Sessions in which one part of the engine is put out of order, to show that the corpus would notice."""

import dataclasses
import functools

import numpy as np

from czar.analyse import RULES, Query
from czar.parse import one_select, parse
from czar.plan.build import build
from czar.session import Session
from czar.snapshot import Snapshot
from partitioner.chunkmap import ChunkMap


class SabotagedSession(Session):
    """A session that plans with another catalogue, or without one of the rules of analysis."""

    change = staticmethod(lambda catalogue: catalogue)
    left_out = None

    async def catalogue(self):
        return self.change(await super().catalogue())

    async def _plan(self, statement, text, max_rows):
        catalogue = await self.catalogue()
        tree = parse(statement) if isinstance(statement, str) else one_select(statement, text)
        rules = [rule for rule in RULES if rule.__name__ != self.left_out]
        assert len(rules) == len(RULES) - (self.left_out is not None)
        query = functools.reduce(lambda query, rule: rule(query), rules, Query(text=text, tree=tree, catalogue=catalogue))
        return build(await self._located(query), Snapshot(), max_rows=max_rows), catalogue


def each_entry(catalogue, change):
    return dataclasses.replace(catalogue, entries=tuple(change(entry) for entry in catalogue.entries))


def without_overlap(catalogue):
    """Overlap tables are not read."""
    return each_entry(
        catalogue, lambda entry: dataclasses.replace(entry, overlap_row_counts=np.zeros_like(entry.overlap_row_counts))
    )


def without_margin_of_dependents(catalogue):
    """Regions on dependents are not grown by their distance from their directors."""
    return each_entry(
        catalogue, lambda entry: dataclasses.replace(entry, max_separation_deg=0.0 if entry.max_separation_deg else None)
    )


def without_margin_of_partners(catalogue):
    """Regions on partners of a key join are not grown by the overlap."""
    databases = tuple(dataclasses.replace(database, overlap_deg=0.0) for database in catalogue.databases)
    return dataclasses.replace(catalogue, databases=databases)


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
    return tuple(value + by if isinstance(value, int | float) else value for value in values)


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
