"""Measures, on the loaded rows, what makes a join inside chunks complete: facts that the planner may rely on.

- Of a foreign key between directors: how many of the rows that refer to an existing row find it in their own chunk or its overlap.
  Where all do, a join along the key never has to leave a chunk.
- Of a dependent with a position of its own: how far it lies from its director row, at most. A region on the dependent is grown by
  that to find the chunks.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.nodes import Nodes, all_or_first_error
from partitioner.healpix import Pixels
from qserv.ids import ChunkId, NodeId
from qserv.metadata.catalogue import Json, TableRow, load_catalogue
from qserv.metadata.director_index import LOOKUP_KEYS, find_chunks
from qserv.metadata.engine import connect
from qserv.metadata.registration import ChunkRecord
from schema.model import Database, ForeignKey, Table, TableRole
from schema.physical import quote, relation
from workers.client import WorkerClient
from workers.protocol import ChunkQuery, ChunkTask

TIMEOUT_S = 3600.0
"""Limit of one node's measurement: seconds for tens of millions of rows."""

SEPARATION_MARGIN = 1e-9
"""Relative margin, and absolute one in degrees, added to a largest separation, so that rounding never makes it too small."""

Take = Callable[[pa.RecordBatch], None]


async def measure(engine: AsyncEngine, nodes: Nodes, database: Database, loaded: Mapping[str, int]) -> dict[int, Json]:
    """Return the facts, by table id, of the tables just loaded, and of those published before that refer to them.

    Parameters
    ----------
    loaded
        Ids of the tables just loaded, by their names.
    """
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, unpublished=True)
    rows = [row for row in catalogue.tables if row.database == database.name and row.name in database.by_name]
    measurement = Measurement(engine, nodes, database, {row.name: _records(row) for row in rows})
    return {
        row.table_id: await measurement.facts(table)
        for row, table in ((row, database.by_name[row.name]) for row in rows)
        if row.name in loaded or any(key.target_table in loaded for key in table.foreign_keys)
    }


def _records(row: TableRow) -> dict[ChunkId, ChunkRecord]:
    counts = zip(row.chunks, row.row_counts, row.overlap_row_counts, strict=True)
    return {chunk: ChunkRecord(chunk, rows, near, row.replicas[chunk]) for chunk, rows, near in counts}


def is_measured(database: Database, table: Table, key: ForeignKey) -> bool:
    """Return whether a foreign key leads from director to director by the target's key, within a declared separation."""
    target = database.by_name[key.target_table]
    directors = table.role is TableRole.DIRECTOR and target.role is TableRole.DIRECTOR
    by_key = len(key.columns) == 1 and key.target_columns == (target.director_key,)
    return directors and by_key and key.max_separation_deg is not None


