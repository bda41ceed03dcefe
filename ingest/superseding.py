"""New versions of rows, when they are committed: those that they follow go to the table of former versions.

Chunks in which rows are followed are written anew: all rows but these, and the new ones. Others get the new rows
beside what they have.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from ingest.building import BuiltTable
from ingest.chunking import copies
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.nodes import all_or_first_error
from ingest.places import BASE, Place, segments_of
from ingest.references import Measurement, slot_safe
from ingest.rewriting import Rewrite, rewrite, rewritten
from partitioner.healpix import Pixels
from partitioner.sphere import Floats
from qserv.errors import IngestError
from qserv.ids import ChunkId, Segment
from qserv.metadata import segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.engine import changing
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from qserv.metadata.rewrites import Rewritten
from qserv.metadata.segments import BuildKind
from schema.model import Table, Versions
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.protocol import BuiltChunk, EndVersions

AT_A_TIME = 64
"""Chunks that are written together."""


@dataclass(frozen=True)
class Superseded:
    """What becomes of chunks in which rows are followed: they are on the nodes, and do not count.

    Attributes
    ----------
    number, chunks
        The segment that they are now.
    history_number, history
        The segment of the rows that ended.
    """

    number: int
    chunks: Sequence[Rewritten]
    history_number: int
    history: BuiltTable


@dataclass(frozen=True)
class Superseding:
    """The rows of a director that new ones follow, ``segment`` of which nodes have already.

    Attributes
    ----------
    before, new
        Where the rows so far are, and the new ones.
    """

    making: Making
    family: Family
    table: Table
    row: TableRow
    segment: int
    before: Mapping[ChunkId, Place]
    new: Mapping[ChunkId, Place]
    records: Mapping[ChunkId, ChunkRecord]
    """The new rows of each chunk."""

    async def run(self, versions: Versions, history: Table) -> Superseded | None:
        """Make what is to stand for the chunks; None if no row is followed.

        Raises
        ------
        IngestError
            A row begins before the one that it follows.
        """
        keys, ra, dec = await self._followed(versions)
        if not len(keys):
            return None
        homes, _ = await Directors(self.making.engine, self.making.staging).find(self.table.name, pa.array(keys))
        copied, there = copies(ra, dec, homes, self.family.chunk_map, self.family.overlap_deg)
        gone: dict[ChunkId, list[list[int]]] = defaultdict(lambda: [[], []])
        for part, (chunks, rows) in enumerate(((homes, np.arange(len(keys))), (there, copied))):
            for chunk, row in zip(chunks.tolist(), rows.tolist(), strict=True):
                gone[ChunkId(chunk)][part].append(int(keys[row]))
        number, made = await self._rewritten(gone)
        history_number, ended = await self._ended(history, {chunk: len(base) for chunk, (base, _) in gone.items() if base})
        return Superseded(number, made, history_number, ended)

    async def _followed(self, versions: Versions) -> tuple[Pixels, Floats, Floats]:
        """Return keys and positions, in degrees, of the rows that are followed."""
        table = self.table
        key, ra, dec, start = (slot_safe(name) for name in (table.director_key, table.ra, table.dec, versions.start))
        template = f"""
            SELECT CAST(target.{key} AS bigint) AS key, target.{ra} AS ra, target.{dec} AS dec,
                source.{start} > target.{start} AS later
            FROM {{source}} AS source JOIN {{target}} AS target ON target.{key} = source.{key}"""  # noqa: S608 (columns are quoted)
        found: list[pa.RecordBatch] = []
        making, before, new = self.making, {table.name: self.before}, {table.name: self.new}
        measurement = Measurement(making.engine, making.nodes, self.family.database, making.staging, before, new)
        await measurement.ask(template, {"source": (table, BASE), "target": (table, BASE)}, found.append)
        if not found:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        rows = pa.Table.from_batches(found).combine_chunks()
        later = rows.column("later").to_numpy()
        keys, places = rows.column("key").to_numpy(), [rows.column(name).to_numpy() for name in ("ra", "dec")]
        if not later.all():
            msg = (
                f"table {self.family.database.name}.{table.name}: the row of {table.director_key} {keys[~later].min()} does not "
                f"begin ({versions.start}) after the one that is there"
            )
            raise IngestError(msg)
        return keys, *(np.asarray(place, dtype=np.float64) for place in places)

    async def _rewritten(self, gone: Mapping[ChunkId, list[list[int]]]) -> tuple[int, list[Rewritten]]:
        making, known = self.making, segments_of(self.row)
        async with changing(making.engine, "ingest.append.rewrite") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        made: list[Rewritten] = []
        wanted = [self._rewrite(chunk, known[chunk], *keys) for chunk, keys in sorted(gone.items())]
        for first in range(0, len(wanted), AT_A_TIME):
            some = wanted[first : first + AT_A_TIME]
            built = await all_or_first_error(rewrite(making.nodes, each, number) for each in some)
            made += [rewritten(each, found) for each, found in zip(some, built, strict=True)]
        return number, made

    def _rewrite(self, chunk: ChunkId, known: Sequence[Segment], base: list[int], near: list[int]) -> Rewrite:
        new = self.records.get(chunk)
        added = [] if new is None else [Segment(self.segment, new.row_count, new.overlap_row_count)]
        return Rewrite(
            database=self.row.database,
            table=self.table,
            chunk=chunk,
            nodes=self.row.replicas[chunk],
            segments=[*known, *added],
            rows=len(base),
            overlap_rows=len(near),
            without={str(self.table.director_key): [*base, *near]},
            fresh=[self.segment],
        )

    async def _ended(self, history: Table, rows: Mapping[ChunkId, int]) -> tuple[int, BuiltTable]:
        """Make a segment of the table of former versions, of so many rows of chunks."""
        making, known = self.making, segments_of(self.row)
        async with changing(making.engine, "ingest.append.end_versions") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, history.name, BuildKind.APPEND)
        declared = table_to_json(self.table)

        async def made(chunk: ChunkId) -> tuple[ChunkRecord, list[StatisticsRecord]]:
            before = [segment.number for segment in known[chunk] if segment.row_count]
            action = EndVersions(self.row.database, declared, chunk, before, self.segment, number)
            nodes = self.row.replicas[chunk]
            built = await all_or_first_error(making.nodes.call(node, partial(_end, action=action)) for node in nodes)
            if any(each.rows != rows[chunk] for each in built):
                found = [each.rows for each in built]
                msg = f"table {history.name}, chunk {chunk}: {rows[chunk]} rows ended, and its nodes have {found}"
                raise IngestError(msg)
            statistics = [StatisticsRecord(chunk, *column) for column in built[0].statistics]
            return ChunkRecord(chunk, built[0].rows, 0, nodes), statistics

        found = []
        chunks = sorted(rows)
        for first in range(0, len(chunks), AT_A_TIME):
            found += await all_or_first_error(made(chunk) for chunk in chunks[first : first + AT_A_TIME])
        ranges = tuple(range_ for _, listed in found for range_ in listed)
        return number, BuiltTable(tuple(record for record, _ in found), ranges, {})


def _end(client: WorkerClient, action: EndVersions) -> BuiltChunk:
    return client.end_versions(action)
