"""Segments of chunks are made one, in the background: so a chunk has few, however often rows are appended to it.

The nodes make the new segment beside the old ones, one change of the metadata lets it stand for them, and they go when no query
that was planned before that runs any more, on any czar. Rows, and what is counted of them, stay as they are.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from itertools import groupby

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.appending import clear_builds, drop_segment
from ingest.nodes import Nodes, all_or_first_error, connected_nodes
from ingest.rewriting import Rewrite, rewrite
from qserv.errors import FamilyHeldError, IngestError, QservError
from qserv.metadata import merges, segments
from qserv.metadata.engine import changing, connect
from qserv.metadata.merges import Merge
from qserv.metadata.nodes import list_nodes
from qserv.metadata.registration import family_lock, raise_version_of, read_declaration
from qserv.metadata.segments import BuildKind
from schema.model import Table
from schema.serialise import column_from_json, table_from_json
from workers.table_actions import DropSegment

MERGES = "~merges"
"""What a process holds that merges: no family has such a name."""

AT_A_TIME = 64
"""Chunks that are looked at together."""

STREAMS = 1
"""Chunks that a node merges at a time: commits need the processor more."""

log = structlog.get_logger("ingest.merges")


class Merger:
    """Merges segments, from `start` to `close`.

    Parameters
    ----------
    most
        More segments of a chunk than this are too many.
    quiet_s
        Where nothing was appended for so long, all are merged.
    look_s
        How often it is looked.
    """

    def __init__(self, engine: AsyncEngine, secret: str, most: int, quiet_s: float, look_s: float) -> None:
        self._engine, self._secret, self._most, self._quiet_s, self._look_s = engine, secret, most, quiet_s, look_s
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to merge."""
        self._loop = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Stop; what is half done is taken back by the next one."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                with contextlib.suppress(FamilyHeldError):
                    async with family_lock(self._engine, MERGES):
                        failed: set[int] = set()
                        while await self._some(failed):
                            pass
            except QservError as error:
                log.warning("segments are not merged", code=error.code, reason=str(error))
            except Exception:  # a mistake of ours: loads go on
                log.exception("segments are not merged")
            await asyncio.sleep(self._look_s)

    async def _some(self, failed: set[int]) -> bool:
        """Merge segments of some chunks, but not of tables that failed; return whether there were any to merge."""
        async with connect(self._engine) as connection:
            wanted = await merges.to_merge(connection, self._most, self._quiet_s, AT_A_TIME, failed)
            building = await segments.building(connection, BuildKind.MERGE)
            unused = await merges.unused(connection)
            listed = await list_nodes(connection)
        if not wanted and not building and not unused:
            return False
        async with connected_nodes(listed, self._secret, STREAMS) as nodes:
            for family in building:  # left of who died: nobody else merges
                await clear_builds(self._engine, nodes, family, BuildKind.MERGE)
            for gone in unused:
                action = DropSegment(gone.database, gone.table_name, gone.segment, gone.chunks)
                await nodes.call_all(partial(drop_segment, action=action))
                async with changing(self._engine, "ingest.merge.forget") as connection:
                    await merges.forget(connection, gone)
            of_table = sorted(wanted, key=lambda merge: (merge.table_id, merge.chunk))
            for table_id, found in groupby(of_table, key=lambda merge: merge.table_id):
                try:
                    await self._merge(nodes, list(found))
                except QservError as error:  # the others have their turn; this one again with the next look
                    failed.add(table_id)
                    log.warning("segments are not merged", table=table_id, code=error.code, reason=str(error))
        return bool(wanted)

    async def _merge(self, nodes: Nodes, wanted: Sequence[Merge]) -> None:
        """Merge segments of chunks of one table."""
        first = wanted[0]
        async with connect(self._engine) as connection:
            declared = await read_declaration(connection, first.table_id)
        table = table_from_json(declared[0], map(column_from_json, declared[1]))
        async with changing(self._engine, "ingest.merge.begin") as connection:
            number = await segments.begin_build(connection, first.family, first.database, first.table_name, BuildKind.MERGE)
        built = await all_or_first_error(rewrite(nodes, _rewrite(merge, table), number) for merge in wanted)
        async with changing(self._engine, "ingest.merge.publish") as connection:
            if await merges.is_changing(connection, first.family) or declared != await read_declaration(connection, first.table_id):
                msg = f"table {first.table_name} was changed meanwhile; its segments are merged anew"
                raise IngestError(msg)
            stand = [
                await merges.stand_for(connection, merge, number, made.friends_deg)
                for merge, made in zip(wanted, built, strict=True)
            ]
            if not all(stand):
                msg = f"table {first.table_name} was dropped or replaced meanwhile"
                raise IngestError(msg)
            version = await raise_version_of(connection, {first.table_id: [merge.chunk for merge in wanted]})
            await merges.end_replaced(connection, version)
            await segments.end_build(connection, number)
        log.info("segments are merged", table=f"{first.database}.{first.table_name}", chunks=len(wanted), segment=number)


def _rewrite(merge: Merge, table: Table) -> Rewrite:
    return Rewrite(merge.database, table, merge.chunk, merge.nodes, merge.segments, background=True)
