"""SQL that makes the physical tables of a table on a node: schema, prototype, chunk tables, indexes. Text only.

Every statement can be run again: what exists already is left as it is.
"""

from dataclasses import dataclass
from hashlib import blake2b

from schema.model import FRIENDS_COLUMN, HEALPIX_COLUMN, NEAREST_COLUMN, Column, Table, TableRole
from schema.physical import IDENTIFIER_BYTES, column_list, quote, relation
from schema.types import postgres_type

DROP_BATCH_TABLES = 500
"""Tables dropped in one statement: each takes locks of its own, and 20,000 run out of lock memory (DESIGN, section 4)."""


@dataclass(frozen=True)
class Index:
    """A B-tree index.

    Attributes
    ----------
    stored
        Columns that are kept beside the indexed ones, so that their values need no look at the rows.
    known
        Whether rows whose first column is NULL are left out.
    """

    columns: tuple[str, ...]
    unique: bool = False
    stored: tuple[str, ...] = ()
    known: bool = False

    def statement(self, name: str, on: str) -> str:
        """Return the statement that makes it, on a quoted relation."""
        kind = "UNIQUE INDEX" if self.unique else "INDEX"
        stored = f" INCLUDE ({column_list(self.stored)})" if self.stored else ""
        known = f" WHERE {quote(self.columns[0])} IS NOT NULL" if self.known else ""
        return f"CREATE {kind} IF NOT EXISTS {quote(name)} ON {on} ({column_list(self.columns)}){stored}{known}"


def schema_statement(database: str) -> str:
    """Return the statement that makes the PostgreSQL schema of a database."""
    return f"CREATE SCHEMA IF NOT EXISTS {quote(database)}"


def prototype_statements(database: str, table: Table) -> list[str]:
    """Return the statements that make a replicated table, or the empty prototype of a partitioned one."""
    body = ",\n    ".join(map(_column, table.physical_columns))
    return [f"CREATE TABLE IF NOT EXISTS {relation(database, table.name, None)} (\n    {body}\n)"]


def chunk_statements(database: str, table: Table, physical: str) -> list[str]:
    """Return the statements that make a physical table, given by its unquoted name, like the prototype.

    Autovacuum is off: the rows are written once, and publish freezes them.
    """
    made, like = f"{quote(database)}.{quote(physical)}", relation(database, table.name, None)
    return [f"CREATE TABLE IF NOT EXISTS {made} (LIKE {like}) WITH (autovacuum_enabled = false)"]


def index_statements(database: str, table: Table, physical: str) -> dict[str, str]:
    """Return the statements that index a physical table, given by its unquoted name, by the names of the indexes.

    Which they are says `indexes`.
    """
    on = f"{quote(database)}.{quote(physical)}"
    return {name: each.statement(name, on) for each in indexes(table) for name in [index_name(physical, each.columns)]}


def indexes(table: Table) -> list[Index]:
    """Return the indexes of a table, the unique ones first.

    Indexed are: the primary key and a director's key (unique), ``_healpix_29``, the columns that hold keys of directors, those of
    foreign keys, and what the schema declares. One whose columns begin another one is left out, unless it is unique. Rows of a
    director that have a neighbour are in one more, with all that a join of near neighbours needs to find the pairs.
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
    found = [
        Index(columns, unique)
        for place, (columns, unique) in enumerate(wanted)
        if unique or not any(_covers(other, columns, earlier=at < place) for at, (other, _) in enumerate(wanted))
    ]
    if table.role is TableRole.DIRECTOR:
        found.append(Index((NEAREST_COLUMN,), stored=_of_pairs(table), known=True))
    return list(dict.fromkeys(found))


def _of_pairs(table: Table) -> tuple[str, ...]:
    """Return the columns of a director that find and name its pairs."""
    named = (HEALPIX_COLUMN, FRIENDS_COLUMN, table.director_key, table.ra, table.dec)
    return tuple(dict.fromkeys(name for name in named if name is not None))


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
