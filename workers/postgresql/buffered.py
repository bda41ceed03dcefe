"""Keeps the pages of a table in PostgreSQL's buffers for the scans that read them next.

A sequential scan of a table larger than a quarter of ``shared_buffers`` goes through a ring of few pages (PostgreSQL's
``src/backend/storage/buffer/README``, "Buffer Ring Replacement Strategy"), so that each of several scans has every page copied from
the kernel once more, or read from the disk. A scan of a range of row addresses does not: the first one brings the pages, and the
others find them.
"""

import re
from typing import Final

from schema.physical import together

_TABLE: Final = re.compile(r'"(?:[^"]|"")+"\."(?:[^"]|"")+"')
"""A physical table, as `schema.physical.relation` writes it."""

_BEGIN: Final = "(SELECT "
"""What the rows of several tables begin with."""


def buffered(relation: str) -> str:
    """Return a relation with all rows of a table, which is read by way of the buffers whatever its size; so of several together.

    Anything else is returned as it is. The planner may still use its indexes, but no index alone: addresses are not in them.
    """
    if _TABLE.fullmatch(relation):
        return f"(SELECT * FROM {relation} WHERE ctid >= '(0,0)')"  # noqa: S608 (it is a quoted name)
    columns, tables = _parts(relation)
    return together([buffered(table) for table in tables], columns) if tables else relation


def tables_of(relation: str) -> list[str]:
    """Return the physical tables of which a relation is the rows together; none if it is not of this form."""
    return _parts(relation)[1]


def _parts(relation: str) -> tuple[str, list[str]]:
    """Return the columns and the physical tables of which a relation is the rows together; no table if it is not of this form."""
    if not relation.startswith(_BEGIN):
        return "", []
    columns, _, rest = relation[len(_BEGIN) :].partition(" FROM ")
    tables = [table[0] for table in _TABLE.finditer(rest)]
    return (columns, tables) if tables and together(tables, columns) == relation else ("", [])
