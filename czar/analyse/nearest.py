"""Rule: where rows of a director are paired with other ones near them, read those alone that have another one so near.

Ingest writes how near the nearest other row is to each (`partitioner.nearest`). A pair within a radius consists of two rows whose
nearest one is within it: that follows from the conditions, so it can be added to them, wherever they stand. The conditions
themselves stay: they decide.
"""

from collections.abc import Iterator

from sqlglot import exp

from czar.analyse.locality import is_grouped
from czar.analyse.nesting import body, conjuncts, joins
from czar.analyse.query import Block, Query, Source, opaque
from czar.analyse.separations import near_of
from schema.model import NEAREST_COLUMN
from schema.physical import quote

UNEQUAL = (exp.NEQ, exp.LT, exp.GT)
"""Comparisons that no key has with itself."""


def rows_with_neighbours(query: Query) -> Query:
    """Add to WHERE, and to the ON of outer joins, that the nearest other row is near enough."""
    for block in query.blocks:
        select = block.select
        for conditions in (block.restrictions(), *_asked(block)):
            told = _told(query, block, conditions)
            if told:
                select.where(*told, copy=False)
        for join in joins(select):
            told = _told(query, block, conjuncts(join.args.get("on"))) if join.side else []
            if told:
                join.set("on", exp.and_(join.args["on"], *told, copy=False))
    return query


def _told(query: Query, block: Block, conditions: list[exp.Expr]) -> list[exp.Expr]:
    """Return what conditions, which all hold, say of the sources of a block."""
    paired = _paired(query, conditions)
    return [_is_near(source, limit_deg) for source, limit_deg in paired if source in block.sources]


def _asked(block: Block) -> Iterator[list[exp.Expr]]:
    """Yield what some row must meet that EXISTS, as a condition of each row, asks for."""
    for condition in block.restrictions():
        inner = body(condition.this) if isinstance(condition, exp.Exists) else None
        # An aggregate gives a row of no rows, too.
        if isinstance(inner, exp.Select) and not is_grouped(inner):
            yield Block(inner, (), necessary=True).restrictions()


def _paired(query: Query, conditions: list[exp.Expr]) -> dict[tuple[Source, float], None]:
    """Return the sources that conditions, which all hold, pair with other rows of the same table, and within how many degrees."""
    found: dict[tuple[Source, float], None] = {}
    for condition in conditions:
        near = near_of(condition)
        if near is None:
            continue
        one, other = (query.tables.get(position[0]) for position in (near.left, near.right))
        if one is None or other is None or one.entry is not other.entry or not _is_measured(one, other):
            continue
        table, reach_deg = one.entry.table, one.entry.nearest_deg
        if reach_deg is None or near.limit_deg > reach_deg or {near.left[1:], near.right[1:]} != {(table.ra, table.dec)}:
            continue
        if any(_tells_apart(each, one, other) for each in conditions):
            found |= dict.fromkeys(((one, near.limit_deg), (other, near.limit_deg)))
    return found


def _is_measured(one: Source, other: Source) -> bool:
    """Whether ingest measured how far rows of two sources of a table are apart: not of two rows of the overlap of a chunk."""
    return one.home or other.home


def _tells_apart(condition: exp.Expr, one: Source, other: Source) -> bool:
    """Whether a condition holds for no row and itself."""
    if not isinstance(condition, UNEQUAL):
        return False
    sides = [(side.table, side.name) for side in (condition.left, condition.right) if isinstance(side, exp.Column)]
    return sorted(sides) == sorted((source.alias, str(source.entry.table.director_key)) for source in (one, other))


def _is_near(source: Source, limit_deg: float) -> exp.Expr:
    return opaque(f"{quote(source.alias)}.{quote(NEAREST_COLUMN)} <= {limit_deg!r}::float8")
