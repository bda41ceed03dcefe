"""How a worker makes and changes chunk data: the door to PostgreSQL, and to the runs that wait to become tables, for loads."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from qserv.errors import IngestError
from qserv.ids import REPLICATED_CHUNK, ChunkId
from schema.serialise import table_from_json
from workers.postgresql import altering, indexes, tables
from workers.postgresql.loads import Batches, Sessions
from workers.postgresql.loads import load as load_rows
from workers.postgresql.reads import Reads
from workers.postgresql.target import Target
from workers.protocol import PARTS, ChunkLoad, Lane, RunLoad
from workers.runs.building import Build, build_chunk
from workers.runs.files import RunFiles
from workers.runs.stored import EndedRows, StoredRows
from workers.table_actions import (
    AlterTable,
    BuildTable,
    BuiltChunk,
    DropRuns,
    DropSegment,
    DropTable,
    EndVersions,
    IndexTable,
    MergeSegments,
    MoveTable,
    PrepareTable,
    TablesDone,
)

MAX_LOADS: Final = 4
"""Loads, and other changes of tables, at a time: COPY is bound by the disk, and more of them only take memory."""


class Loader:
    """Loads and changes tables on the PostgreSQL beside this worker. All methods may be called from any thread.

    Parameters
    ----------
    conninfo
        libpq URI of the loading role; it holds the password.
    runs
        Directory of the rows that wait to become tables.
    """

    def __init__(self, conninfo: str, runs: Path) -> None:
        self._sessions, self._merging = Sessions(conninfo, MAX_LOADS), Sessions(conninfo, MAX_LOADS, background=True)
        self._reads = Reads(conninfo, MAX_LOADS)
        self._runs = RunFiles(runs)

    def load(self, load: ChunkLoad, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Load all rows of one physical table; return their number once they are committed."""
        if load.part not in PARTS:
            msg = f"part {load.part!r} of a chunk is unknown; it is one of {', '.join(PARTS)}"
            raise IngestError(msg)
        chunk = None if load.chunk is None else ChunkId(load.chunk)
        return self._load(Target(load.database, table_from_json(load.declaration), chunk, load.part == "overlap"), schema, batches)

    def take(self, run: RunLoad, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Keep a run until its table is built; return its number of rows once they are on the disk."""
        return self._runs.write(run, schema, batches)

    def build(self, action: BuildTable) -> Iterator[BuiltChunk]:
        """Make the tables of all chunks of a table out of its runs; yield each that is committed."""
        table = table_from_json(action.declaration)

        def load(chunk: ChunkId | None, part: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
            return self._load(Target(action.database, table, chunk, part == "overlap", action.segment), schema, batches)

        return Build.of(action, table, self._runs, load).chunks()

    def drop_runs(self, action: DropRuns) -> None:
        """Delete runs."""
        self._runs.drop(action.transaction, action.table)

    def prepare(self, action: PrepareTable) -> None:
        """Make the schema of a database and the prototype of a table."""
        table = table_from_json(action.declaration)
        with self._sessions.session(f"{action.database}.{table.name}") as session:
            tables.prepare(session, action.database, table)

    def index(self, action: IndexTable) -> Iterator[TablesDone]:
        """Make the indexes that a table should have, and drop the others; yield how far that is."""
        table = table_from_json(action.declaration)
        with self._sessions.session(f"{action.database}.{table.name}") as session:
            for done, total in indexes.reindex(session, action.database, table):
                yield TablesDone(done, total)

    def alter(self, action: AlterTable) -> Iterator[TablesDone]:
        """Add a column, and drop those that are not declared; yield how far that is."""
        table = table_from_json(action.declaration)
        column = None if action.column is None else table.by_name[action.column]
        with self._sessions.session(f"{action.database}.{table.name}") as session:
            for done, total in altering.alter(session, action.database, table, column):
                yield TablesDone(done, total)

    def move(self, action: MoveTable) -> int:
        """Move all physical tables of a table to another database; return how many there were."""
        with self._sessions.session(f"{action.database}.{action.table}") as session:
            return tables.move(session, action.source, action.database, action.table)

    def drop(self, action: DropTable) -> int:
        """Drop all physical tables of a table; return how many there were."""
        with self._sessions.session(f"{action.database}.{action.table}") as session:
            return tables.drop(session, action.database, action.table)

    def merge(self, action: MergeSegments) -> BuiltChunk:
        """Make one segment of several of a chunk; return it when it is committed."""
        table, chunk = table_from_json(action.declaration), ChunkId(action.chunk)
        of_chunk = None if chunk == REPLICATED_CHUNK else chunk
        sessions, lane = (self._merging, Lane.SCAN) if action.background else (self._sessions, Lane.INTERACTIVE)
        base, overlap = (
            StoredRows(action.database, table, of_chunk, segments, part, self._reads, action.without, action.fresh, lane)
            for segments, part in ((action.base, False), (action.overlap, True))
        )

        def load(_chunk: ChunkId | None, part: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
            target = Target(action.database, table, of_chunk, part == "overlap", action.segment)
            return self._load(target, schema, batches, sessions)

        return build_chunk(table, chunk, base, overlap, load)

    def end_versions(self, action: EndVersions) -> BuiltChunk:
        """Make a segment of the former versions of rows of a chunk; return it when it is committed."""
        table, chunk = table_from_json(action.declaration), ChunkId(action.chunk)
        history, versions = table.history, table.versions
        if history is None or versions is None:
            msg = f"table {table.name} has no former versions"
            raise IngestError(msg)
        base = EndedRows(action.database, table, history, versions, chunk, action.before, action.newer, self._reads)
        none = StoredRows(action.database, history, chunk, (), overlap=True, reads=self._reads)

        def load(_chunk: ChunkId | None, part: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
            return self._load(Target(action.database, history, chunk, part == "overlap", action.segment), schema, batches)

        return build_chunk(history, chunk, base, none, load)

    def drop_segment(self, action: DropSegment) -> int:
        """Drop the physical tables of a segment; return how many there were."""
        with self._sessions.session(f"{action.database}.{action.table}") as session:
            return tables.drop_segment(session, action.database, action.table, action.segment, action.chunks)

    def _load(self, target: Target, schema: pa.Schema, batches: Iterable[pa.RecordBatch], sessions: Sessions | None = None) -> int:
        rows = Batches(target.table, schema, batches)
        with (sessions or self._sessions).session(f"{target.database}.{target.table.name}") as session:
            return load_rows(session, target, rows)

    def postgres_version(self) -> str:
        """Ask PostgreSQL for its version.

        Raises
        ------
        NodeUnavailableError
            It does not answer.
        """
        with self._sessions.session("version") as session:
            row = session.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else "unknown"

    def close(self) -> None:
        """End the connections that are not in use."""
        self._sessions.close()
        self._merging.close()
        self._reads.close()