@dataclass(frozen=True)
class Measurement:
    """The loaded tables of a database, to be measured.

    Attributes
    ----------
    chunks
        Chunks of each loaded table, by its name.
    """

    engine: AsyncEngine
    nodes: Nodes
    database: Database
    chunks: Mapping[str, Mapping[ChunkId, ChunkRecord]]

    async def facts(self, table: Table) -> Json:
        """Return the facts of one table.

        A foreign key whose target is not loaded, is not a director, or is referred to by another column than its key, has none.
        """
        facts: Json = {}
        references = {
            key.name: await self._count_references(table, key)
            for key in table.foreign_keys
            if is_measured(self.database, table, key) and key.target_table in self.chunks
        }
        if references:
            facts["references"] = references
        if table.role is TableRole.DEPENDENT and table.ra is not None and table.director in self.chunks:
            facts["max_separation_deg"] = await self._max_separation(table)
        return facts

    async def _count_references(self, table: Table, key: ForeignKey) -> Json:
        """Return how many references find their row within the chunk, ``local``, of those whose row exists anywhere, ``total``.

        The nodes join within each chunk, and name the keys that found nothing; the director index knows which of these exist.
        """
        column, target_column = _slot_safe(key.columns[0]), _slot_safe(key.target_columns[0])
        template = f"""
            SELECT CASE WHEN target.key IS NULL THEN source.{column}::bigint END AS missing, count(*) AS rows
            FROM {{source}} AS source
            LEFT JOIN (SELECT {target_column} AS key FROM {{target}} UNION ALL SELECT {target_column} FROM {{near}}) AS target
                ON target.key = source.{column}
            WHERE source.{column} IS NOT NULL
            GROUP BY 1"""  # noqa: S608 (columns are quoted, slots are filled with quoted relations)
        loop = asyncio.get_running_loop()
        local, elsewhere = [0], [0]

        def count(batch: pa.RecordBatch) -> None:
            missing, rows = batch.column(0), batch.column(1)
            known = pc.is_valid(missing)
            local.append(pc.sum(rows.filter(pc.is_null(missing))).as_py() or 0)
            lookup = self._existing(key.target_table, missing.filter(known).to_numpy(), rows.filter(known).to_numpy())
            elsewhere.append(asyncio.run_coroutine_threadsafe(lookup, loop).result())

        await self._each_batch(template, self._tasks(table, self.database.by_name[key.target_table]), count)
        return {"complete": sum(elsewhere) == 0, "local": sum(local), "total": sum(local) + sum(elsewhere)}

    async def _existing(self, table: str, keys: Pixels, rows: Pixels) -> int:
        """Return how many rows refer to keys that the director index knows. Keys may repeat."""
        found = 0
        async with connect(self.engine) as connection:
            for start in range(0, len(keys), LOOKUP_KEYS):
                part = keys[start : start + LOOKUP_KEYS]
                known, _ = await find_chunks(connection, self.database.name, table, part)
                found += int(rows[start : start + LOOKUP_KEYS][np.isin(part, known)].sum())
        return found

    async def _max_separation(self, table: Table) -> float:
        """Return the largest distance, in degrees, of a dependent's row from its director's row; 0 where there is none."""
        director = self.database.by_name[str(table.director)]
        ra, dec, key = (_slot_safe(name) for name in (table.ra, table.dec, table.director_key))
        director_ra, director_dec, director_key = (_slot_safe(name) for name in (director.ra, director.dec, director.director_key))
        # The haversine; that it loses digits next to 180 degrees does not matter here. Mind that LEAST(1, NULL) is 1.
        template = f"""
            SELECT max(degrees(2 * asin(least(1, sqrt(
                sin(radians(source.{dec} - target.{director_dec}) / 2) ^ 2
                + cos(radians(source.{dec})) * cos(radians(target.{director_dec}))
                * sin(radians(source.{ra} - target.{director_ra}) / 2) ^ 2))))) AS separation
            FROM {{source}} AS source JOIN {{target}} AS target ON target.{director_key} = source.{key}
            WHERE source.{ra} IS NOT NULL AND target.{director_ra} IS NOT NULL"""  # noqa: S608 (as above)
        found = [0.0]
        await self._each_batch(
            template,
            self._tasks(table, director),
            lambda batch: found.append(pc.max(batch.column(0)).as_py() or 0.0),
        )
        largest = max(found)
        return largest * (1 + SEPARATION_MARGIN) + SEPARATION_MARGIN if largest else 0.0

    def _tasks(self, table: Table, target: Table) -> dict[NodeId, tuple[ChunkTask, ...]]:
        """Return, by node, one task for each chunk where the table has rows. An empty prototype stands for what a chunk lacks."""
        tasks: dict[NodeId, list[ChunkTask]] = {}
        name = self.database.name
        for chunk, record in self.chunks[table.name].items():
            if not record.row_count:
                continue
            there = self.chunks[target.name].get(chunk)
            near = there is not None and there.overlap_row_count > 0
            relations = {
                "source": relation(name, table.name, chunk),
                "target": relation(name, target.name, chunk if there and there.row_count else None),
                "near": relation(name, target.name, chunk if near else None, overlap=near),
            }
            node = next(node for node in record.nodes if there is None or node in there.nodes)
            tasks.setdefault(node, []).append(ChunkTask(chunk, relations))
        return {node: tuple(listed) for node, listed in tasks.items()}

    async def _each_batch(self, template: str, tasks: Mapping[NodeId, tuple[ChunkTask, ...]], take: Take) -> None:
        """Run a query on chunks, and hand every batch of the answers to ``take``, in the threads in which they arrive."""

        def ask(query: ChunkQuery, client: WorkerClient) -> None:
            with client.query(query) as answer:
                for batch, _ in answer:
                    if batch.num_rows:
                        take(batch)

        await all_or_first_error(
            self.nodes.call(node, partial(ask, ChunkQuery(f"measure-{uuid.uuid4()}", template, listed, TIMEOUT_S)))
            for node, listed in tasks.items()
        )


def _slot_safe(name: str | None) -> str:
    """Return a quoted column for a template, in which braces are doubled."""
    return quote(str(name)).replace("{", "{{").replace("}", "}}")
