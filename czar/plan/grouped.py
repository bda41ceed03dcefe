"""Plan of a query with aggregates: partial forms in each chunk, combined by group, expressions over them at the end."""

from dataclasses import dataclass, replace

from sqlglot import exp

from czar.analyse.locality import NotLocalError, own_aggregates
from czar.analyse.nesting import own, within
from czar.analyse.query import Query
from czar.plan.aggregates import DECOMPOSABLE, Split, split
from czar.plan.model import ChunkStep, Plan
from czar.plan.select import Window, numbered, ordering_sql, orderings
from czar.plan.template import chunk_query
from qserv.errors import QueryError


def grouped(plan: Plan, query: Query, window: Window) -> Plan:
    """Return the plan of an aggregation.

    Raises
    ------
    QueryError
        A column is used outside of aggregates and is not grouped.
    """
    keys = _keys(query)
    splits = _splits(query.tree)
    merged = _Merged(tuple(keys), splits)
    partial = query.tree.copy()
    for clause in ("having", "order", "limit", "offset", "distinct", "group"):
        partial.set(clause, None)
    items = [exp.alias_(key.copy(), f"k{index}") for index, key in enumerate(keys)]
    items += [exp.alias_(column.copy(), name) for part in splits.values() for name, column in part.partial]
    # Without keys and aggregates a HAVING still makes one group of all rows.
    partial.set("expressions", items or [exp.alias_(exp.Count(this=exp.Star()), "k")])
    if keys:
        partial.set("group", exp.Group(expressions=[key.copy() for key in keys]))
    template, slots = chunk_query(partial, query.tables)
    plan = replace(plan, step=ChunkStep(template, slots, tuple(query.chunks.tolist())))
    tree = query.tree
    terms = orderings(tree)
    names = [merged.name(item) for item in tree.expressions]
    order_names = [merged.name(term.this) for term in terms]
    plain = not tree.args.get("having") and not tree.args.get("distinct") and None not in names and None not in order_names
    if plain:
        shown = [f"{name} AS c{index}" for index, name in enumerate(names)]
        ordered = [(name, term) for name, term in zip(order_names, terms, strict=True) if name]
        rows = f"({_combine(keys, splits)}) AS merged"
        outer = f"SELECT {', '.join(shown)} FROM {rows}{ordering_sql(ordered)}{window.sql()}"  # noqa: S608 (our own column names)
        return replace(plan, combine=outer)
    return replace(plan, combine=_combine(keys, splits), finish=_finish(tree, merged, window))


def check_groups(query: Query) -> None:
    """Refuse an aggregation that uses a column outside of aggregates and does not group it.

    PostgreSQL says the same where the query runs whole on one node; here it is said in the same words for every plan.

    Raises
    ------
    QueryError
        The column is named.
    """
    group = query.tree.args.get("group")
    if group and any(group.args.get(clause) for clause in ("rollup", "cube", "grouping_sets", "all")):
        return
    merged = _Merged(tuple(_keys(query)), {})
    having = query.tree.args.get("having")
    used = [*query.tree.expressions, *(term.this for term in orderings(query.tree)), *([having.this] if having else [])]
    for node in used:
        merged.over(node)


def _keys(query: Query) -> list[exp.Expr]:
    """Return what to group by: GROUP BY, and the further columns of a table whose primary key is grouped."""
    group = query.tree.args.get("group")
    keys: list[exp.Expr] = []
    for key in group.expressions if group else []:
        if key.find(exp.Column) and key not in keys:
            keys.append(key)
    for source in query.blocks[0].sources:
        primary = source.entry.table.primary_key
        grouped_columns = {key.name for key in keys if isinstance(key, exp.Column) and key.table == source.alias}
        if not primary or not set(primary) <= grouped_columns:
            continue
        for clause in ("expressions", "having", "order"):
            part = query.tree.args.get(clause)
            for node in part if isinstance(part, list) else [part] if part else []:
                for column in node.find_all(exp.Column):
                    if column.table == source.alias and not within(column, exp.AggFunc) and column not in keys:
                        keys.append(column.copy())
    return keys


