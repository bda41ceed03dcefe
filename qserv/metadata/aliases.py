"""Names under which databases are asked beside their own: ``dr_current`` for ``dr2``, until it is for ``dr3``."""

from collections.abc import Mapping

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import IngestError, UnknownNameError
from qserv.metadata.registration import raise_version
from qserv.metadata.tables import aliases, databases, tables


async def list_aliases(connection: AsyncConnection) -> Mapping[str, str]:
    """Return the databases that aliases mean, by these."""
    return {row.alias: row.database for row in await connection.execute(select(aliases).order_by(aliases.c.alias))}


async def set_alias(connection: AsyncConnection, alias: str, database: str) -> None:
    """Let a name mean a database from now on, whatever it meant before; within the caller's transaction.

    Raises
    ------
    UnknownNameError
        There is no such database with a published table.
    IngestError
        A database has the name.
    """
    shown = select(databases.c.database).join(tables).where(databases.c.database == database, tables.c.published).limit(1)
    if (await connection.execute(shown)).first() is None:
        msg = f"there is no published database {database}"
        raise UnknownNameError(msg)
    if (await connection.execute(select(databases).where(func.lower(databases.c.database) == alias.lower()))).first() is not None:
        msg = f"there is a database {alias}; give the alias another name"
        raise IngestError(msg)
    await connection.execute(delete(aliases).where(func.lower(aliases.c.alias) == alias.lower(), aliases.c.alias != alias))
    values = insert(aliases).values(alias=alias, database=database)
    await connection.execute(values.on_conflict_do_update(index_elements=["alias"], set_={"database": database}))
    await raise_version(connection)


async def drop_alias(connection: AsyncConnection, alias: str) -> None:
    """Let a name mean nothing any more; within the caller's transaction. Does nothing if it means nothing."""
    if (await connection.execute(delete(aliases).where(aliases.c.alias == alias))).rowcount:
        await raise_version(connection)


async def check_unnamed(connection: AsyncConnection, database: str) -> None:
    """Make sure that no alias leads to a database.

    Raises
    ------
    IngestError
        One does.
    """
    found = select(aliases.c.alias).where(aliases.c.database == database).order_by(aliases.c.alias).limit(1)
    alias = (await connection.execute(found)).scalar_one_or_none()
    if alias is not None:
        msg = f"database {database} cannot be deleted: the alias {alias} means it; change or drop that before (`qserv alias`)"
        raise IngestError(msg)
