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
import pyarrow.compute as pc

from ingest.building import BuiltTable, NewSegment
from ingest.chunking import copies
from ingest.dependents import Directors
from ingest.family import Family
from ingest.making import Making
from ingest.moving import Ending, measurement, not_later
from ingest.nodes import all_or_first_error
from ingest.places import BASE, places_of, segments_of
from ingest.references import slot_safe
from ingest.rewriting import AT_A_TIME, Rewrite, WrittenAnew, written_anew
from partitioner.healpix import Pixels
from partitioner.sphere import Floats
from qserv.errors import IngestError
from qserv.ids import ChunkId, Segment
from qserv.metadata import segments
from qserv.metadata.catalogue import TableRow
from qserv.metadata.engine import changing
from qserv.metadata.registration import ChunkRecord, StatisticsRecord
from qserv.metadata.segments import BuildKind
from schema.model import Table, Versions
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.protocol import BuiltChunk, EndVersions


@dataclass(frozen=True)
class Superseded:
    """What becomes of chunks in which rows are followed: they are on the nodes, and do not count.

    Attributes
    ----------
    chunks
        What they are now.
    history
        The rows that ended, of those that are not followed in other chunks.
    """

    chunks: WrittenAnew
    history: NewSegment | None


@dataclass(frozen=True)
class Superseding:
    """The rows of a director that new ones follow, which nodes have already."""

    making: Making
    family: Family
    table: Table
    row: TableRow
    new: NewSegment

    async def run(self, versions: Versions, history: Table, ending: Ending | None) -> Superseded | None:
        """Make what is to stand for the chunks; None if no row is followed.

        Parameters
        ----------
        ending
            Rows that are followed in other chunks.

        Raises
        ------
        IngestError
            A row begins before the one that it follows.
        """
        followed = await self._followed(versions)
        here = {int(key) for key in followed[0]}
        moving = await self._moving(ending)
        keys, ra, dec = (np.concatenate(each) for each in zip(followed, moving, strict=True))
        if not len(keys):
            return None
        homes, _ = await Directors(self.making.engine, self.making.staging).find(self.table.name, pa.array(keys))
        copied, there = copies(ra, dec, homes, self.family.chunk_map, self.family.overlap_deg)
        gone: dict[ChunkId, list[list[int]]] = defaultdict(lambda: [[], []])
        for part, (chunks, rows) in enumerate(((homes, np.arange(len(keys))), (there, copied))):
            for chunk, row in zip(chunks.tolist(), rows.tolist(), strict=True):
                gone[ChunkId(chunk)][part].append(int(keys[row]))
        anew = await self._rewritten(gone)
        ended = {chunk: len(here.intersection(base)) for chunk, (base, _) in gone.items()}
        return Superseded(anew, await self._ended(history, {chunk: rows for chunk, rows in ended.items() if rows}))

    async def _followed(self, versions: Versions) -> tuple[Pixels, Floats, Floats]:
        """Return keys and positions, in degrees, of the rows that are followed in their chunks."""
        key, start = slot_safe(self.table.director_key), slot_safe(versions.start)
        found: list[pa.RecordBatch] = []
        template = f"""
            SELECT {self._shown("target")}, source.{start} > target.{start} AS later
            FROM {{source}} AS source JOIN {{target}} AS target ON target.{key} = source.{key}"""  # noqa: S608 (columns are quoted)
        before, new = places_of(self.row), self.new.places(self.row)
        slots = {"source": (self.table, BASE), "target": (self.table, BASE)}
        await measurement(self.making, self.family, {self.table.name: before}, {self.table.name: new}).ask(
            template, slots, found.append
        )
        for batch in found:
            early = batch.filter(pc.invert(batch.column("later").fill_null(fill_value=False)))
            if early.num_rows:
                raise not_later(self.table, versions, pc.min(early.column("key")).as_py())
        return _positions(found)

    async def _moving(self, ending: Ending | None) -> tuple[Pixels, Floats, Floats]:
        """Return the same of rows that are followed in other chunks."""
        found: list[pa.RecordBatch] = []
        if ending is not None:
            template = f"SELECT {self._shown('source')} FROM {{source}} AS source"  # noqa: S608 (as above)
            places = {self.table.name: ending.places}
            await measurement(self.making, self.family, places).ask(template, {"source": (self.table, BASE)}, found.append)
        return _positions(found)

    def _shown(self, slot: str) -> str:
        key, ra, dec = (slot_safe(name) for name in (self.table.director_key, self.table.ra, self.table.dec))
        return f"CAST({slot}.{key} AS bigint) AS key, {slot}.{ra} AS ra, {slot}.{dec} AS dec"

    async def _rewritten(self, gone: Mapping[ChunkId, list[list[int]]]) -> WrittenAnew:
        making, known = self.making, segments_of(self.row)
        async with changing(making.engine, "ingest.append.rewrite") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, self.table.name, BuildKind.APPEND)
        wanted = [self._rewrite(chunk, known[chunk], *keys) for chunk, keys in sorted(gone.items())]
        return await written_anew(making.nodes, wanted, number)

    def _rewrite(self, chunk: ChunkId, known: Sequence[Segment], base: list[int], near: list[int]) -> Rewrite:
        new = self.new.segments
        return Rewrite(
            database=self.row.database,
            table=self.table,
            chunk=chunk,
            nodes=self.row.replicas[chunk],
            segments=[*known, *([new[chunk]] if chunk in new else [])],
            rows=len(base),
            overlap_rows=len(near),
            without={str(self.table.director_key): [*base, *near]},
            fresh=[self.new.number],
        )

    async def _ended(self, history: Table, rows: Mapping[ChunkId, int]) -> NewSegment | None:
        """Make a segment of the table of former versions, of so many rows of chunks; None if there are none."""
        if not rows:
            return None
        making, known = self.making, segments_of(self.row)
        async with changing(making.engine, "ingest.append.end_versions") as connection:
            number = await segments.begin_build(connection, self.family.name, self.row.database, history.name, BuildKind.APPEND)
        declared = table_to_json(self.table)

        async def made(chunk: ChunkId) -> tuple[ChunkRecord, list[StatisticsRecord]]:
            before = [segment.number for segment in known[chunk] if segment.row_count]
            action = EndVersions(self.row.database, declared, chunk, before, self.new.number, number)
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
        return NewSegment(number, BuiltTable(tuple(record for record, _ in found), ranges, {}))


def _end(client: WorkerClient, action: EndVersions) -> BuiltChunk:
    return client.end_versions(action)


def _positions(found: Sequence[pa.RecordBatch]) -> tuple[Pixels, Floats, Floats]:
    """Return keys, and positions, in degrees, of rows; NaN where there is none."""
    if not found:
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    rows = pa.Table.from_batches(found)
    ra, dec = (np.asarray(rows.column(name).to_numpy(), dtype=np.float64) for name in ("ra", "dec"))
    return rows.column("key").to_numpy(), ra, dec
