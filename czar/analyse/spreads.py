"""How the rows of relations lie on the chunks, and which of them lie together because the keys of a director are equal."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.nesting import conjuncts, joins

Key = tuple[str, str, str]
"""Director (``database.table``), alias of a relation, its column that holds the director's key."""

Pair = tuple[tuple[str, str], tuple[str, str]]
"""Two (alias, column) that are equal."""


@dataclass(frozen=True)
class Spread:
    """How the rows of a relation lie on the chunks. Not ``partitioned``: every node has them all."""

    partitioned: bool
    family: str = ""
    keys: frozenset[Key] = frozenset()
    whole: frozenset[Key] = frozenset()
    """Those of the keys that are never NULL: all rows of one value are in one chunk, which the rows of NULL are not."""
    anchored: frozenset[Key] = frozenset()
    """Those of the keys, the whole ones among them, whose values the director has: all rows of one value are in one chunk."""
    partners: frozenset[str] = frozenset()
    """Aliases of tables that must be read with overlap."""


WHOLE = Spread(partitioned=False)


def equal_columns(conditions: list[exp.Expr]) -> set[Pair]:
    """Return the pairs of columns, both ways round, that conditions equate."""
    pairs: set[Pair] = set()
    for condition in conditions:
        if isinstance(condition, exp.EQ) and isinstance(condition.left, exp.Column) and isinstance(condition.right, exp.Column):
            left, right = ((side.table, side.name) for side in (condition.left, condition.right))
            pairs |= {(left, right), (right, left)}
    return pairs


def conditions_for(select: exp.Select, alias: str) -> list[exp.Expr]:
    """Return what holds of every joined row: WHERE and ON; the ON of an outer join only for the relation that it joins."""
    where = select.args.get("where")
    found = conjuncts(where.this if where else None)
    for join in joins(select):
        if not join.side or join.this.alias_or_name == alias:
            found += conjuncts(join.args.get("on"))
    return found


def tied_keys(select: exp.Select, spreads: Mapping[str, Spread]) -> frozenset[Key]:
    """Return the keys that inner conditions equate with anchored ones: where they are not NULL, they are anchored as well."""
    conditions = conjuncts(select.args["where"].this) if select.args.get("where") else []
    conditions += [part for join in joins(select) if not join.side for part in conjuncts(join.args.get("on"))]
    pairs = equal_columns(conditions)
    keys = {key for spread in spreads.values() for key in spread.keys}
    known, tied = {key for spread in spreads.values() for key in spread.anchored}, set[Key]()
    while found := {key for key in keys - known if any(key[0] == other[0] and (key[1:], other[1:]) in pairs for other in known)}:
        known |= found
        tied |= found
    return frozenset(tied)


def same_chunk_groups(select: exp.Select, spreads: Mapping[str, Spread]) -> list[list[str]]:
    """Group the relations by equality of the key of one director, of which one of two is anchored."""
    groups = [[alias] for alias in spreads]
    anchored = tied_keys(select, spreads).union(*(spread.anchored for spread in spreads.values()))
    for second in spreads:
        pairs = equal_columns(conditions_for(select, second))
        for first in spreads:
            equal = any(
                one[0] == other[0] and (one[1:], other[1:]) in pairs and {one, other} & anchored
                for one in spreads[first].keys
                for other in spreads[second].keys
                if first != second
            )
            if not equal:
                continue
            left = next(group for group in groups if first in group)
            right = next(group for group in groups if second in group)
            if left is not right:
                groups.remove(right)
                left += right
    return groups
