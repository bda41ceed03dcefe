"""Loads rows into the cluster, through ``ingest``, and into plain PostgreSQL; and takes them away."""

import contextlib
import dataclasses
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from ingest.leftovers import drop_tables
from ingest.load import LoadOptions, load_catalogue
from ingest.nodes import connected_nodes
from qserv.cluster import METADATA_DATABASE, Role
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.nodes import list_nodes
from schema.model import Database
from schema.physical import quote
from tests.oracle.plain import fill


@dataclass(frozen=True)
class Tables:
    """Tables with their rows, as files hold them, and how finely they are cut."""

    database: Database
    rows: dict[str, pa.Table]
    chunk_target_rows: int

    def named(self, name):
        """Return the same in a database, and a family, of another name."""
        return dataclasses.replace(self, database=dataclasses.replace(self.database, name=name, family=f"{name}_family"))

    def needed_by(self, text):
        """Return the tables that a query names, and those that they refer to."""
        needed = {table.name for table in self.database.tables if f".{quote(table.name)}" in text}
        for table in reversed(self.database.tables):
            if table.name in needed:
                needed |= {name for name, _ in _references(table)}
        return self._with([table for table in self.database.tables if table.name in needed], self.rows)

    def smaller(self):
        """Yield the same with fewer rows, and without the rows that refer to those."""
        for table in reversed(self.database.tables):
            count = self.rows[table.name].num_rows
            size = count
            while size > 0:
                for start in range(0, count, size):
                    kept = pa.concat_tables([self.rows[table.name].slice(0, start), self.rows[table.name].slice(start + size)])
                    yield self._with(self.database.tables, self._without_strays({**self.rows, table.name: kept}))
                size //= 2

    def _without_strays(self, rows):
        for table in self.database.tables:
            for director, name in () if table.keeps_orphans else table.directors:
                keys = rows[director][self.database.by_name[director].director_key]
                known = pc.is_in(rows[table.name][name], keys.combine_chunks().cast(rows[table.name].schema.field(name).type))
                rows[table.name] = rows[table.name].filter(known)
        return rows

    def _with(self, tables, rows):
        database = dataclasses.replace(self.database, tables=tuple(tables))
        return dataclasses.replace(
            self, database=database, rows={table.name: rows[table.name].combine_chunks() for table in tables}
        )


def _references(table):
    return (*table.directors, *((key.target_table, key.columns) for key in table.foreign_keys))


async def load(cluster, secrets, tables, directory):
    """Load tables into the cluster; ``directory`` gets their files."""
    files = {}
    for name, rows in tables.rows.items():
        files[name] = [directory / f"{tables.database.name}-{name}.parquet"]
        pq.write_table(rows, files[name][0])
    options = LoadOptions(tables.chunk_target_rows)
    async with _metadata(cluster, secrets) as engine:
        return await load_catalogue(engine, secrets.cluster.get_secret_value(), tables.database, files, options=options)


@contextlib.asynccontextmanager
async def present(loaded, tables, directory):
    """Have tables in the cluster and in plain PostgreSQL for a while."""
    await load(loaded.cluster, loaded.secrets, tables, directory)
    try:
        with _in_plain(loaded.plain, tables):
            yield
    finally:
        await _unload(loaded.cluster, loaded.secrets, tables.database)


async def _unload(cluster, secrets, database):
    async with _metadata(cluster, secrets) as engine:
        async with connect(engine) as connection:
            listed = await list_nodes(connection)
        async with connected_nodes(listed, secrets.cluster.get_secret_value()) as nodes:
            await drop_tables(engine, nodes, database.name, [table.name for table in database.tables])


@contextlib.contextmanager
def _in_plain(connection, tables):
    name = sql.Identifier(tables.database.name)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    try:
        for table in tables.database.tables:
            fill(connection, tables.database.name, table, [tables.rows[table.name]])
        yield
    finally:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))


@contextlib.asynccontextmanager
async def _metadata(cluster, secrets):
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    try:
        yield engine
    finally:
        await engine.dispose()
