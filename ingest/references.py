"""Measures, on the loaded rows, what makes a join inside chunks complete: facts that the planner may rely on.

- Of a foreign key between directors: how many of the rows that refer to an existing row find it in their own chunk or its overlap.
  Where all do, a join along the key never has to leave a chunk.
- Of a dependent with a position of its own: how far it lies from its director row, at most. A region on the dependent is grown by
  that to find the chunks. (Orphans lie in the chunk of their own position.)
- Of a dependent whose rows were placed by the position that they carry: whether each lies beside its director's row.
- Of a ref-match table: how many of its pairs find both rows in their home chunk, that of the first row, and its overlap; and how
  far apart the two rows of a pair are, at most. Within the overlap radius, a join through the table never has to leave a chunk.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.dependents import ORPHANS_FACT
from ingest.nodes import Nodes, all_or_first_error
from ingest.places import BASE, OVERLAP, Place, places_of, reading
from ingest.staging import Staging
from partitioner.healpix import Pixels
from qserv.errors import IngestError
from qserv.ids import ChunkId, NodeId
from qserv.metadata.catalogue import Json, load_catalogue
from qserv.metadata.director_index import LOOKUP_KEYS, find_chunks
from qserv.metadata.engine import connect
from schema.ddl import indexes
from schema.model import Database, ForeignKey, Table, TableRole
from schema.physical import quote, relation, words_of
from workers.client import WorkerClient
from workers.protocol import ChunkQuery, ChunkTask
from workers.runs.neighbours import NEAREST_FACT

TIMEOUT_S = 3600.0
"""Limit of one node's measurement: seconds for tens of millions of rows."""

SEPARATION_MARGIN = 1e-9
"""Relative margin, and absolute one in degrees, added to a largest separation, so that rounding never makes it too small."""

SEPARATION_FACT = "max_separation_deg"
"""Name of the fact of a table that says how far its rows are, at most, from those of their director, or from each other."""

Take = Callable[[pa.RecordBatch], None]


async def measure(  # noqa: PLR0913, PLR0917 (the cluster's two doors, what is loaded, where, what is known of it)
    engine: AsyncEngine,
    nodes: Nodes,
    database: Database,
    loaded: Mapping[str, Json],
    staging: Staging,
    trusted: Collection[str] = (),
) -> dict[int, Json]:
    """Return the facts, by table id, of the tables just loaded, and of those published before that refer to them.

    Parameters
    ----------
    loaded
        What was found of the rows of the tables just loaded while they were sent, by their names.
    staging
        Where they are.
    trusted
        Dependents whose rows were placed by what they say of their directors.

    Raises
    ------
    StrayRowsError
        Rows of one of these are not beside their director's row.
    """
    async with connect(engine) as connection:
        catalogue = await load_catalogue(connection, unpublished=True)
    rows = [row for row in catalogue.tables if row.name in database.by_name and row.database == staging.home(row.name)]
    places = {row.name: places_of(row) for row in rows}
    measurement = Measurement(engine, nodes, database, staging, places, places)
    for name in trusted:
        await measurement.check_strays(database.by_name[name])
    return {
        row.table_id: facts_of(row.facts, loaded.get(row.name)) | await measurement.facts(table)
        for row, table in ((row, database.by_name[row.name]) for row in rows)
        if row.name in loaded or any(key.target_table in loaded for key in table.foreign_keys)
    }


def facts_of(known: Json, loaded: Json | None) -> Json:
    """Return what is known of the columns of a table.

    Parameters
    ----------
    known
        Facts of the table until now.
    loaded
        What is known of its rows since the nodes built it just now. Those of before may have been loaded without the columns.
    """
    facts = known if loaded is None else loaded
    return {name: facts[name] for name in (NEAREST_FACT, ORPHANS_FACT) if name in facts}


