"""Subqueries that read the rows near a row of the query around -> subqueries that read a list of those rows.

``(SELECT COUNT(*) FROM t AS n WHERE distance(o, n) < r)`` would measure the distance of each ``o`` to each ``n``. Here all pairs
are found at once, as a join by cells (`czar.plan.neighbours`); the columns of what is near a row become arrays, which are columns
of that row; and the subquery reads ``unnest(o.near_0, o.near_1) AS n(c, d)``. All of its conditions stay, that on the distance too.
It can be any subquery, also a LATERAL one with ORDER BY and LIMIT.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from czar.analyse.grouping import is_grouped, is_of_row
from czar.analyse.inner_conditions import cannot_fail
from czar.analyse.nesting import body, conjuncts, joins, optional, parts, relations, selects
from czar.analyse.query import Source, columns_in
from czar.analyse.separations import near_of
from czar.catalogue import TableEntry
from czar.dialects.number_lists import lists_numbers
from czar.plan.neighbours import Side, neighbours
from czar.steps.intermediate import Intermediate
from schema.physical import quote

WIDER: Final = 1 + 1e-9
LEAST_DEG: Final = 1e-9
"""What is read reaches so much farther than the radius: the subquery's own condition decides about what rounding may take."""

STEPS_DEG: Final = 0.1
"""Largest radius around rows of a step. In a chunk, it is at most that of the overlap; a large one would list a good part of a step
for each row."""


@dataclass(frozen=True)
class SoughtNear:
    """A table of a subquery, ``inner``, whose rows are near those of a table of a query around it, ``outer``."""

    outer: exp.Select
    one: tuple[str, str, str]
    """The position in the query around, as (alias, ra, dec)."""
    inner: exp.Select
    other: tuple[str, str, str]
    """The position in the subquery."""
    limit_deg: float

    @property
    def around(self) -> str:
        """Alias of the table of the query around."""
        return self.one[0]

    @property
    def alias(self) -> str:
        """Alias of the table of the subquery."""
        return self.other[0]


def sought_near(tree: exp.Expr, texts: Mapping[str, str], tables: Mapping[str, Source]) -> list[SoughtNear]:
    """Return the tables of subqueries of which rows near one around are read.

    Parameters
    ----------
    tree
        A whole query, whose tables have different aliases.
    texts
        What each table is in SQL, by alias.
    tables
        The same tables in the catalogue.
    """
    found: dict[str, SoughtNear] = {}
    for sought in [each for select in selects(tree) for each in _of_subquery(select, texts)]:
        if _can_be_listed(tables[sought.alias].entry, sought.limit_deg):
            found.setdefault(sought.alias, sought)
    return [sought for sought in found.values() if sought.around not in found]


def _can_be_listed(entry: TableEntry, limit_deg: float) -> bool:
    """Whether the columns of a table become arrays: arrays themselves would not, which only steps have."""
    return not isinstance(entry, Intermediate) or (not entry.arrays and limit_deg <= STEPS_DEG)


def arrays_of(sought: SoughtNear, columns: Mapping[str, Mapping[str, None]], number: int) -> list[str]:
    """Return the names of the arrays of what is near, one for each column that is read of it."""
    return [f"_near_{number}_{place}" for place in range(len(columns[sought.alias]))]


def with_arrays(
    sought: SoughtNear, texts: Mapping[str, str], columns: Mapping[str, Mapping[str, None]], number: int
) -> dict[str, str]:
    """Return both tables in SQL: the one around with arrays of what is near each of its rows, and that of the subquery as these.

    ``columns`` are those that are read, by alias; ``number`` is that of the join.
    """
    names = [quote(name) for name in columns[sought.alias]]
    arrays = arrays_of(sought, columns, number)
    row, rows, lists = f"_row_{number}", f"_rows_{number}", f"_lists_{number}"
    around, alias = quote(sought.around), quote(sought.alias)
    own_row = f"{around}.{row}"
    pairs = neighbours(
        _side(sought.one, rows, dict.fromkeys((row, *sought.one[1:]))),
        _side(sought.other, _met(sought.inner, sought.alias, texts), columns[sought.alias]),
        sought.limit_deg * WIDER + LEAST_DEG,
        number=number,
        copies_first=True,
    ).sql()
    lists_of = ", ".join(f"array_agg({alias}.{name}) AS {array}" for name, array in zip(names, arrays, strict=True))
    of_row = (
        f"(WITH {rows} AS MATERIALIZED (SELECT {', '.join(map(quote, columns[sought.around]))}, row_number() OVER () AS {row}"  # noqa: S608 (our own names)
        f" FROM {_met(sought.outer, sought.around, texts)} AS {around})"
        f" SELECT * FROM {rows} LEFT JOIN (SELECT {own_row}, {lists_of} FROM {pairs} GROUP BY {own_row}) AS {lists} USING ({row}))"
    )
    read = ", ".join(f"{around}.{array}" for array in arrays)
    return {sought.around: of_row, sought.alias: f"(SELECT * FROM unnest({read}) AS _near ({', '.join(names)}))"}  # noqa: S608 (our own names)


