"""Rule: take the director keys out of the conditions, for a look-up in the director index."""

from sqlglot import exp

from czar.analyse.constants import Number, number
from czar.analyse.lists import listed, met
from czar.analyse.query import KeyRestriction, Query, Source
from czar.dialects.number_lists import NUMBERS
from schema.model import TableRole

BIGINT = 2**63
"""Keys are signed 64-bit numbers."""

MAX_KEYS = 100_000
"""Longest list of keys that is looked up; a longer one is nearer to a scan, and statistics prune it."""


def find_keys(query: Query) -> Query:
    """Collect ``key = n`` and ``key IN (...)`` on home tables, and on their dependents' references."""
    found = []
    for block in query.blocks:
        if not block.necessary:
            continue
        for source in block.homes:
            table = source.entry.table
            if table.role not in {TableRole.DIRECTOR, TableRole.DEPENDENT} or table.director_key is None:
                continue
            for condition, select in met(block):
                keys = _keys(condition, source, table.director_key)
                # The rows of a subquery go to the nodes as they are.
                is_list = keys is not None and source.entry.is_whole(table.director_key) and not condition.args.get("query")
                if keys is None and isinstance(condition, exp.EQ):
                    keys = _joined_keys(query, select, condition, source)
                if keys is not None and len(keys) <= MAX_KEYS:
                    director = table.director or table.name
                    orphans = source.entry.orphan_chunks
                    found.append(KeyRestriction(source.entry.database, director, keys, orphans, condition if is_list else None))
    return query.with_keys(tuple(found))


def _joined_keys(query: Query, select: exp.Select, condition: exp.EQ, source: Source) -> tuple[int, ...] | None:
    """Return the keys of a list that a table is joined with."""
    for key, other in ((condition.left, condition.right), (condition.right, condition.left)):
        if isinstance(key, exp.Column) and (key.table, key.name) == (source.alias, source.entry.table.director_key):
            rows = listed(query, select, other)
            if rows is not None and all(value is None or isinstance(value, int) for (value,) in rows):
                return _bigints([value for (value,) in rows if value is not None])
    return None


def _bigints(values: list[Number]) -> tuple[int, ...]:
    """Return the keys among whole numbers: one beyond bigint is none."""
    return tuple(sorted({int(value) for value in values if -BIGINT <= value < BIGINT}))


def _keys(condition: exp.Expr, source: Source, key: str) -> tuple[int, ...] | None:
    def is_key(node: exp.Expr) -> bool:
        return isinstance(node, exp.Column) and node.table == source.alias and node.name == key

    if isinstance(condition, exp.EQ):
        sides = (condition.left, condition.right)
        values = [number(other) for side, other in (sides, sides[::-1]) if is_key(side)]
    elif isinstance(condition, exp.In) and is_key(condition.this) and NUMBERS in condition.meta:
        return tuple(condition.meta[NUMBERS].tolist())
    elif isinstance(condition, exp.In) and is_key(condition.this) and condition.expressions:
        values = [number(value) for value in condition.expressions]
    else:
        return None
    if not values or not all(isinstance(value, int) for value in values):
        return None
    return _bigints([value for value in values if value is not None])
