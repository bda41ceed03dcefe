"""Names of the tables that PostgreSQL holds: prototype or replicated table, chunk tables, overlap tables."""

import re
from collections.abc import Iterable

from qserv.errors import SchemaError
from qserv.ids import ChunkId

IDENTIFIER_BYTES = 63
"""PostgreSQL cuts longer identifiers silently (NAMEDATALEN 64, one byte of it the terminator)."""

TABLE_NAME_BYTES = IDENTIFIER_BYTES - len("_") - 20 - len("_overlap")
"""Longest name of a table: a chunk number has at most 20 digits, as an unsigned 64-bit integer has."""

_CHUNK_SUFFIX = re.compile(r"_(\d{1,20})(_overlap)?")


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


def table_name(table: str, chunk: ChunkId | None, *, overlap: bool = False) -> str:
    """Return the unquoted name of a physical table; see `relation`."""
    if chunk is None:
        if overlap:
            msg = f"table {table} has no overlap of its own; only its chunks have one: name the chunk"
            raise SchemaError(msg)
        return table
    return f"{table}_{chunk}_overlap" if overlap else f"{table}_{chunk}"


def relation(database: str, table: str, chunk: ChunkId | None, *, overlap: bool = False) -> str:
    """Return the quoted name of a physical table, such as ``"stars"."bigsky_12"``.

    Parameters
    ----------
    database, table
        Names as declared.
    chunk
        The chunk; None for a replicated table, or for the empty prototype of a partitioned one.
    overlap
        The chunk's overlap rows rather than its own.
    """
    return f"{quote(database)}.{quote(table_name(table, chunk, overlap=overlap))}"


def chunk_relations(database: str, table: str, chunks: Iterable[int], *, overlap: bool = False) -> list[str]:
    """Return the quoted names of the physical tables of many chunks, as `relation` does for each."""
    before = f"{quote(database)}.{quote(table)[:-1]}_"
    after = '_overlap"' if overlap else '"'
    return [f"{before}{chunk}{after}" for chunk in chunks]


def chunk_of(table: str, physical: str) -> tuple[ChunkId, bool] | None:
    """Return the chunk of a physical table of `table` and whether it is the overlap, from its unquoted name.

    Returns None where `physical` is not a chunk of `table`: the reverse of `table_name`.
    """
    if not physical.startswith(table):
        return None
    match = _CHUNK_SUFFIX.fullmatch(physical, len(table))
    return None if match is None else (ChunkId(int(match[1])), match[2] is not None)