def _splits(tree: exp.Select) -> dict[exp.Expr, Split]:
    """Split each different aggregate once."""
    found: dict[exp.Expr, Split] = {}
    for clause in ("expressions", "having", "order"):
        part = tree.args.get(clause)
        for node in part if isinstance(part, list) else [part] if part else []:
            for aggregate in own_aggregates(node):
                if aggregate not in found:
                    found[aggregate] = split(aggregate, f"a{len(found)}")
    return found


def check_decomposable(tree: exp.Select) -> None:
    """Refuse what partial aggregates cannot be made of.

    Raises
    ------
    NotLocalError
        The part is named.
    """
    group = tree.args.get("group")
    if group and any(group.args.get(clause) for clause in ("rollup", "cube", "grouping_sets", "all")):
        reason = "GROUPING SETS, ROLLUP and CUBE group the rows of all chunks"
        raise NotLocalError(reason, group)
    if group and not all(own(key, exp.Column) and not own(key, exp.Query) for key in group.expressions):
        reason = "a group by a constant or a subquery is made of the rows of all chunks"
        raise NotLocalError(reason, group)
    for clause in ("expressions", "having", "order", "distinct"):
        part = tree.args.get(clause)
        for node in part if isinstance(part, list) else [part] if part else []:
            for inner in own(node, exp.AggFunc, exp.Window, exp.Query, exp.Filter, exp.WithinGroup):
                plain = isinstance(inner, DECOMPOSABLE) and not isinstance(inner.this, exp.Distinct | exp.Order)
                if not plain and not (isinstance(inner, exp.Query) and within(inner, exp.AggFunc)):
                    reason = f"{inner.sql('postgres')[:60]} is computed over the rows of all chunks"
                    raise NotLocalError(reason, inner)
    if tree.args.get("distinct") and tree.args["distinct"].args.get("on"):
        reason = "DISTINCT ON compares groups"
        raise NotLocalError(reason, tree)


@dataclass(frozen=True)
class _Merged:
    """The combined rows: one a group, with the columns k0, k1, ... and a0, a1, ..."""

    keys: tuple[exp.Expr, ...]
    splits: dict[exp.Expr, Split]

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
        name = self.name(node)
        if name is not None:
            return exp.column(name, table="merged")
        if isinstance(node, exp.Column):
            msg = f"column {node.table}.{node.name} must be in GROUP BY or inside an aggregate"
            raise QueryError(msg)
        if not isinstance(node, exp.AggFunc | exp.Query):
            for part in list(node.iter_expressions()):
                part.replace(self._rewritten(part))
        return node


def _combine(keys: list[exp.Expr], splits: dict[exp.Expr, Split]) -> str:
    names = [f"k{index}" for index in range(len(keys))]
    finals = [f"{part.final} AS {part.name}" for part in splits.values()]
    over = f"(PARTITION BY {', '.join(names)})" if names else "()"
    spread = [f"{part.spread.format(over=over)} AS {part.name}_all" for part in splits.values() if part.spread]
    with_means = f"(SELECT *, {', '.join(spread)} FROM partials) AS partials"  # noqa: S608 (our own column names)
    rows = with_means if spread else "partials"
    group = f" GROUP BY {', '.join(names)}" if names else ""
    shown = ", ".join([*names, *finals]) or "COUNT(*) AS k"
    return f"SELECT {shown} FROM {rows}{group}"  # noqa: S608 (our own column names)


def _finish(tree: exp.Select, merged: _Merged, window: Window) -> str:
    final = exp.Select(expressions=[merged.over(item) for item in tree.expressions])
    final = numbered(final).from_(exp.to_table("merged"))
    having = tree.args.get("having")
    if having:
        final = final.where(merged.over(having.this), copy=False)
    if tree.args.get("distinct"):
        final.set("distinct", exp.Distinct())
    terms = [
        exp.Ordered(this=merged.over(term.this), desc=term.args.get("desc"), nulls_first=term.args.get("nulls_first"))
        for term in orderings(tree)
    ]
    if terms:
        final.set("order", exp.Order(expressions=terms))
    return final.sql("postgres", comments=False) + window.sql()