def _side(position: tuple[str, str, str], relation: str, columns: Iterable[str]) -> Side:
    alias, ra, dec = position
    return Side(relation, alias, f"{quote(alias)}.{quote(ra)}", f"{quote(alias)}.{quote(dec)}", tuple(columns))


def asked(select: exp.Select) -> Iterator[exp.Select]:
    """Yield the subqueries that [NOT] EXISTS asks for as conditions of WHERE: PostgreSQL joins them by itself."""
    where = select.args.get("where")
    for condition in conjuncts(where.this if where else None):
        exists = condition.this.unnest() if isinstance(condition, exp.Not) else condition
        inner = body(exists.this) if isinstance(exists, exp.Exists) else None
        if isinstance(inner, exp.Select):
            yield inner


def _of_subquery(inner: exp.Select, texts: Mapping[str, str]) -> Iterator[SoughtNear]:
    where = inner.args.get("where")
    if where is None or {join.side for join in joins(inner)} - {"", "LEFT"}:
        return
    own = _tables(inner) & set(texts)
    for near in filter(None, map(near_of, conjuncts(where.this))):
        for one, other in ((near.left, near.right), (near.right, near.left)):
            outer = _around(inner, one[0]) if one[0] in texts and other[0] in own else None
            if outer is not None:
                yield SoughtNear(outer, one, inner, other, near.limit_deg)


def _around(inner: exp.Select, alias: str) -> exp.Select | None:
    """Return the SELECT around a subquery that has a table in FROM, if the subquery can name any of its columns."""
    below: exp.Expr = inner
    whole: exp.Expr = inner
    while (above := below.parent) is not None:
        if isinstance(above, exp.Select) and alias in _tables(above):
            is_read_for_each = is_of_row(whole) or isinstance(below, exp.Where | exp.Join) or not is_grouped(above)
            return above if is_read_for_each and not any(each is inner for each in asked(above)) else None
        whole = above if isinstance(above, exp.Query) else whole
        below = above
    return None


def _tables(select: exp.Select) -> set[str]:
    return {node.alias for node in relations(select) if isinstance(node, exp.Table)}


def _met(select: exp.Select, alias: str, texts: Mapping[str, str]) -> str:
    """Return a table of a SELECT, with what its WHERE says of this table alone."""
    where = select.args.get("where")
    if where is None or alias in optional(select):
        return texts[alias]
    told = [part for part in conjuncts(where.this) if _aliases(part) == {alias} and _can_be_copied(part)]
    if not told:
        return texts[alias]
    condition = " AND ".join(f"({part.sql('postgres', comments=False)})" for part in told)
    return f"(SELECT * FROM {texts[alias]} AS {quote(alias)} WHERE {condition})"  # noqa: S608 (our own names)


def _can_be_copied(condition: exp.Expr) -> bool:
    """Whether a condition has a value for any row, and is not to be written in another form."""
    if isinstance(condition, exp.Var):
        return True
    return cannot_fail(condition) and not any(map(lists_numbers, parts(condition)))


def _aliases(condition: exp.Expr) -> set[str]:
    """Return the tables that a condition speaks of."""
    found = set()
    for part in parts(condition):
        if isinstance(part, exp.Column):
            found.add(part.table)
        elif isinstance(part, exp.Var):
            found |= {name for name, _ in columns_in(part.name)}
    return found
