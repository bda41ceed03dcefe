"""Columns that are added to published tables, and what nodes have of them."""

from contextlib import contextmanager

import psycopg

from ingest.service.models import ColumnRequest
from qserv.cluster import NODE_DATABASE, Role
from schema.model import ColumnType
from tests.ingest.service.test_killed_service import insist
from tests.support.waiting import until

ADDED = {
    "object": (
        ColumnRequest(column="flag", datatype=ColumnType.INT, default=7, description="Which."),
        ColumnRequest(column="note", datatype=ColumnType.STRING, length=30),
    ),
    "source": (ColumnRequest(column="weight", datatype=ColumnType.FLOAT, unit="s", ucd="stat.weight", default="0.1"),),
}


def added(night, database, table, request, name=None):
    """Add a column, however often that takes; return the load."""
    name = name or f"{database}-{table}-{request.column}"
    insist(lambda: night.ingest.add_column(name, database, table, request))
    return until(lambda: found if (found := insist(lambda: night.ingest.load(name, 5))).ended else None)


def on_nodes(night, database, column):
    """Return the types of a column on the nodes, by physical table, None where it is not there, and the place of the node."""
    sql = """
        SELECT c.relname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c
        LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = %s AND NOT a.attisdropped
        WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind = 'r' AND c.relname ~ '^object'"""
    found = {}
    for place in range(len(night.running.cluster.nodes)):
        with node(night, place) as session:
            rows = session.execute(sql, [column, f'"{database}"']).fetchall()
            found |= {(name, place): kind for name, kind in rows}
    return found


@contextmanager
def node(night, place):
    running = night.running
    conninfo = running.cluster.nodes[place].postgres.conninfo(Role.LOADER, NODE_DATABASE, running.secrets)
    with psycopg.connect(conninfo, autocommit=True) as session:
        yield session


@contextmanager
def long_scan(night, database, place=0):
    """Read a table of a chunk on a node, and do not come to an end."""
    with node(night, place) as session, session.transaction():
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ %s ORDER BY 1"
        name = session.execute(sql, [database, r"^object_\d+$"]).fetchone()[0]
        session.execute(f'SELECT count(*) FROM "{database}"."{name}"')  # noqa: S608 (names of ours)
        yield name
