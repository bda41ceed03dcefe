"""The tables of a load on the nodes: their prototypes first, and chunk tables of the rows that wait beside the nodes at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.building import BuiltTable, build
from ingest.nodes import Nodes
from ingest.provenance import Load
from ingest.report import ProgressCallback
from ingest.sending import Placement
from ingest.staging import Staging
from qserv.metadata.engine import changing
from qserv.metadata.registration import record_chunks
from schema.model import Table
from schema.serialise import table_to_json
from workers.client import WorkerClient
from workers.table_actions import BuildTable, DropTable, PrepareTable


@dataclass(frozen=True)
class Making:
    """Makes the tables of a load."""

    engine: AsyncEngine
    nodes: Nodes
    staging: Staging
    load: Load
    placement: Placement
    progress: ProgressCallback
    placements: Mapping[str, Placement] = field(default_factory=dict)
    """Of tables that have rows already: those that are added go where these are."""

    def placement_of(self, table: Table) -> Placement:
        """Return the nodes of the chunks of a table."""
        return self.placements.get(table.name, self.placement)

    async def prepare(self, table: Table) -> None:
        """Make an empty table on all nodes, unless it is there."""
        await self.nodes.call_all(partial(_prepare, action=PrepareTable(self.staging.home(table.name), table_to_json(table))))

    async def prepare_anew(self, table: Table) -> None:
        """Make an empty table on all nodes, in place of what an attempt to build it left."""
        await self.nodes.call_all(partial(_drop, action=DropTable(self.staging.home(table.name), table.name)))
        await self.prepare(table)

    async def build(self, table: Table, table_id: int, rows: int, expected: int | None = None) -> BuiltTable:
        """Let the nodes make the chunk tables of a table, and write down what they made.

        Parameters
        ----------
        rows
            How many were read.
        expected
            Chunk tables on all nodes together, where that is known.

        Raises
        ------
        IngestError
            A key occurs twice, or rows are missing.
        StorageFullError, NodeUnavailableError
            From a node.
        """
        built = await self.built(table, table_id, rows, expected)
        async with changing(self.engine, "ingest.chunks.record") as connection:
            await record_chunks(connection, table_id, built.chunks, built.statistics)
        return built

    async def built(self, table: Table, table_id: int, rows: int, expected: int | None = None, *, segment: int = 0) -> BuiltTable:
        """Do what `build` does, and write down nothing: with a number, beside what the chunks have already."""
        return await self.made_of(await self.load.runs(table_id), table, table_id, rows, segment, expected)

    async def made_of(  # noqa: PLR0913, PLR0917 (as `built`, of some runs)
        self, runs: list[int], table: Table, table_id: int, rows: int, segment: int, expected: int | None = None
    ) -> BuiltTable:
        """Do the same of some runs."""
        action = BuildTable(self.staging.home(table.name), table_to_json(table), self.load.transaction_id, table_id, runs, segment)
        return BuiltTable.of(table, await build(self.nodes, action, expected, self.progress), self.placement_of(table), rows)


def _prepare(client: WorkerClient, action: PrepareTable) -> None:
    client.prepare(action)


def _drop(client: WorkerClient, action: DropTable) -> None:
    client.drop(action)
