"""Chunk loads into PostgreSQL: Arrow record batches in, binary COPY out, one transaction a physical table."""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pyarrow as pa
from psycopg import sql

from qserv.errors import IngestError
from qserv.failpoints import durable
from schema.ddl import chunk_statements, drop_statements
from schema.model import Table
from schema.physical import quote
from schema.types import arrow_schema
from workers.postgresql.connections import Pool
from workers.postgresql.encoding import RowEncoder
from workers.postgresql.failures import load_error
from workers.postgresql.indexes import index
from workers.postgresql.priority import give_way, port_of
from workers.postgresql.statements import run
from workers.postgresql.target import Target

_STAGED: Final = '"qserv_staged"'
"""Temporary table that takes the rows of a replicated table before they replace the old ones."""


class LoadConnection:
    """A connection of the loading role.

    Parameters
    ----------
    background
        Whether its backend gives way to all others, where it may.
    """

    def __init__(self, conninfo: str, *, background: bool = False) -> None:
        name = "qserv-worker-merge" if background else "qserv-worker-load"
        # Prepared plans outlive the tables they were made for.
        self.session = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, application_name=name, connect_timeout=5)
        if background:
            with socket.socket(fileno=os.dup(self.session.fileno())) as own:
                give_way(self.session.info.backend_pid, port_of(own))

    @property
    def worn(self) -> bool:
        """Whether the connection must not be used again."""
        return self.session.closed or self.session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def close(self) -> None:
        """End the connection."""
        self.session.close()


class Sessions:
    """Sessions of the loading role, with their errors turned into ours.

    Parameters
    ----------
    conninfo
        libpq URI of the loading role; it holds the password.
    connections
        Most of them at a time.
    background
        As of `LoadConnection`.
    """

    def __init__(self, conninfo: str, connections: int, *, background: bool = False) -> None:
        self._pool = Pool(lambda: LoadConnection(conninfo, background=background), connections)

    @contextmanager
    def session(self, table: str) -> Iterator[psycopg.Connection]:
        """Hand out a session in autocommit mode. `table` is what it is for, to be named in errors."""
        connection: LoadConnection | None = None
        try:
            connection = self._take()
            yield connection.session
        except psycopg.Error as error:
            raise load_error(error.sqlstate, error.diag.message_primary or str(error), table) from error
        finally:
            if connection is not None:
                self._pool.give_back(connection)

    def _take(self) -> LoadConnection:
        """Return a session that is alive: one that idled may have died with a restart of PostgreSQL."""
        connection = self._pool.take()
        try:
            connection.session.execute("SELECT 1")
        except psycopg.OperationalError:
            self._pool.give_back(connection)
            self._pool.forget_idle()
            return self._pool.take()
        return connection

    def close(self) -> None:
        """End the idle sessions."""
        self._pool.close()


def load(session: psycopg.Connection, target: Target, rows: "Batches") -> int:
    """Fill and index a table with these rows and no others, in one transaction; return their number. Loading twice loads once."""
    with durable("worker.table.load"), session.transaction():
        # Two loads of one table at once would both create it, and one would fail.
        session.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [target.relation])
        count = _replace(session, target.relation, rows) if target.is_whole_table else _make(session, target, rows)
        index(session, target, count)
        return count


def _make(session: psycopg.Connection, target: Target, rows: "Batches") -> int:
    """Drop a table of a chunk or a segment, make and fill it.

    It is born in the transaction that fills it, which lets COPY write frozen rows: no later VACUUM has to rewrite them.
    """
    for statement in drop_statements(target.database, [target.name]):
        run(session, statement)
    for statement in chunk_statements(target.database, target.table, target.name):
        run(session, statement)
    return _copy(session, target.relation, rows, "FORMAT binary, FREEZE")


def _replace(session: psycopg.Connection, target: str, rows: "Batches") -> int:
    """Replace all rows of a replicated table.

    They are first gathered in a temporary table: readers of the table wait only while rows are moved, not while a sender sends.
    """
    run(session, f"CREATE TEMPORARY TABLE {_STAGED} (LIKE {target}) ON COMMIT DROP")
    count = _copy(session, _STAGED, rows, "FORMAT binary")
    run(session, f"TRUNCATE {target}")
    run(session, f"INSERT INTO {target} TABLE {_STAGED}")
    return count


class Batches:
    """Rows to be loaded, checked against the declaration of their table.

    Parameters
    ----------
    table
        The table that they are rows of.
    schema
        Of the rows. Columns may come in any order, all of them, in the types that ``schema.types`` gives them.

    Raises
    ------
    IngestError
        A column is missing, unknown, or of another type.
    """

    def __init__(self, table: Table, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        expected = arrow_schema(table)
        wrong = sorted(set(expected.names) ^ set(schema.names))
        if wrong or len(schema.names) != len(expected.names):
            given, wanted = ", ".join(schema.names), ", ".join(expected.names)
            msg = f"table {table.name}: the rows have columns {given}; expected are {wanted} (differing: {', '.join(wrong)})"
            raise IngestError(msg)
        for field in schema:
            wanted_type = expected.field(field.name).type
            if field.type != wanted_type:
                msg = f"table {table.name}, column {field.name}: rows carry Arrow type {field.type}; send {wanted_type}"
                raise IngestError(msg)
        self.schema = schema
        self.batches = batches


def _copy(session: psycopg.Connection, target: str, rows: Batches, options: str) -> int:
    """Write rows into a table by COPY; return their number."""
    columns = ", ".join(map(quote, rows.schema.names))
    encoder = RowEncoder(rows.schema)
    count = 0
    with session.cursor() as cursor:
        statement = sql.SQL(f"COPY {target} ({columns}) FROM STDIN WITH ({options})")
        with cursor.copy(statement) as copy:
            copy.write(encoder.header())
            for batch in rows.batches:
                for written in encoder.rows(batch):
                    copy.write(written)
                count += batch.num_rows
            copy.write(encoder.trailer())
    return count
