"""Computes in PostgreSQL what is left of a query, over rows from the nodes: temporary tables in the scratch database."""

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import adbc_driver_manager
import psycopg
import pyarrow as pa

from czar.limits import TOO_LARGE, guarded_insert, step_size_error
from czar.scratch_rows import watched
from czar.statement_failures import message_of
from czar.statements import Connections, Link, Statements, postgres_type
from czar.steps.intermediate import NUMERIC, NUMERICS, arrays_of
from qserv.metadata.silence import SILENCE_S
from schema.physical import quote
from workers.functions import install


class Scratch(Connections):
    """The scratch database, under the role that computes: it may make temporary tables and nothing that lasts.

    Parameters
    ----------
    uri, silence_s
        See `Connections`.
    owner_uri
        libpq URI of the role that owns the database, for `prepare`.
    """

    def __init__(self, uri: str, owner_uri: str, silence_s: float = SILENCE_S) -> None:
        super().__init__(uri, silence_s)
        self._owner_uri = owner_uri

    def prepare(self) -> None:
        """Give the database the functions of the nodes.

        Raises
        ------
        MetadataError
            The scratch database does not answer.
        """
        try:
            with psycopg.connect(self._owner_uri) as connection, self.watch.waiting(_port(connection)):
                install(connection)
        except psycopg.OperationalError as error:
            raise self.no_answer() from error

    def workspace(self, timeout_s: float) -> "Workspace":
        """Return tables of one query's own; close it.

        Raises
        ------
        MetadataError
            The scratch database does not answer.
        """
        return self.lent(partial(Workspace, self, timeout_s=timeout_s))


@dataclass(frozen=True)
class Made:
    """A table of the scratch database: its rows, its bytes on disk, and its columns that are arrays."""

    rows: int
    size_bytes: int
    arrays: list[str]


class Workspace(Statements):
    """Temporary tables of one query beside its statements."""

    def __init__(self, scratch: Scratch, link: Link, timeout_s: float) -> None:
        super().__init__(scratch, link, timeout_s)
        self._loaded: set[str] = set()
        self._indexed: set[tuple[str, tuple[str, ...]]] = set()

    def load(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Make a table of rows, unless it is there already.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped.
        Exception
            Whatever reading the batches raised.
        """
        if name in self._loaded:
            return
        failure: list[Exception] = []
        with self._at_work(failure) as cursor:
            rows = pa.RecordBatchReader.from_batches(schema, watched(batches, failure))
            cursor.adbc_ingest(name, rows, mode="create", temporary=True)
            for column in schema:
                if column.type in {NUMERIC, NUMERICS}:
                    kind = "NUMERIC" if column.type == NUMERIC else "NUMERIC[]"
                    cursor.execute(
                        f"ALTER TABLE {quote(name)} ALTER {quote(column.name)} TYPE {kind} USING {quote(column.name)}::{kind}"
                    )
            cursor.execute(f"ANALYZE {quote(name)}")
        self._loaded.add(name)

    def make(self, name: str, sql: str, columns: Sequence[str], limit_bytes: int) -> Made:
        """Make a table of what a statement answers.

        Raises
        ------
        StepSizeError
            It would be larger than ``limit_bytes``.
        QueryEvaluationError
            PostgreSQL stopped.
        """
        failure: list[Exception] = []
        with self._at_work(failure) as cursor:
            names = ", ".join(map(quote, columns))
            cursor.execute(f"CREATE TEMPORARY TABLE {quote(name)} ({names}) AS {sql} WITH NO DATA")
            try:
                cursor.execute(guarded_insert(name, sql, limit_bytes))
            except adbc_driver_manager.Error as error:
                if TOO_LARGE in message_of(error):  # the whole text has the statement, too
                    failure.append(step_size_error(limit_bytes))
                raise
            cursor.execute(f"ANALYZE {quote(name)}")
            cursor.execute(f"SELECT pg_table_size('pg_temp.{quote(name)}'::regclass), count(*) FROM {quote(name)}")  # noqa: S608 (quoted)
            size_bytes, rows = cursor.fetchone() or (0, 0)
            cursor.execute(f"SELECT * FROM {quote(name)} LIMIT 0")  # noqa: S608 (quoted)
            arrays = arrays_of(cursor.fetch_arrow_table().schema)
        self._loaded.add(name)
        if size_bytes > limit_bytes:
            raise step_size_error(limit_bytes)
        return Made(rows, size_bytes, arrays)

    def index(self, name: str, columns: tuple[str, ...]) -> None:
        """Let rows of a table be found by the values of some columns.

        Raises
        ------
        QueryEvaluationError
            PostgreSQL stopped.
        """
        if (name, columns) in self._indexed:
            return
        with self._at_work() as cursor:
            cursor.execute(f"CREATE INDEX ON {quote(name)} ({', '.join(map(quote, columns))})")
        self._indexed.add((name, columns))

    def text_bytes(self, name: str) -> int:
        """Return the bytes of a table's rows as texts. Its size on disk counts long texts and numbers as they are compressed."""
        with self._at_work() as cursor:
            cursor.execute(f"SELECT COALESCE(SUM(OCTET_LENGTH(CAST(ROW(t.*) AS TEXT))), 0) FROM {quote(name)} AS t")  # noqa: S608 (quoted)
            (size_bytes,) = cursor.fetchone() or (0,)
        return int(size_bytes)

    def read(self, name: str) -> pa.Table:
        """Return a table with the types of a step's rows: numeric with all its digits."""
        with self._at_work() as cursor:
            described = cursor.adbc_execute_schema(f"SELECT * FROM {quote(name)}")  # noqa: S608 (quoted)
        numeric = {column.name: _DIGITS[kind] for column in described if (kind := postgres_type(column)) in _DIGITS}
        shown = [f"{quote(column)}::{numeric[column][0]}" if column in numeric else quote(column) for column in described.names]
        found = self.ask(f"SELECT {', '.join(shown)} FROM {quote(name)}").read_all()  # noqa: S608 (quoted)
        types = [
            numeric[column.name][1] if column.name in numeric else kind
            for column, kind in zip(described, found.schema.types, strict=True)
        ]
        return found.cast(pa.schema(list(zip(described.names, types, strict=True))))


_DIGITS: Final = {"numeric": ("text", NUMERIC), "_numeric": ("text[]", NUMERICS)}
"""What numbers with all their digits are read as: in PostgreSQL, and in Arrow."""


def _port(connection: psycopg.Connection) -> int:
    with socket.socket(fileno=os.dup(connection.fileno())) as opened:
        return int(opened.getsockname()[1])
