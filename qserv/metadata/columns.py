"""Columns that are added to published tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.metadata.catalogue import Json
from qserv.metadata.measured import ColumnRange
from qserv.metadata.registration import raise_version
from qserv.metadata.tables import columns, tables, transactions


@dataclass(frozen=True)
class NewColumn:
    """A column that all nodes have, and that is not shown yet.

    Attributes
    ----------
    declaration
        As ``schema.serialise`` writes it.
    value
        The range of its value in one row, which all rows have.
    """

    database: str
    tables: Sequence[str]
    declaration: Json
    value: ColumnRange


class Aborted(NamedTuple):
    """A column that was to be added, and that nodes may have still."""

    transaction_id: int
    database: str
    family: str


async def add_column(connection: AsyncConnection, new: NewColumn) -> int:
    """Show a column behind the others of its tables, within the caller's transaction; return the new version of the catalogue."""
    name = new.declaration["name"]
    which = select(tables.c.table_id).where(tables.c.database == new.database, tables.c.name.in_(new.tables))
    for table_id in (await connection.execute(which)).scalars().all():
        last = select(func.max(columns.c.position)).where(columns.c.table_id == table_id)
        position = (await connection.execute(last)).scalar_one() + 1
        added = insert(columns).values(table_id=table_id, name=name, position=position, declaration=new.declaration)
        await connection.execute(added)
        await connection.execute(_RANGES, {"id": table_id, "name": name, **asdict(new.value)})
    return await raise_version(connection)


async def aborted(connection: AsyncConnection) -> list[Aborted]:
    """Return what was to be added and was aborted for good, and of which nodes may have columns still."""
    ended = (transactions.c.kind == "column", transactions.c.state == "aborted", transactions.c.request.is_(None))
    found = select(*(transactions.c[name] for name in Aborted._fields)).where(*ended, ~transactions.c.cleared)
    return [Aborted(*row) for row in await connection.execute(found)]


_RANGES = text("""
    INSERT INTO column_statistics (table_id, chunk, column_name, minimum, maximum, null_count, has_nan, has_infinity)
    SELECT table_id, chunk, CAST(:name AS text), CASE WHEN row_count > 0 THEN CAST(:minimum AS text) END,
        CASE WHEN row_count > 0 THEN CAST(:maximum AS text) END, row_count * CAST(:null_count AS bigint),
        row_count > 0 AND CAST(:has_nan AS boolean), row_count > 0 AND CAST(:has_infinity AS boolean)
    FROM chunks WHERE table_id = CAST(:id AS integer)""")
