"""Columns of a published table: added to all its physical tables, while queries go on.

To change a table, PostgreSQL needs it for itself for a moment. Who waits for that stands in line behind the queries that read it,
and lets no later one pass. So it is waited for a moment only, and tried again.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg import sql
from psycopg.errors import LockNotAvailable

from qserv.failpoints import durable
from schema.model import Column, Table
from schema.types import postgres_type
from workers.postgresql.statements import run
from workers.postgresql.tables import physical_tables

BATCH_TABLES: Final = 50
"""Changed in one transaction: each takes half a millisecond, and a commit several."""

SHORT_MS: Final = 50
"""How long it is waited for the queries that read a table."""

LONG_MS: Final = 1_000
"""How long at the most, after twice as long each time: where scans go on, a replicated table is read all the time."""

PAUSE: Final = 4
"""How much longer than it is waited others have their way before it is tried again."""

_UNDECLARED: Final = """
    SELECT c.relname::text, a.attname::text, a.attname = %(name)s AND format_type(a.atttypid, a.atttypmod) = %(type)s
        AND a.attmissingval::text IS NOT DISTINCT FROM %(value)s
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(database)s AND c.relname = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attname <> ALL(%(declared)s)"""


def alter(session: psycopg.Connection, database: str, table: Table, new: Column | None) -> Iterator[tuple[int, int]]:
    """Let all physical tables of a table have the columns that it declares, one of them new, and no others.

    Yields
    ------
    Number of physical tables that are done, and of all; also after each time that it was waited in vain.
    """
    with _alone(session, f"alter {database}.{table.name}"):
        total = len(physical_tables(session, database, table.name))
        wanted = _wanted(session, table, new)
        # First what others are made like, for which it waits until they are there; those of merges are made meanwhile.
        for _ in _changed(session, _statements(session, database, [table.name], wanted, new)):
            yield 0, total
        names = physical_tables(session, database, table.name)
        for left in _changed(session, _statements(session, database, names, wanted, new)):
            yield len(names) - left, len(names)
        yield len(names), len(names)


@contextmanager
def _alone(session: psycopg.Connection, what: str) -> Iterator[None]:
    """Wait until who did the same has ended: one whose caller died may go on for a moment, with what it found then."""
    session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [what])
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the connection is lost, and the lock with it
            session.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [what])


def _changed(session: psycopg.Connection, statements: list[sql.Composed]) -> Iterator[int]:
    """Change tables; yield how many are left, also after each time that it was waited in vain."""
    left, most, wait_ms = statements, BATCH_TABLES, SHORT_MS
    while left:
        busy = []
        for first in range(0, len(left), most):
            batch = left[first : first + most]
            try:
                with durable("worker.columns.alter"), session.transaction():
                    run(session, f"SET LOCAL lock_timeout = {wait_ms}")
                    for statement in batch:
                        session.execute(statement)
            except LockNotAvailable:
                busy += batch
            yield len(busy) + len(left[first + most :])
        left, most = busy, 1  # who waits longer keeps nothing else for itself
        if busy:
            time.sleep(PAUSE * wait_ms / 1000)
            wait_ms = min(2 * wait_ms, LONG_MS)


def _wanted(session: psycopg.Connection, table: Table, new: Column | None) -> dict[str, object]:
    """Return by what a column is known that needs not be added, and which columns are declared beside it."""
    declared = [column.name for column in (*table.columns, *table.hidden) if column != new]
    wanted: dict[str, object] = {"declared": declared, "name": None, "type": None, "value": None}
    if new is None:
        return wanted
    constant = sql.SQL("SELECT CAST(ARRAY[{}] AS text)").format(_constant(new))
    value = None if new.default is None else session.execute(constant).fetchall()[0][0]
    return wanted | {"name": new.name, "type": postgres_type(new).replace("varchar", "character varying"), "value": value}


def _statements(
    session: psycopg.Connection, database: str, names: list[str], wanted: Mapping[str, object], new: Column | None
) -> list[sql.Composed]:
    """Return what drops the columns of physical tables that are not right, and adds the new one where it is not."""
    statements, found = [], defaultdict[str, list[tuple[str, bool]]](list)
    for name, column, is_right in session.execute(_UNDECLARED, {**wanted, "database": database, "tables": names}).fetchall():
        found[name].append((column, bool(is_right)))
    for name in names:
        columns = found[name]
        changes = [
            sql.SQL("DROP COLUMN IF EXISTS {}").format(sql.Identifier(column)) for column, is_right in columns if not is_right
        ]
        if new is not None and not any(is_right for _, is_right in columns):
            kind = sql.SQL(postgres_type(new))
            # Never NOT NULL: where it is left over, rows that are appended do not have it.
            changes.append(sql.SQL("ADD COLUMN {} {} DEFAULT {}").format(sql.Identifier(new.name), kind, _constant(new)))
        if changes:
            # A merge may have dropped it meanwhile.
            changed = sql.SQL("ALTER TABLE IF EXISTS {} {}").format(sql.Identifier(database, name), sql.SQL(", ").join(changes))
            statements.append(changed)
    return statements


def _constant(column: Column) -> sql.Composed:
    """Return the default of a column as a value of its type."""
    return sql.SQL("CAST({} AS {})").format(sql.Literal(column.default), sql.SQL(postgres_type(column)))
