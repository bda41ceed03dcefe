"""Puts tables that were loaded beside published ones in the place of these."""

from collections.abc import Sequence

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.metadata import tables
from qserv.metadata.catalogue import DatabaseRow, FamilyRow
from qserv.metadata.director_index import rename_index
from qserv.metadata.registration import delete_table, delete_unused, register_database, register_family


async def take_place(
    connection: AsyncConnection, staged: str, family: FamilyRow, database: DatabaseRow, names: Sequence[str]
) -> None:
    """Forget tables of a database, and let the staged ones of their names be these; both are hidden. The caller commits.

    Parameters
    ----------
    staged
        Database in which the new tables were registered.
    family, database
        What the family and the database are from now on.
    names
        Of the tables.
    """
    for name in names:
        await delete_table(connection, database.database, name)
    await register_family(connection, family)
    await register_database(connection, database)
    column = tables.tables.c
    await connection.execute(
        update(tables.tables).where(column.database == staged, column.name.in_(names)).values(database=database.database)
    )
    for name in names:
        await rename_index(connection, staged, database.database, name)
    await delete_unused(connection)
