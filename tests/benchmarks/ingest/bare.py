"""A bare COPY: bytes that are encoded and sorted before the clock runs, into one table of one PostgreSQL, with the same index."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from release import DATABASE, table

from qserv.cluster import NODE_DATABASE, Role, Secrets
from qserv.embedded.launch import embedded_postgres
from qserv.settings import Settings
from schema.ddl import index_statements, prototype_statements, schema_statement
from schema.model import HEALPIX_COLUMN, NEAREST_COLUMN
from schema.physical import relation

PIECE_BYTES = 2**20

HEADER, TRAILER = 19, 2
"""Bytes before the first row of a binary COPY, and behind the last one (PostgreSQL's documentation of COPY)."""


class Bare:
    """The server, and the rows of the archive in a file."""

    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session
        self._table = table()
        self._name = sql.SQL(relation(DATABASE, self._table.name, None))
        names = [*(column.name for column in self._table.columns), HEALPIX_COLUMN]
        self._columns = sql.SQL(", ").join(map(sql.Identifier, names))
        self._path = Path()

    @property
    def size_bytes(self) -> int:
        """Bytes of the rows."""
        return self._path.stat().st_size

    def prepare(self, chunks: Iterable[tuple[psycopg.Connection, str]], path: Path) -> None:
        """Write the rows of the archive's chunks into a file, as one COPY takes them."""
        self._path = path
        with path.open("wb") as file:
            for session, name in chunks:
                if file.tell():
                    file.seek(-TRAILER, 2)
                source = sql.SQL("COPY {} ({}) TO STDOUT WITH (FORMAT binary)").format(
                    sql.Identifier(DATABASE, name), self._columns
                )
                skipped = HEADER if file.tell() else 0
                with session.cursor().copy(source) as copy:
                    for piece in copy:
                        file.write(piece[skipped:])
                        skipped = max(skipped - len(piece), 0)

    def load(self) -> None:
        """COPY the rows into a new table and index it; one transaction, so that neither side pays for WAL of rows."""
        with self._session.transaction(), self._path.open("rb") as file:
            for statement in prototype_statements(DATABASE, self._table):
                self._session.execute(statement)
            statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary, FREEZE)").format(self._name, self._columns)
            with self._session.cursor() as cursor, cursor.copy(statement) as copy:
                while piece := file.read(PIECE_BYTES):
                    copy.write(piece)
            for statement in index_statements(DATABASE, self._table, self._table.name).values():
                # Nearest neighbours are the archive's own idea: a bare COPY does not pay for them.
                if NEAREST_COLUMN not in statement:
                    self._session.execute(statement)

    def drop(self) -> None:
        """Drop the table, if there, and let the disk rest."""
        self._session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self._name))
        self._session.execute("CHECKPOINT")


@contextmanager
def running_bare(home: Path) -> Iterator[Bare]:
    """Run the server while the block lasts, with as much memory as a node of the archive."""
    with embedded_postgres(Settings(home=home, nodes=1, tap_port=0, memory_share=0.33)) as cluster:
        conninfo = cluster.nodes[0].postgres.conninfo(Role.ADMIN, NODE_DATABASE, Secrets.load(home))
        with psycopg.connect(conninfo, autocommit=True) as session:
            session.execute(schema_statement(DATABASE))
            yield Bare(session)
