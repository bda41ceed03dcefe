"""SQL that makes the physical tables of a table on a node: schema, prototype, chunk tables, indexes. Text only.

Every statement can be run again: what exists already is left as it is.
"""

from hashlib import blake2b

from qserv.ids import ChunkId
from schema.model import HEALPIX_COLUMN, Column, Table, TableRole
from schema.physical import IDENTIFIER_BYTES, quote, relation, table_name
from schema.types import postgres_type

DROP_BATCH_TABLES = 500
"""Tables dropped in one statement: each takes locks of its own, and 20,000 run out of lock memory (DESIGN, section 4)."""


def schema_statement(database: str) -> str:
    """Return the statement that makes the PostgreSQL schema of a database."""
    return f"CREATE SCHEMA IF NOT EXISTS {quote(database)}"


def prototype_statements(database: str, table: Table) -> list[str]:
    """Return the statements that make a replicated table, or the empty prototype of a partitioned one.

    A partitioned table has ``_healpix_29 bigint`` as its last column.
    """
    columns = [_column(column) for column in table.columns]
    if table.partitioned:
        columns.append(f"{quote(HEALPIX_COLUMN)} bigint")
    body = ",\n    ".join(columns)
    return [f"CREATE TABLE IF NOT EXISTS {relation(database, table.name, None)} (\n    {body}\n)"]


def chunk_statements(database: str, table: Table, chunk: ChunkId, *, overlap: bool = False) -> list[str]:
    """Return the statements that make the table of one chunk, or of its overlap, like the prototype.

    Autovacuum is off: the rows are written once, and publish freezes them.
    """
    made = relation(database, table.name, chunk, overlap=overlap)
    like = relation(database, table.name, None)
    return [f"CREATE TABLE IF NOT EXISTS {made} (LIKE {like}) WITH (autovacuum_enabled = false)"]


def index_statements(database: str, table: Table, chunk: ChunkId | None, *, overlap: bool = False) -> list[str]:
    """Return the statements that index a physical table; ``chunk`` None is a replicated table.

    Which they are says `indexes`.
    """
    on = relation(database, table.name, chunk, overlap=overlap)
    physical = table_name(table.name, chunk, overlap=overlap)
    statements = []
    for columns, unique in indexes(table):
        kind = "UNIQUE INDEX" if unique else "INDEX"
        listed = ", ".join(map(quote, columns))
        statements.append(f"CREATE {kind} IF NOT EXISTS {quote(index_name(physical, columns))} ON {on} ({listed})")
    return statements


def indexes(table: Table) -> list[tuple[tuple[str, ...], bool]]:
    """Return (columns, unique) of the indexes of a table, the unique ones first.

    Indexed are: the primary key and a director's key (unique), ``_healpix_29``, the columns that hold keys of directors, those of
    foreign keys, and what the schema declares. One whose columns begin another one is left out, unless it is unique.
    """
    wanted: list[tuple[tuple[str, ...], bool]] = []
    if table.primary_key:
        wanted.append((table.primary_key, True))
    if table.director_key is not None:
        wanted.append(((table.director_key,), table.role is TableRole.DIRECTOR))
    if table.second_director_key is not None:
        wanted.append(((table.second_director_key,), False))
    if table.partitioned:
        wanted.append(((HEALPIX_COLUMN,), False))
    wanted += [(key.columns, False) for key in table.foreign_keys]
    wanted += [(columns, False) for columns in table.indexes]
    return list(
        dict.fromkeys(
            (columns, unique)
            for place, (columns, unique) in enumerate(wanted)
            if unique or not any(_covers(other, columns, earlier=at < place) for at, (other, _) in enumerate(wanted))
        ),
    )


def drop_statements(database: str, physical: list[str]) -> list[str]:
    """Return the statements that drop physical tables, given by their unquoted names, if there."""
    batches = (physical[start : start + DROP_BATCH_TABLES] for start in range(0, len(physical), DROP_BATCH_TABLES))
    return ["DROP TABLE IF EXISTS " + ", ".join(f"{quote(database)}.{quote(name)}" for name in batch) for batch in batches]


def index_name(physical: str, columns: tuple[str, ...]) -> str:
    """Return the name of the index on `columns` of a physical table: always the same, unique in its schema, short enough.

    The readable beginning is followed by a hash, because table and columns together may be longer than an identifier.
    """
    digest = blake2b("\0".join((physical, *columns)).encode(), digest_size=6).hexdigest()
    readable = "_".join((physical, *columns)).encode()[: IDENTIFIER_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{readable}_{digest}"


def _column(column: Column) -> str:
    return f"{quote(column.name)} {postgres_type(column)}" + ("" if column.nullable else " NOT NULL")


def _covers(other: tuple[str, ...], columns: tuple[str, ...], *, earlier: bool) -> bool:
    """Tell whether an index on `other` serves as one on `columns`: it begins with them; of two equal ones the earlier does."""
    return other[: len(columns)] == columns and (earlier or len(other) > len(columns))
