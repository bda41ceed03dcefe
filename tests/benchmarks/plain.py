"""One plain PostgreSQL with the same rows in one table: what the archive is compared with."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

from ingest.inputs import open_inputs
from ingest.rows import read_rows, row_schema
from partitioner.regions import Circle
from qserv.cluster import NODE_DATABASE, Role, Secrets
from qserv.embedded.launch import embedded_postgres
from qserv.settings import Settings
from schema.ddl import index_statements, prototype_statements, schema_statement
from schema.model import HEALPIX_COLUMN, NEAREST_COLUMN, Database, Table
from schema.physical import quote, relation
from workers.functions import install

ENCODED_ROWS = 65_536
"""Rows in one piece of the prepared COPY, as a worker of the archive encodes them."""

GATHER_WORKERS = 2
"""Parallel workers of a scan: PostgreSQL's own default."""


@dataclass(frozen=True)
class Prepared:
    """Rows of a table as the bytes of a binary COPY, made before any clock runs."""

    columns: tuple[str, ...]
    pieces: tuple[bytes, ...]
    rows: int


def prepare(database: Database, table: Table, path: Path) -> Prepared:
    """Encode the rows of a file, in ``_healpix_29`` order: that is also the order that makes plain PostgreSQL fastest."""
    (source,) = open_inputs(database, {table.name: [path]})
    schema = row_schema(table)
    batches = [rows.batch for file, matching in source.files for rows in read_rows(source.table, file, matching)]
    rows = pa.Table.from_batches(batches, schema).combine_chunks()
    order = np.argsort(rows.column(HEALPIX_COLUMN).to_numpy(), kind="stable")
    encoder = ArrowToPostgresBinaryEncoder(schema)
    pieces = [bytes(encoder.write_header())]
    for start in range(0, rows.num_rows, ENCODED_ROWS):
        taken = rows.take(pa.array(order[start : start + ENCODED_ROWS])).combine_chunks()
        pieces += [bytes(encoder.write_batch(batch)) for batch in taken.to_batches()]
    pieces.append(bytes(encoder.finish()))
    return Prepared(tuple(schema.names), tuple(pieces), rows.num_rows)


class Plain:
    """A plain PostgreSQL server, with the servers' settings of the archive and parallel scans switched on."""

    def __init__(self, loader: psycopg.Connection, reader: psycopg.Connection, database: str, table: Table) -> None:
        self.loader, self.reader = loader, reader
        self._database, self._table = database, table
        self.relation = relation(database, table.name, None)

    def load(self, prepared: Prepared) -> None:
        """COPY the rows into a new table and index it; one transaction, so that neither side pays for WAL of rows."""
        with self.loader.transaction():
            for statement in prototype_statements(self._database, self._table):
                self.loader.execute(statement)
            columns = ", ".join(map(quote, prepared.columns))
            statement = f"COPY {self.relation} ({columns}) FROM STDIN WITH (FORMAT binary, FREEZE)"
            with self.loader.cursor() as cursor, cursor.copy(statement) as copy:
                for piece in prepared.pieces:
                    copy.write(piece)
            for statement in index_statements(self._database, self._table, self._table.name).values():
                # Nearest neighbours are the archive's own idea: plain PostgreSQL does not pay for them.
                if NEAREST_COLUMN not in statement:
                    self.loader.execute(statement)

    def drop(self) -> None:
        """Drop the table, if there, and let the disk rest."""
        self.loader.execute(f"DROP TABLE IF EXISTS {self.relation}")
        self.loader.execute("CHECKPOINT")

    def analyse(self) -> None:
        """Gather the planner's statistics."""
        self.loader.execute(f"VACUUM ANALYZE {self.relation}")

    def cone(self, ra: float, dec: float, radius_deg: float) -> list[tuple[object, ...]]:
        """Return the rows of a cone, found as the archive's nodes find them: pixel ranges from the index, then the exact test."""
        ranges = " OR ".join(f"_healpix_29 BETWEEN {low} AND {end - 1}" for low, end in Circle(ra, dec, radius_deg).ranges().array)
        where = f"qserv.in_circle({quote(str(self._table.ra))}, {quote(str(self._table.dec))}, {ra}, {dec}, {radius_deg})"
        return self.reader.execute(f"SELECT * FROM {self.relation} WHERE {where} AND ({ranges})").fetchall()

    def copy_out(self) -> int:
        """Read the whole table by binary COPY; return its bytes."""
        with self.reader.cursor().copy(f"COPY {self.relation} TO STDOUT WITH (FORMAT binary)") as copy:
            return sum(len(piece) for piece in copy)


@contextmanager
def plain_postgres(home: Path, database: str, table: Table) -> Iterator[Plain]:
    """Run the server while the block lasts.

    An embedded server gets a share of the machine's memory: here two servers share a quarter, in the archive four share a half.
    """
    settings = Settings(home=home, nodes=1, tap_port=0, memory_share=0.25)
    with embedded_postgres(settings) as cluster:
        secrets = Secrets.load(home)
        address = cluster.nodes[0].postgres
        with (
            psycopg.connect(address.conninfo(Role.ADMIN, NODE_DATABASE, secrets), autocommit=True) as loader,
            psycopg.connect(
                address.conninfo(Role.ADMIN, NODE_DATABASE, secrets), autocommit=True, prepare_threshold=None
            ) as reader,
        ):
            install(loader)
            loader.execute(schema_statement(database))
            reader.execute(f"SET max_parallel_workers_per_gather = {GATHER_WORKERS}")
            reader.execute("SET jit = off")
            yield Plain(loader, reader, database, table)