class StrayRowsError(IngestError):
    """Rows of a dependent are not in the chunk of their director's row."""

    def __init__(self, table: str, rows: int) -> None:
        super().__init__(f"table {table}: {rows:,} rows are not where their director's row is; load again")
        self.table = table


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
        Where the rows of each loaded table are, by its name.
    measured
        The same of the rows that are measured: all, or those that were appended.
    """

    engine: AsyncEngine
    nodes: Nodes
    database: Database
    staging: Staging
    chunks: Mapping[str, Mapping[ChunkId, Place]]
    measured: Mapping[str, Mapping[ChunkId, Place]]

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
            facts[SEPARATION_FACT] = await self._max_separation(table)
        if table.role is TableRole.REF_MATCH and all(director in self.chunks for director, _ in table.directors):
            facts |= await self._measure_pairs(table)
        return facts

    async def check_strays(self, table: Table) -> None:
        """Find out whether each row of a dependent is in the chunk of its director's row.

        Raises
        ------
        StrayRowsError
            Some are not.
        """
        director = self.database.by_name[str(table.director)]
        key, director_key = slot_safe(table.director_key), slot_safe(director.director_key)
        template = f"""
            SELECT count(*) AS rows FROM {{source}} AS source
            WHERE NOT EXISTS (SELECT FROM {{target}} AS target WHERE target.{director_key} = source.{key})"""  # noqa: S608 (as below)
        found = [0]
        await self.ask(
            template,
            {"source": (table, BASE), "target": (director, BASE)},
            lambda batch: found.append(pc.sum(batch.column(0)).as_py() or 0),
        )
        if sum(found):
            raise StrayRowsError(table.name, sum(found))

    async def check_keys(self, table: Table) -> None:
        """Find out whether a key of the rows that are measured is that of another row in its chunk.

        Raises
        ------
        IngestError
            It is.
        """
        for index in indexes(table):
            of_director = table.role is TableRole.DIRECTOR and index.columns == (table.director_key,)  # which has an index of all
            of_versions = table.versions is not None and index.columns == table.version_key
            if not index.unique or of_director or of_versions:
                continue
            equal = " AND ".join(f"target.{slot_safe(name)} = source.{slot_safe(name)}" for name in index.columns)
            key = ", ".join(f"CAST(source.{slot_safe(name)} AS text)" for name in index.columns)
            template = f"""
                SELECT concat_ws(', ', {key}) AS key FROM {{source}} AS source
                WHERE EXISTS (SELECT FROM {{target}} AS target WHERE {equal}) LIMIT 1"""  # noqa: S608 (as below)
            found: list[str] = []
            await self.ask(
                template,
                {"source": (table, BASE), "target": (table, BASE)},
                partial(_take_first, found),
            )
            if found:
                columns = ", ".join(index.columns)
                msg = f"table {self.database.name}.{table.name}: Key ({columns})=({min(found)}) is there already; one row has a key"
                raise IngestError(msg)

    async def _count_references(self, table: Table, key: ForeignKey) -> Json:
        """Return how many references find their row within the chunk, ``local``, of those whose row exists anywhere, ``total``.

        The nodes join within each chunk, and name the keys that found nothing; the director index knows which of these exist.
        """
        column, target_column = slot_safe(key.columns[0]), slot_safe(key.target_columns[0])
        template = f"""
            SELECT CASE WHEN target.key IS NULL THEN source.{column}::bigint END AS missing, count(*) AS rows
            FROM {{source}} AS source
            LEFT JOIN (
                SELECT {target_column} AS key FROM {{target}} AS own UNION ALL SELECT {target_column} FROM {{near}} AS near
            ) AS target ON target.key = source.{column}
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

        target = self.database.by_name[key.target_table]
        await self.ask(template, {"source": (table, BASE), "target": (target, BASE), "near": (target, OVERLAP)}, count)
        return {"complete": sum(elsewhere) == 0, "local": sum(local), "total": sum(local) + sum(elsewhere)}

    async def _existing(self, table: str, keys: Pixels, rows: Pixels) -> int:
        """Return how many rows refer to keys that the director index knows. Keys may repeat."""
        found = 0
        async with connect(self.engine) as connection:
            for start in range(0, len(keys), LOOKUP_KEYS):
                part = keys[start : start + LOOKUP_KEYS]
                known, _ = await find_chunks(connection, self.staging.home(table), table, part)
                found += int(rows[start : start + LOOKUP_KEYS][np.isin(part, known)].sum())
        return found

    async def _max_separation(self, table: Table) -> float:
        """Return the largest distance, in degrees, of a dependent's row from its director's row; 0 where there is none."""
        director = self.database.by_name[str(table.director)]
        ra, dec, key = (slot_safe(name) for name in (table.ra, table.dec, table.director_key))
        director_ra, director_dec, director_key = (slot_safe(name) for name in (director.ra, director.dec, director.director_key))
        separation = _separation(f"source.{ra}", f"source.{dec}", f"target.{director_ra}", f"target.{director_dec}")
        template = f"""
            SELECT max({separation}) AS separation
            FROM {{source}} AS source JOIN {{target}} AS target ON target.{director_key} = source.{key}
            WHERE source.{ra} IS NOT NULL AND target.{director_ra} IS NOT NULL"""  # noqa: S608 (as above)
        found = [0.0]
        await self.ask(
            template,
            {"source": (table, BASE), "target": (director, BASE)},
            lambda batch: found.append(pc.max(batch.column(0)).as_py() or 0.0),
        )
        return _widened(max(found))

    async def _measure_pairs(self, table: Table) -> Json:
        """Return how many pairs of a ref-match table find both rows within their home chunk and its overlap; if all, their reach.

        How far apart the rows of the others are is not known to any one node: no separation is recorded then.
        """
        (first_name, first_key), (second_name, second_key) = table.directors
        first, second = self.database.by_name[first_name], self.database.by_name[second_name]
        ra, dec, key = (slot_safe(name) for name in (first.ra, first.dec, first.director_key))
        columns = ", ".join(
            f"{slot_safe(name)} AS {alias}"
            for name, alias in ((second.director_key, "key"), (second.ra, "ra"), (second.dec, "dec"))
        )
        separation = _separation(f"one.{ra}", f"one.{dec}", "other.ra", "other.dec")
        template = f"""
            SELECT count(other.key) AS pairs,
                max({separation}) FILTER (WHERE one.{ra} IS NOT NULL AND other.ra IS NOT NULL) AS separation
            FROM {{source}} AS source
            JOIN {{one}} AS one ON one.{key} = source.{slot_safe(first_key)}
            JOIN (SELECT {columns} FROM {{other}} AS own UNION ALL SELECT {columns} FROM {{near}} AS near) AS other
                ON other.key = source.{slot_safe(second_key)}"""  # noqa: S608 (as above)
        local, found = [0], [0.0]

        def take(batch: pa.RecordBatch) -> None:
            local.append(pc.sum(batch.column(0)).as_py() or 0)
            found.append(pc.max(batch.column(1)).as_py() or 0.0)

        slots = {"source": (table, BASE), "one": (first, BASE), "other": (second, BASE), "near": (second, OVERLAP)}
        await self.ask(template, slots, take)
        total = sum(place.rows for place in self.measured[table.name].values())
        facts: Json = {"pairs": {"complete": sum(local) == total, "local": sum(local), "total": total}}
        if sum(local) == total:
            facts[SEPARATION_FACT] = _widened(max(found))
        return facts

    def _tasks(self, words: AbstractSet[str], slots: Mapping[str, tuple[Table, bool]]) -> dict[NodeId, tuple[ChunkTask, ...]]:
        """Return, by node, one task for each chunk where the table of slot ``source`` has rows that are measured.

        Parameters
        ----------
        words
            Of the template.
        slots
            The table of each slot, and whether it is its overlap. An empty prototype stands for what a chunk lacks.
        """
        tasks: dict[NodeId, list[ChunkTask]] = {}
        source, _ = slots["source"]
        for chunk, place in self.measured[source.name].items():
            if not place.rows:
                continue
            there = {slot: self.chunks[table.name].get(chunk) for slot, (table, _) in slots.items()} | {"source": place}
            named = {slot: self._relation(table, there[slot], overlap=overlap) for slot, (table, overlap) in slots.items()}
            relations = {slot: reading(name, self.database, words) for slot, name in named.items()}
            held = [set(other.nodes) for other in there.values() if other is not None]
            node = next((node for node in place.nodes if all(node in nodes for nodes in held)), None)
            if node is None:
                names = ", ".join(sorted({table.name for table, _ in slots.values()}))
                msg = f"no node has chunk {chunk} of all of {names}; load them again"
                raise IngestError(msg)
            tasks.setdefault(node, []).append(ChunkTask(chunk, relations))
        return {node: tuple(listed) for node, listed in tasks.items()}

    def _relation(self, table: Table, place: Place | None, *, overlap: bool) -> str:
        if place is None:
            return relation(self.staging.home(table.name), table.name, None)
        return place.overlap if overlap else place.base

    async def ask(self, template: str, slots: Mapping[str, tuple[Table, bool]], take: Take) -> None:
        """Run a query on each chunk where the table of slot ``source`` has rows that are measured.

        Parameters
        ----------
        slots
            The table of each slot of the template, and whether it is its overlap.
        take
            Is handed every batch of the answers, in the threads in which they arrive.
        """

        def ask(query: ChunkQuery, client: WorkerClient) -> None:
            with client.query(query) as answer:
                for batch, _ in answer:
                    if batch.num_rows:
                        take(batch)

        await all_or_first_error(
            self.nodes.call(node, partial(ask, ChunkQuery(f"measure-{uuid.uuid4()}", template, listed, TIMEOUT_S)))
            for node, listed in self._tasks(words_of(template), slots).items()
        )


def _take_first(found: list[str], batch: pa.RecordBatch) -> None:
    found += batch.column(0).to_pylist()


def slot_safe(name: str | None) -> str:
    """Return a quoted column for a template, in which braces are doubled."""
    return quote(str(name)).replace("{", "{{").replace("}", "}}")


def _separation(ra: str, dec: str, other_ra: str, other_dec: str) -> str:
    """Return SQL of the distance, in degrees, of two positions, given by columns that are not NULL (LEAST(1, NULL) is 1).

    It is the haversine; that it loses digits next to 180 degrees does not matter here.
    """
    return f"""degrees(2 * asin(least(1, sqrt(
                sin(radians({dec} - {other_dec}) / 2) ^ 2
                + cos(radians({dec})) * cos(radians({other_dec})) * sin(radians({ra} - {other_ra}) / 2) ^ 2))))"""


def _widened(largest: float) -> float:
    """Return a largest separation, in degrees, grown so that its rounding does not matter; 0 stays 0."""
    return largest * (1 + SEPARATION_MARGIN) + SEPARATION_MARGIN if largest else 0.0
