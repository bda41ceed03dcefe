"""What must hold in a database before anything is made of it. Pure: a model in, a list of problems out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from schema.check_roles import role_problems
from schema.model import (
    CONTRIBUTION_COLUMN,
    ENDED_COLUMN,
    FRIENDS_COLUMN,
    HEALPIX_COLUMN,
    NEAREST_COLUMN,
    Column,
    ColumnType,
    Database,
    ForeignKey,
    Table,
)
from schema.physical import IDENTIFIER_BYTES, TABLE_NAME_BYTES, physical_of
from schema.provenance import PROVENANCE

DATABASE_NAME_BYTES = IDENTIFIER_BYTES - len(".") - TABLE_NAME_BYTES
"""Longest name of a database: the director index has one table ``<database>.<table>`` a director, which must fit as well."""

POSTGRES_COLUMNS = 1600
"""PostgreSQL allows no more columns in a table (MaxHeapAttributeNumber)."""

TAKEN_NAMES = frozenset({"qserv", "public", "information_schema", PROVENANCE.name})
"""Names of what is no database that is loaded: schemas of a node that hold our SQL functions, and PostgreSQL's own; provenance."""

SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax", "ctid"})
"""PostgreSQL gives every table columns of these names and refuses others."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def problems(database: Database) -> list[str]:
    """Return what is wrong in a database, each problem with its place (``bigsky.hip: ...``); empty where all is well."""
    found = list(_database_names(database))
    for table in database.tables:
        found += [f"{table.name}: {problem}" for problem in _table_name(database, table)]
        found += [f"{table.name}.{problem}" for problem in _columns(table)]
        found += [f"{table.name}: {problem}" for problem in _column_lists(table)]
        found += [f"{table.name}: {problem}" for problem in role_problems(database, table)]
        for key in table.foreign_keys:
            found += [f"{table.name}: foreign key {key.name}: {problem}" for problem in _foreign_key(database, table, key)]
    return found


def _database_names(database: Database) -> Iterator[str]:
    for what, name in (("database", database.name), ("family", database.family)):
        if _NAME.fullmatch(name) is None:
            yield f"{what} name {name!r} must begin with a letter and hold ASCII letters, digits and _ only"
        if len(name) > DATABASE_NAME_BYTES:
            yield f"{what} name {name!r} is longer than {DATABASE_NAME_BYTES} characters"
    if database.name.lower() in TAKEN_NAMES or database.name.lower().startswith("pg_"):
        yield f"database name {database.name!r} is taken by PostgreSQL or by this software; choose another"
    if not database.tables:
        yield "there is no table"
    yield from _repeated("table", [table.name for table in database.tables])


def _table_name(database: Database, table: Table) -> Iterator[str]:
    if _NAME.fullmatch(table.name) is None:
        yield "a table name must begin with a letter and hold ASCII letters, digits and _ only"
    if len(table.name) > TABLE_NAME_BYTES:
        yield f"a table name has at most {TABLE_NAME_BYTES} characters, so that chunk numbers can be added to it"
    for other in database.tables:
        if physical_of(other.name.lower(), table.name.lower()) is not None:
            yield f"the name would be that of a chunk of table {other.name}; choose another"


def column_name_problem(name: str) -> str | None:
    """Return why no column can have a name, None if one can."""
    if _COLUMN_NAME.fullmatch(name) is None or len(name) > IDENTIFIER_BYTES:
        return f"a column name holds ASCII letters, digits and _, at most {IDENTIFIER_BYTES}, and begins with a letter or _"
    if name.lower() == HEALPIX_COLUMN:
        return "the name is taken by the pixel column that every partitioned table has; choose another"
    if name.lower() in {CONTRIBUTION_COLUMN, ENDED_COLUMN}:
        return "the name is taken by a column that tells with what a row came or went; choose another"
    if name.lower() in {NEAREST_COLUMN, FRIENDS_COLUMN}:
        return "the name is taken by a column about near neighbours that every director has; choose another"
    if name.lower() in SYSTEM_COLUMNS:
        return "the name is taken by a system column of PostgreSQL; choose another"
    return None


def _columns(table: Table) -> Iterator[str]:
    for column in table.columns:
        for problem in _column(column):
            yield f"{column.name}: {problem}"
    for problem in _repeated("column", [column.name for column in table.columns]):
        yield f"columns: {problem}"
    if len(table.columns) + len(table.hidden) > POSTGRES_COLUMNS:
        ours = " and ".join(column.name for column in table.hidden) or "none"
        yield f"columns: there are {len(table.columns)}; PostgreSQL allows {POSTGRES_COLUMNS}, among them ours: {ours}"


def _column(column: Column) -> Iterator[str]:
    problem = column_name_problem(column.name)
    if problem is not None:
        yield problem
    if column.keep_nan and column.datatype not in (ColumnType.FLOAT, ColumnType.DOUBLE):
        yield f"nan: keep has no meaning for {column.datatype}"
    if column.length is not None and column.length < 1:
        yield f"length {column.length} must be at least 1"
    if (column.derived_by is None) != (not column.derived_from):
        yield "a derived column names both its function and the columns that it takes"


def _column_lists(table: Table) -> Iterator[str]:
    lists: list[tuple[str, Sequence[str]]] = [("primary key", table.primary_key)]
    lists += [(f"index ({', '.join(columns)})", columns) for columns in table.indexes]
    for what, names in lists:
        for name in names:
            if name not in table.by_name:
                yield f"{what}: there is no column {name}"
        yield from (f"{what}: {problem}" for problem in _repeated("column", names))
    for name in table.primary_key:
        if name in table.by_name and table.by_name[name].nullable:
            yield f"primary key: column {name} must have nullable: false"


def _foreign_key(database: Database, table: Table, key: ForeignKey) -> Iterator[str]:
    target = database.by_name.get(key.target_table)
    if target is None:
        yield f"there is no table {key.target_table}"
        return
    if len(key.columns) != len(key.target_columns) or not key.columns:
        yield "it must name as many columns as it refers to, at least one"
    for owner, names in ((table, key.columns), (target, key.target_columns)):
        yield from (f"there is no column {owner.name}.{name}" for name in names if name not in owner.by_name)
    for name, target_name in zip(key.columns, key.target_columns, strict=False):
        if name in table.by_name and target_name in target.by_name:
            here, there = table.by_name[name].datatype, target.by_name[target_name].datatype
            if here is not there:
                yield f"column {name} is {here}, and {target.name}.{target_name} is {there}; they must be of one type"
    if key.max_separation_deg is not None and (table.ra is None or target.ra is None):
        yield "a maximum separation needs positions in both tables"


def _repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    """Name what occurs more than once; ADQL does not tell upper from lower case, so neither do names here."""
    for name, count in Counter(name.lower() for name in names).items():
        if count > 1:
            yield f"{what} {name} occurs {count} times (upper and lower case are one in ADQL)"
