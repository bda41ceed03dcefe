"""Plan of a query with aggregates: partial forms in each chunk, combined by group, expressions over them at the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlglot import exp

from czar.analyse.grouping import is_of_row, own_aggregates
from czar.analyse.kinds import Kind
from czar.analyse.locality import NotLocalError
from czar.analyse.nesting import own
from czar.analyse.query import Query
from czar.analyse.spreads import Spread
from czar.plan.aggregates import EXACT, Split, can_be_split, counted_apart, split, values_of
from czar.plan.combining import Combining
from czar.plan.model import ChunkStep, Plan
from czar.plan.numbers import Numbers, numbers_of
from czar.plan.select import Window, carrying, computed, numbered, ordering_sql, orderings, shown
from czar.plan.sets import MOST_SETS, all_keys, extends_groups, grouping_sets, is_constant
from czar.plan.template import chunk_query
from qserv.errors import QueryError


def grouped(plan: Plan, query: Query, rows: Spread, window: Window) -> Plan:
    """Return the plan of an aggregation that `check_decomposable` allows; ``rows`` says how the rows lie that it groups.

    Raises
    ------
    QueryError
        A column is used outside of aggregates and is not grouped.
    """
    tree = query.tree
    sets = grouping_sets(tree)
    keys = all_keys(sets)
    splits = _splits(query, rows, is_one_set=len(sets) == 1)
    merged = _Merged(keys, splits)
    template, slots = chunk_query(_partial(tree, keys, splits), query.tables)
    plan = replace(plan, step=ChunkStep(template, slots, tuple(query.chunks.tolist()), query.chunk_keys))
    terms = orderings(tree)
    names = [merged.name(item) for item in tree.expressions]
    order_names = [merged.name(term.this) for term in terms]
    places = [tuple(keys.index(key) for key in one) for one in sets]
    numbers = numbers_of(query)
    carried = numbers.carried(tree.expressions)
    # DuckDB has means of integers in double precision, where two that differ may be one.
    rounded = any(numbers.kind(term.this) == Kind.NUMERIC and not numbers.is_sum(term.this) for term in terms)
    by_group = not tree.args.get("having") and not tree.args.get("distinct") and None not in names and None not in order_names
    plain = by_group and not carried and not rounded
    means = [column for part in splits.values() for column in part.means]
    if plain:
        columns = [f"{name} AS c{index}" for index, name in enumerate(names)]
        ordered = [(name, term) for name, term in zip(order_names, terms, strict=True) if name]
        groups = Combining(places, len(keys), [(part.name, part.plain) for part in splits.values()], means).sql()
        outer = f"SELECT {', '.join(columns)} FROM ({groups}) AS merged{ordering_sql(ordered)}{window.sql()}"  # noqa: S608 (our own column names)
        return replace(plan, combine=outer)
    finish = _finish(tree, merged, numbers, window)
    finals = [column for part in splits.values() for column in part.merged]
    wide = tuple(pair for part in splits.values() for pair in part.wide)
    groups = Combining(places, len(keys), finals, means, merged.groupings).sql()
    return replace(plan, combine=groups, wide=wide, finish=finish, carried=carried)


def check_groups(query: Query) -> None:
    """Refuse an aggregation that uses a column outside of aggregates and does not group it.

    PostgreSQL says the same where the query runs whole on one node; here it is said in the same words for every plan.

    Raises
    ------
    QueryError
        The column is named.
    """
    merged = _Merged(all_keys(grouping_sets(query.tree)), {})
    for node in _computed_parts(query.tree):
        merged.over(node)


def check_decomposable(query: Query) -> None:
    """Refuse what partial aggregates cannot be made of.

    Raises
    ------
    NotLocalError
        The part is named.
    """
    tree, numbers = query.tree, numbers_of(query)
    sets = grouping_sets(tree)
    keys = all_keys(sets)
    if len(sets) > MOST_SETS:
        reason = "GROUPING SETS, ROLLUP and CUBE of so many columns group the rows of all chunks"
        raise NotLocalError(reason, tree.args["group"])
    for key in keys:
        if own(key, exp.Query) or numbers.may_be_numeric(key) or (is_constant(key) and extends_groups(tree)):
            reason = f"groups by {key.sql('postgres')[:60]} are made of the rows of all chunks"
            raise NotLocalError(reason, tree)
    if tree.args.get("distinct") and tree.args["distinct"].args.get("on"):
        reason = "DISTINCT ON compares groups"
        raise NotLocalError(reason, tree)
    for node in _computed_parts(tree):
        for inner in own(node, exp.Query):
            if not is_of_row(inner):
                reason = "a subquery is computed for groups of the rows of all chunks"
                raise NotLocalError(reason, inner)
        for call in _calls(node):
            if not can_be_split(call) or _merges_numeric(call, numbers):
                reason = f"{call.sql('postgres')[:60]} is computed over the rows of all chunks"
                raise NotLocalError(reason, call)


def _merges_numeric(call: exp.Expr, numbers: Numbers) -> bool:
    aggregate = call.this if isinstance(call, exp.Filter) else call
    values = values_of(call)
    if values is None and not isinstance(aggregate, EXACT):
        return False
    return numbers.may_be_numeric(aggregate.this if values is None else values)


def _computed_parts(tree: exp.Select) -> Iterator[exp.Expr]:
    """Yield what is computed of each group."""
    yield from tree.expressions
    if tree.args.get("having"):
        yield tree.args["having"].this
    for term in orderings(tree):
        yield term.this


def _calls(node: exp.Expr) -> list[exp.Expr]:
    """Return the aggregates of an expression, each with the FILTER and WITHIN GROUP around it."""
    found = []
    for call in own_aggregates(node):
        while isinstance(call.parent, exp.Filter | exp.WithinGroup) and call.parent.this is call:
            call = call.parent  # noqa: PLW2901 (out of what is around it)
        found.append(call)
    return found


def _splits(query: Query, rows: Spread, *, is_one_set: bool) -> dict[exp.Expr, Split]:
    """Split each different aggregate once."""
    calls = list(dict.fromkeys(call for node in _computed_parts(query.tree) for call in _calls(node)))
    numbers = numbers_of(query)
    add_up = _add_up(calls, rows, is_one_set=is_one_set)
    return {
        call: counted_apart(call, name) if add_up and _counts_keys(call, rows) else split(call, name, numbers)
        for call, name in ((call, f"a{place}") for place, call in enumerate(calls))
    }


def _add_up(calls: list[exp.Expr], rows: Spread, *, is_one_set: bool) -> bool:
    """Whether numbers of keys add up over the partial rows of a group.

    Where the chunks group by other values too, or finer than a set does, one key is in several of them.
    """
    return is_one_set and all(values_of(call) is None or _counts_keys(call, rows) for call in calls)


def _counts_keys(call: exp.Expr, rows: Spread) -> bool:
    """Whether an aggregate is COUNT(DISTINCT key), of a director's key: all rows of one key are in one chunk."""
    aggregate, values = call.this if isinstance(call, exp.Filter) else call, values_of(call)
    if not isinstance(aggregate, exp.Count) or not isinstance(values, exp.Column):
        return False
    return any(key[1:] == (values.table, values.name) for key in rows.anchored)


