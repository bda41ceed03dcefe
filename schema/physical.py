"""Names of the tables that PostgreSQL holds: prototype or replicated table, chunk tables, overlap tables, and their segments.

The rows of a chunk are in segments: 0 is what a load made, others have numbers, and are of rows that were appended, or of several
segments that were made one.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qserv.errors import SchemaError
from qserv.ids import ChunkId

IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer identifiers silently (NAMEDATALEN 64, one byte of it the terminator)."""

TABLE_NAME_BYTES = IDENTIFIER_BYTES - len("_") - 20 - len("_overlap")
"""Longest name of a table: a chunk number has at most 20 digits, as an unsigned 64-bit integer has."""

_WORD = re.compile(r"\w+")
_CHUNK_SUFFIX = re.compile(r"(?:_(\d{1,20}))?(?:~(\d{1,19}))?((?<=\d)_overlap)?")


class Physical(NamedTuple):
    """What of a table a physical table holds; ``chunk`` None is a replicated table."""

    chunk: ChunkId | None
    overlap: bool = False
    segment: int = 0


def quote(identifier: str) -> str:
    """Return an identifier in double quotes, safe to stand in SQL text.

    Raises
    ------
    SchemaError
        The identifier is empty or holds the NUL character, which PostgreSQL has no way to write.
    """
    if not identifier or "\0" in identifier:
        msg = f"{identifier!r} cannot be an SQL identifier: it is empty or holds a NUL character; give it another name"
        raise SchemaError(msg)
    return '"' + identifier.replace('"', '""') + '"'


def table_name(table: str, chunk: ChunkId | None, *, overlap: bool = False, segment: int = 0) -> str:
    """Return the unquoted name of a physical table; see `relation`.

    Raises
    ------
    SchemaError
        There is none of such a name, or it is too long for PostgreSQL.
    """
    if chunk is None and overlap:
        msg = f"table {table} has no overlap of its own; only its chunks have one: name the chunk"
        raise SchemaError(msg)
    name = table if chunk is None else f"{table}_{chunk}"
    if segment:
        name += f"~{segment}"  # no table of a user has such a name
    if overlap:
        name += "_overlap"
    if len(name.encode()) > IDENTIFIER_BYTES:
        msg = (
            f"{name} is longer than a name of PostgreSQL may be, {IDENTIFIER_BYTES} bytes: rows cannot be appended to table {table}"
        )
        raise SchemaError(msg)
    return name


def relation(database: str, table: str, chunk: ChunkId | None, *, overlap: bool = False, segment: int = 0) -> str:
    """Return the quoted name of a physical table, such as ``"stars"."bigsky_12"``.

    Parameters
    ----------
    database, table
        Names as declared.
    chunk
        The chunk; None for a replicated table, or for the empty prototype of a partitioned one.
    overlap
        The chunk's overlap rows rather than its own.
    segment
        Which of its segments.
    """
    return f"{quote(database)}.{quote(table_name(table, chunk, overlap=overlap, segment=segment))}"


def together(relations: Sequence[str], columns: str) -> str:
    """Return what stands in a FROM for the rows of several relations, at least one; an alias must follow.

    Parameters
    ----------
    columns
        Those that are read, as `column_list` writes them. ``*`` would not do: while a column is added, some relations have it and
        others do not.
    """
    if len(relations) == 1:
        return relations[0]
    return f"({' UNION ALL '.join(f'SELECT {columns} FROM {relation} AS rows' for relation in relations)})"  # noqa: S608 (quoted names)


def column_list(columns: Iterable[str]) -> str:
    """Return columns as a statement lists them."""
    return ", ".join(map(quote, columns))


def is_among(columns: Sequence[str], values: Sequence[Sequence[int]], alias: str) -> str:
    """Return the condition that a row has, in some columns, integers that stand together in some lists: one for each column.

    Parameters
    ----------
    alias
        Of what has the columns.
    """
    lists = [f"CAST('{{{','.join(str(int(value)) for value in listed)}}}' AS bigint[])" for listed in values]
    if len(columns) == 1:
        return f"{alias}.{quote(columns[0])} = ANY({lists[0]})"
    names = [f"key{place}" for place in range(len(columns))]
    equal = " AND ".join(f"listed.{name} = {alias}.{quote(column)}" for name, column in zip(names, columns, strict=True))
    return f"EXISTS (SELECT FROM unnest({', '.join(lists)}) AS listed ({', '.join(names)}) WHERE {equal})"


def words_of(sql: str) -> frozenset[str]:
    """Return what a text has among others where it names columns: their names are letters, digits and ``_``."""
    return frozenset(_WORD.findall(sql))


def rows_of_chunk(
    database: str, table: str, chunk: ChunkId | None, segments: Iterable[tuple[int, int, int]], *, overlap: bool = False
) -> list[str]:
    """Return the quoted names of what has the rows of a chunk, or of a replicated table: those of its segments that have some.

    The empty prototype stands in where none has.

    Parameters
    ----------
    segments
        Number, rows and overlap rows of each.
    """
    there = [segment for segment, rows, near in segments if (near if overlap else rows)]
    found = [relation(database, table, chunk, overlap=overlap, segment=segment) for segment in there]
    return found or [relation(database, table, None)]


def chunk_relations(database: str, table: str, chunks: Iterable[int], *, overlap: bool = False) -> list[str]:
    """Return the quoted names of the physical tables of many chunks, as `relation` does for each."""
    before = f"{quote(database)}.{quote(table)[:-1]}_"
    after = '_overlap"' if overlap else '"'
    return [f"{before}{chunk}{after}" for chunk in chunks]


def physical_of(table: str, physical: str) -> Physical | None:
    """Return what of `table` a physical table holds, from its unquoted name: the reverse of `table_name`.

    Returns None where `physical` is the table itself, or nothing of `table`.
    """
    if not physical.startswith(table):
        return None
    match = _CHUNK_SUFFIX.fullmatch(physical, len(table))
    if match is None or not match[0]:
        return None
    return Physical(None if match[1] is None else ChunkId(int(match[1])), match[3] is not None, int(match[2] or 0))
