"""A catalogue as a czar would read it, without a cluster: the stars on 48 chunks of order 1, with made-up statistics."""

import dataclasses

import numpy as np
import pytest

from czar.catalogue import Catalogue, ColumnStatistics, TableEntry
from czar.reading import PROVENANCE_ENTRIES
from partitioner.chunkmap import ChunkMap
from partitioner.nearest import REACH_DEG
from qserv.ids import NodeId
from schema.catalogues import schema_path
from schema.felis import read_database
from schema.model import Column, ColumnType, Database, ForeignKey, Table, TableRole
from schema.provenance import PROVENANCE

NODES = tuple(NodeId(f"node-{number}") for number in (1, 2, 3))


@pytest.fixture(scope="session")
def catalogue():
    chunk_map = ChunkMap.uniform(1)
    chunks = np.concatenate(([0], chunk_map.nuniq))
    stars = read_database(schema_path("stars"))
    visits = Database("visits", "stars", (_visit_table(), _filter_table()), overlap_deg=stars.overlap_deg)
    hipparcos, bigsky = stars.by_name["hipparcos"], stars.by_name["bigsky"]
    stars = dataclasses.replace(stars, tables=(hipparcos, bigsky, _observation_table()))
    entries = (
        _entry(stars, hipparcos, chunks, rows=1000),
        _entry(stars, bigsky, chunks, rows=8000),
        _entry(stars, stars.by_name["observation"], chunks, rows=5000, max_separation_deg=0.01),
        _entry(visits, visits.by_name["visit"], np.array([-1]), rows=70),
        _entry(visits, visits.by_name["filter"], np.array([-1]), rows=6),
        *PROVENANCE_ENTRIES,
    )
    replicas = {"stars": {int(chunk): (NODES[index % 3],) for index, chunk in enumerate(chunks)}}
    return Catalogue(1, (stars, visits, PROVENANCE), entries, {"stars": chunk_map}, replicas, NODES)


def _entry(database, table, chunks, rows, max_separation_deg=None):
    count = len(chunks)
    magnitudes = ColumnStatistics(
        minimum=np.arange(count) % 12 + 0.0,
        maximum=np.arange(count) % 12 + 1.0,
        is_known=np.ones(count, dtype=bool),
        null_count=np.arange(count) % 2,
        has_nan=np.zeros(count, dtype=bool),
    )
    return TableEntry(
        database=database.name,
        family=database.family,
        table=table,
        chunks=chunks,
        row_counts=np.full(count, rows),
        overlap_row_counts=np.where(np.arange(count) % 5 == 0, 0, 10) if table.role is TableRole.DIRECTOR else np.zeros(count, int),
        statistics={"magnitude": magnitudes} if "magnitude" in table.by_name else {},
        max_separation_deg=max_separation_deg,
        local_references=frozenset(key.name for key in table.foreign_keys if key.max_separation_deg),
        nearest_deg=REACH_DEG if table.role is TableRole.DIRECTOR else None,
        friends_deg=np.full(count, REACH_DEG / 2) if table.role is TableRole.DIRECTOR else None,
    )


def _observation_table():
    columns = (
        Column("observation_id", ColumnType.LONG, nullable=False),
        Column("hip", ColumnType.LONG),
        Column("ra", ColumnType.DOUBLE),
        Column("dec", ColumnType.DOUBLE),
        Column("Flux", ColumnType.DOUBLE),
        Column("visit", ColumnType.INT),
    )
    key = ForeignKey("observation_hip", ("hip",), "hipparcos", ("hip",))
    return Table(
        "observation",
        TableRole.DEPENDENT,
        columns,
        ("observation_id",),
        ra="ra",
        dec="dec",
        director="hipparcos",
        director_key="hip",
        foreign_keys=(key,),
    )


def _visit_table():
    return Table("visit", TableRole.REPLICATED, (Column("visit", ColumnType.INT), Column("filter", ColumnType.STRING)), ("visit",))


def _filter_table():
    return Table(
        "filter", TableRole.REPLICATED, (Column("filter", ColumnType.STRING), Column("width", ColumnType.DOUBLE)), ("filter",)
    )