def _partial(tree: exp.Select, keys: list[exp.Expr], splits: dict[exp.Expr, Split]) -> exp.Select:
    """Return the query of a chunk: partial aggregates by the keys, and by the values of which only different ones are taken."""
    partial = tree.copy()
    for clause in ("having", "order", "limit", "offset", "distinct", "group"):
        partial.set(clause, None)
    groups = [(f"k{index}", key) for index, key in enumerate(keys)]
    groups += [column for part in splits.values() for column in part.values]
    columns = [*groups, *(column for part in splits.values() for column in part.partial)]
    # Without keys and aggregates a HAVING still makes one group of all rows.
    items = [exp.alias_(node.copy(), name) for name, node in columns] or [exp.alias_(exp.Count(this=exp.Star()), "k")]
    partial.set("expressions", items)
    if groups:
        partial.set("group", exp.Group(expressions=[node.copy() for _, node in groups]))
    return partial


@dataclass
class _Merged:
    """The combined rows: one a group, with columns k0, k1, ... and those of the splits."""

    keys: list[exp.Expr]
    splits: dict[exp.Expr, Split]
    groupings: list[tuple[int, ...]] = field(default_factory=list)
    """The keys of each call of GROUPING, by their places: its value is column g0, g1, ..."""

    def name(self, node: exp.Expr) -> str | None:
        """Return the column that holds an expression as it is, or None."""
        if node in self.keys:
            return f"k{self.keys.index(node)}"
        return self.splits[node].name if node in self.splits else None

    def over(self, node: exp.Expr) -> exp.Expr:
        """Return the expression over the columns of the combined rows.

        Raises
        ------
        QueryError
            A column is neither grouped nor aggregated.
        """
        return self._rewritten(node.copy())

    def _rewritten(self, node: exp.Expr) -> exp.Expr:
        if node in self.keys:
            return exp.column(f"k{self.keys.index(node)}", table="merged")
        if node in self.splits:
            return self.splits[node].value.copy()
        if isinstance(node, exp.Column):
            msg = f"column {node.table}.{node.name} must be in GROUP BY or inside an aggregate"
            raise QueryError(msg)
        if isinstance(node, exp.Anonymous) and node.name.lower() == "grouping":
            return self._grouping(node)
        if isinstance(node, exp.Query) or any(call is node for call in _calls(node)):
            return node
        for part in list(node.iter_expressions()):
            part.replace(self._rewritten(part))
        return node

    def _grouping(self, node: exp.Anonymous) -> exp.Expr:
        if any(key not in self.keys for key in node.expressions):
            msg = "GROUPING takes expressions of GROUP BY"
            raise QueryError(msg)
        places = tuple(self.keys.index(key) for key in node.expressions)
        if places not in self.groupings:
            self.groupings.append(places)
        return exp.column(f"g{self.groupings.index(places)}", table="merged")


def _finish(tree: exp.Select, merged: _Merged, numbers: Numbers, window: Window) -> str:
    """Return the statement over the combined rows."""
    items = tree.expressions
    final = exp.Select(expressions=[computed(shown(merged.over(item), numbers, item)) for item in items])
    final = numbered(final).from_(exp.to_table("merged"))
    having = tree.args.get("having")
    if having:
        final = final.where(computed(merged.over(having.this)), copy=False)
    distinct = bool(tree.args.get("distinct"))
    if distinct:
        final.set("distinct", exp.Distinct())
    terms = []
    for term in orderings(tree):
        # DISTINCT can be ordered by what is shown alone, and only by that.
        same = distinct and term.this in items
        node = exp.column(f"c{items.index(term.this)}") if same else computed(merged.over(term.this))
        terms.append(exp.Ordered(this=node, desc=term.args.get("desc"), nulls_first=term.args.get("nulls_first")))
    if terms:
        final.set("order", exp.Order(expressions=terms))
    for clause, count in (("limit", window.limit), ("offset", window.offset or None)):
        if count is not None:
            final = getattr(final, clause)(count, copy=False)
    return carrying(final, numbers.carried(items)).sql("postgres", comments=False)
