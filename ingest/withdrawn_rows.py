"""The rows of a transaction that is to be withdrawn: which they are, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sqlalchemy.ext.asyncio import AsyncEngine

from ingest.nodes import Nodes
from ingest.places import Place, places_of
from ingest.publication import described
from ingest.references import Measurement
from ingest.staging import Staging
from qserv.ids import ChunkId
from qserv.metadata.catalogue import CatalogueRows, TableRow
from qserv.metadata.contributions import ContributionState, SentFile
from qserv.metadata.rewrites import AppendedChunk, Found
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Database, Table, TableRole
from schema.physical import quote


@dataclass(frozen=True, kw_only=True)
class WithdrawnRows:
    """Rows of a transaction, ``found``, in a database, ``name``.

    Attributes
    ----------
    touched
        Where they are.
    sent
        Its contributions.
    """

    engine: AsyncEngine
    nodes: Nodes
    found: Found
    catalogue: CatalogueRows
    name: str
    touched: Sequence[AppendedChunk]
    sent: Sequence[SentFile]

    @cached_property
    def rows(self) -> dict[str, TableRow]:
        """The tables of the database."""
        return {row.name: row for row in self.catalogue.tables if row.database == self.name}

    @cached_property
    def database(self) -> Database:
        """The database as it is now."""
        row = next(row for row in self.catalogue.databases if row.database == self.name)
        overlap_deg = next((family.overlap_deg for family in self.catalogue.families if family.family == row.family), 0.0)
        return replace(described(row, list(self.rows.values())), overlap_deg=overlap_deg)

    @cached_property
    def chunks(self) -> dict[str, list[AppendedChunk]]:
        """Where the rows are that go, by table; of tables that are there still."""
        names = {row.table_id: name for name, row in self.rows.items()}
        found: dict[str, list[AppendedChunk]] = {}
        for one in self.touched:
            found.setdefault(names[one.table_id], []).append(one)
        # All that it brought to a table may be in the history; the rows before go back all the same.
        for table in self.database.tables:
            if table.versions is not None and table.versions.history in found:
                found.setdefault(table.name, [])
        return found

    @property
    def gone(self) -> dict[str, tuple[int, int, int]]:
        """Rows, overlap rows, and chunks, by table."""
        return {
            name: (sum(one.row_count for one in found), sum(one.overlap_row_count for one in found), len(found))
            for name, found in self.chunks.items()
        }

    @cached_property
    def numbers(self) -> list[int]:
        """Numbers of the contributions."""
        return [file.contribution_id for file in self.sent if file.state is ContributionState.DONE]

    def places(self, name: str, *, staying: bool = False, by: str | None = None, others: str | None = None) -> dict[ChunkId, Place]:
        """Return where rows are that go, or that stay beside those, of a table; of keys that are there no more, if it has versions.

        Parameters
        ----------
        by
            The column that says so; default: that of the table.
        others
            A column that says that it is not of the transaction. A row that came withdrawn is of it by both columns of a history.
        """
        table = self.database.by_name[name]
        goes, found = self.is_of_target(by or gone_by(table)), {}
        followed = table.versions if table.role is TableRole.DIRECTOR and not staying else None
        ended = self.places(followed.history) if followed is not None else {}
        for chunk, place in places_of(self.rows[name]).items():
            condition = f"({goes}) IS NOT TRUE" if staying else goes
            condition += "" if others is None else f" AND ({self.is_of_target(others)}) IS NOT TRUE"
            if chunk in ended:
                key = quote(str(table.director_key))
                condition += f" AND {key} NOT IN (SELECT {key} FROM {ended[chunk].base} AS ended)"  # noqa: S608 (quoted names)
            base, overlap = (f"(SELECT * FROM {part} AS rows WHERE {condition})" for part in (place.base, place.overlap))  # noqa: S608 (quoted names)
            found[chunk] = replace(place, base=base, overlap=overlap)
        return found

    def is_of_target(self, column: str) -> str:
        """Return the condition that a column has the number of a contribution of the transaction."""
        return f"{quote(column)} = ANY(CAST(ARRAY[{', '.join(map(str, self.numbers))}] AS bigint[]))"

    def measurement(
        self, chunks: Mapping[str, Mapping[ChunkId, Place]], measured: Mapping[str, Mapping[ChunkId, Place]]
    ) -> Measurement:
        """Return what asks nodes about rows of tables: of all that are there, or of some that are measured."""
        return Measurement(self.engine, self.nodes, self.database, Staging(self.name), chunks, measured)


def gone_by(table: Table) -> str:
    """Return the column by which rows go with a transaction: with which they came, or which ended them."""
    return ENDED_COLUMN if table.is_history else CONTRIBUTION_COLUMN
