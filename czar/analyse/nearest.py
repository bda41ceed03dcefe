"""Rule: where rows of a director are paired with other ones near them, read those alone that have another one so near, and pair
them within groups of near rows.

Ingest writes how near the nearest other row is to each (`partitioner.nearest`), and in which group of rows near each other it is
(`partitioner.friends`). A pair within a radius consists of two rows whose nearest one is within it, and which are in one group:
that follows from the conditions, so it can be added to them, wherever they stand. The conditions themselves stay: they decide.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.grouping import is_grouped
from czar.analyse.nesting import body, conjuncts, joins
from czar.analyse.query import Block, Query, Source, opaque
from czar.analyse.separations import near_of
from schema.model import FRIENDS_COLUMN, NEAREST_COLUMN
from schema.physical import quote

UNEQUAL = (exp.NEQ, exp.LT, exp.GT)
"""Comparisons that no key has with itself."""

GROUPED = "grouped"
"""Mark, in the meta of a condition that keeps two rows near each other, that equality of their groups stands beside it."""


@dataclass(frozen=True)
class _Pair:
    """Two sources of one table, whose rows a condition keeps near each other while another one tells them apart."""

    condition: exp.Expr
    one: Source
    other: Source
    limit_deg: float


def rows_with_neighbours(query: Query) -> Query:
    """Add to WHERE, and to the ON of outer joins, that the nearest other row is near enough."""
    found: set[str] = set()
    for block in query.blocks:
        asked = [pair for conditions in _asked(block) for pair in _pairs(query, conditions)]
        near = _near_enough(block, [*_pairs(query, block.restrictions()), *asked])
        _add(block.select, near.values())
        found |= {source.alias for source, _ in near}
        for join in joins(block.select):
            _add(join, _near_enough(block, _of_outer(query, join)).values())
    return query.with_neighbours(found) if found else query


def rows_of_one_group(query: Query) -> Query:
    """Add to them, too, that both rows of a pair are in one group, if groups reach so far in all chunks that are left."""
    if len({id(source.entry) for source in query.sources}) == len(query.sources):
        return query
    sources = {id(block.select): block.sources for block in query.blocks}
    for block in query.blocks:
        named = {source for each in _readable(block.select) for source in sources.get(id(each), ())}
        _add(block.select, _in_one_group(query, named, _pairs(query, block.restrictions())))
        for join in joins(block.select):
            _add(join, _in_one_group(query, named, _of_outer(query, join)))
    return query


def _of_outer(query: Query, join: exp.Join) -> list[_Pair]:
    """Return what the ON of an outer join pairs; that of an inner one is like WHERE."""
    return _pairs(query, conjuncts(join.args.get("on"))) if join.side else []


def _add(clause: exp.Select | exp.Join, told: Iterable[exp.Expr]) -> None:
    """Add conditions to WHERE or ON."""
    told = list(told)
    if told and isinstance(clause, exp.Select):
        clause.where(*told, copy=False)
    elif told:
        clause.set("on", exp.and_(clause.args["on"], *told, copy=False))


def is_grouped_by_nearness(condition: exp.Expr) -> bool:
    """Whether equality of two rows' groups stands beside a condition that keeps them near each other."""
    return GROUPED in condition.meta


def _readable(select: exp.Select) -> Iterator[exp.Select]:
    """Yield a SELECT, and those around it of whose tables it can read any column: not behind grouping, which WHERE comes before."""
    yield select
    below: exp.Expr = select
    while (above := below.parent) is not None:
        if isinstance(above, exp.Select) and (isinstance(below, exp.Where | exp.Join) or not is_grouped(above)):
            yield above
        below = above


def _asked(block: Block) -> Iterator[list[exp.Expr]]:
    """Yield what some row must meet that EXISTS, as a condition of each row, asks for."""
    for condition in block.restrictions():
        inner = body(condition.this) if isinstance(condition, exp.Exists) else None
        # An aggregate gives a row of no rows, too.
        if isinstance(inner, exp.Select) and not is_grouped(inner):
            yield Block(inner, (), necessary=True).restrictions()


def _pairs(query: Query, conditions: list[exp.Expr]) -> list[_Pair]:
    """Return the sources that conditions, which all hold, pair with other rows of the same table, no farther than is known of."""
    found = []
    for condition in conditions:
        near = near_of(condition)
        if near is None:
            continue
        one, other = (query.tables.get(position[0]) for position in (near.left, near.right))
        if one is None or other is None or one.entry is not other.entry or not _is_measured(one, other):
            continue
        table, reach_deg = one.entry.table, one.entry.measured_deg(query.chunks)
        if reach_deg is None or near.limit_deg > reach_deg or {near.left[1:], near.right[1:]} != {(table.ra, table.dec)}:
            continue
        if any(_tells_apart(each, one, other) for each in conditions):
            found.append(_Pair(condition, one, other, near.limit_deg))
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


def _near_enough(block: Block, pairs: Iterable[_Pair]) -> dict[tuple[Source, float], exp.Expr]:
    """Return what pairs say of each source of a block, by the source and its limit, deg."""
    return {
        (source, pair.limit_deg): opaque(f"{quote(source.alias)}.{quote(NEAREST_COLUMN)} <= {pair.limit_deg!r}::float8")
        for pair in pairs
        for source in (pair.one, pair.other)
        if source in block.sources
    }


def _in_one_group(query: Query, named: AbstractSet[Source], pairs: Iterable[_Pair]) -> list[exp.Expr]:
    """Return what pairs of sources that can be named say of both together, and mark their conditions."""
    found = {}
    for pair in pairs:
        linking_deg = pair.one.entry.linking_deg(query.chunks)
        if linking_deg is not None and pair.limit_deg <= linking_deg and {pair.one, pair.other} <= named:
            pair.condition.meta[GROUPED] = True
            found[pair.one, pair.other] = opaque(
                " = ".join(f"{quote(source.alias)}.{quote(FRIENDS_COLUMN)}" for source in (pair.one, pair.other))
            )
    return list(found.values())
