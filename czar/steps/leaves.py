"""Parts of a query as queries of their own, and intermediate tables in their places."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.grouping import is_grouped, is_of_row
from czar.analyse.inner_conditions import speaks_of, taken_conditions
from czar.analyse.locality import Locality
from czar.analyse.nesting import (
    body,
    conjuncts,
    expression_queries,
    free_aliases,
    joins,
    own,
    relations,
    unused_aliases,
)
from czar.analyse.plain_items import is_named
from czar.analyse.query import Output, Query, columns_in
from czar.analyse.scope import qualified
from czar.analyse.spreads import same_chunk_groups
from czar.plan.provenance import is_kept, is_plain
from czar.steps.partners import known_values

DUPLICATES_COUNT_NOT: tuple[type[exp.Expr], ...] = (exp.Min, exp.Max)
"""Aggregates whose value rows that are there twice do not change; so are all with DISTINCT."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """A query taken out of another one, and the table in its place."""

    tree: exp.Expr
    outputs: tuple[Output, ...]
    tables: tuple[exp.Table, ...]
    """Stand in the place of the part, each under an alias of its own, and are still to be named: a CTE may be used twice."""


def query_leaf(query: Query, node: exp.Expr) -> Leaf:
    """Take out a query that stands by itself; ``SELECT * FROM <table>`` takes its place, or the table if it stands in FROM."""
    tree = body(node)
    outputs = tuple(output_of(query, item) for item in tree.expressions)
    if isinstance(node, exp.Subquery) and isinstance(node.parent, exp.From | exp.Join):
        places = [node, *_other_uses(query, node)]
        tables = [step_table(place.alias) for place in places]
        for place, table in zip(places, tables, strict=True):
            place.replace(table)
        return Leaf(bare(tree), outputs, tuple(tables))
    # What GROUP BY and ORDER BY say by name or place is there twice, and must stay the same.
    places = [part for part in query.tree.find_all(exp.Select) if part == tree]
    table = step_table(fresh(query, "step"))
    columns = [named(qualified(table.alias, output.name), output.name) for output in outputs]
    reader = exp.Select(expressions=columns, from_=exp.From(this=table))
    copies = [reader if place is tree else reader.copy() for place in places]
    for place, copy in zip(places, copies, strict=True):
        place.replace(copy)
    return Leaf(bare(tree), outputs, tuple(copy.args["from_"].this for copy in copies))


def _other_uses(query: Query, node: exp.Expr) -> list[exp.Expr]:
    """Return the other places in FROM where the CTE is used that a subquery is, if it is one."""
    cte = node.meta.get("cte")
    if cte is None:
        return []
    return [other for other in query.tree.find_all(exp.Subquery) if other is not node and other.meta.get("cte") == cte]


def list_leaf(query: Query, node: exp.Expr) -> Leaf:
    """Take out a table of FROM, or a query inside."""
    select = node.find_ancestor(exp.Select)
    if isinstance(node, exp.Table) and select is not None:
        return _table_leaf(query, select, node)
    return query_leaf(query, node)


def from_leaf(query: Query, select: exp.Select) -> Leaf:
    """Take out FROM and WHERE of a SELECT, with the subqueries that its items compute a row at a time."""
    alias = fresh(query, "part")
    inside = exp.Select(expressions=[], from_=select.args["from_"], joins=joins(select) or None, where=select.args.get("where"))
    for clause in ("from_", "joins", "where"):
        select.set(clause, None)
    taken = defined_aliases_of(inside)
    columns = _Columns(query, alias)
    for node in expression_queries(select):
        row_by_row = not is_grouped(select) or is_of_row(node)
        if row_by_row and free_aliases(node) & taken:
            columns.computed(node)
    columns.repoint(select, taken)
    if _ignores_duplicates(select):
        inside.set("distinct", exp.Distinct())
    table = step_table(alias)
    select.set("from_", exp.From(this=table))
    return columns.leaf(inside, table)


def group_leaf(query: Query, locality: Locality, select: exp.Select) -> Leaf:
    """Take out the tables of FROM that can be joined chunk by chunk, one group of them; or one table alone."""
    nodes = {node.alias_or_name: node for node in relations(select)}
    whole = [node.alias_or_name for node in readable(locality, select)]
    if any(join.side for join in joins(select)):
        return _table_leaf(query, select, nodes[whole[0]])
    groups = same_chunk_groups(select, {alias: locality.of_relation(nodes[alias]) for alias in whole})
    group = max(groups, key=len)
    if len(group) == 1:
        return _table_leaf(query, select, nodes[group[0]])
    return _joined_leaf(query, select, [nodes[alias] for alias in group])


def readable(locality: Locality, select: exp.Select) -> list[exp.Expr]:
    """Return the relations of FROM that read tables of a catalogue and can be read by themselves."""
    found = [node for node in relations(select) if locality.reads_tables(node)]
    return [node for node in found if not isinstance(node, exp.Lateral) and not free_aliases(node)]


def _table_leaf(query: Query, select: exp.Select, node: exp.Expr) -> Leaf:
    """Take out one table or subquery of FROM, with the conditions on it alone; its alias and its columns keep their names."""
    alias = node.alias_or_name
    known = known_values(query, select, alias) if isinstance(node, exp.Table) else []
    takes_all = not is_kept(query, node)
    conditions = known + taken_conditions(select, alias, lambda part: speaks_of(part, {alias}) and (takes_all or is_plain(part)))
    needed = dict.fromkeys(column.name for column in select.find_all(exp.Column) if column.table == alias)
    needed |= {name: None for item in select.expressions if is_named(item) for _, name in columns_in(item.name)}
    table = step_table(alias)
    node.replace(table)
    items = [named(qualified(alias, name), name) for name in needed] or [named(exp.Literal.number(1), "present")]
    tree = exp.Select(expressions=items, from_=exp.From(this=node))
    if conditions:
        tree.set("where", exp.Where(this=exp.and_(*conditions, copy=False)))
    if _is_membership(select):
        tree.set("distinct", exp.Distinct())
    outputs = tuple(output_of(query, item) for item in items)
    return Leaf(bare(tree), outputs, (table,))


def _joined_leaf(query: Query, select: exp.Select, nodes: list[exp.Expr]) -> Leaf:
    """Take out several tables of FROM, all of whose joins are inner, with the conditions on them alone."""
    aliases = {node.alias_or_name for node in nodes}
    alias = fresh(query, "part")
    where = select.args.get("where")
    conditions = conjuncts(where.this if where else None)
    for join in joins(select):
        conditions += conjuncts(join.args.get("on"))
    pushed = [part for part in conditions if speaks_of(part, aliases)]
    kept = [part for part in conditions if not any(part is other for other in pushed)]
    pushed += [part for node in nodes if isinstance(node, exp.Table) for part in known_values(query, select, node.alias)]
    others = [node for node in relations(select) if not any(node is taken for taken in nodes)]
    table = step_table(alias)
    inside = exp.Select(expressions=[], from_=exp.From(this=nodes[0]), joins=[_cross(node) for node in nodes[1:]])
    if pushed:
        inside.set("where", exp.Where(this=exp.and_(*(part.copy() for part in pushed), copy=False)))
    select.set("from_", exp.From(this=table))
    select.set("joins", [_cross(node) for node in others] or None)
    select.set("where", exp.Where(this=exp.and_(*(part.copy() for part in kept), copy=False)) if kept else None)
    columns = _Columns(query, alias)
    columns.repoint(select, aliases)
    return columns.leaf(inside, table)


class _Columns:
    """The columns that a query needs of a part which is taken out of it, under new names."""

    def __init__(self, query: Query, alias: str) -> None:
        self._query, self._alias = query, alias
        self._items: dict[exp.Expr, str] = {}

    def repoint(self, tree: exp.Expr, aliases: Iterable[str]) -> None:
        """Let the columns of some tables mean those of the part."""
        taken = set(aliases)
        for column in list(tree.find_all(exp.Column)):
            if column.table in taken:
                column.replace(self._column(column))

    def computed(self, node: exp.Expr) -> None:
        """Let a subquery be computed inside of the part."""
        whole = node
        while isinstance(whole.parent, exp.Exists | exp.In | exp.All | exp.Any) or isinstance(whole, exp.All | exp.Any):
            whole = whole.parent or whole
        whole.replace(self._column(whole.copy()))

    def leaf(self, inside: exp.Select, table: exp.Table) -> Leaf:
        """Return the part."""
        items = [named(node, name) for node, name in self._items.items()] or [named(exp.Literal.number(1), "present")]
        inside.set("expressions", items)
        outputs = tuple(output_of(self._query, item) for item in items)
        return Leaf(bare(inside), outputs, (table,))

    def _column(self, node: exp.Expr) -> exp.Column:
        if node not in self._items:
            self._items[node.copy()] = f"c{len(self._items)}"
        return qualified(self._alias, self._items[node])


def defined_aliases_of(inside: exp.Select) -> set[str]:
    """Return the aliases that FROM of a SELECT defines."""
    return {relation.alias_or_name for relation in relations(inside)}


def _is_membership(select: exp.Select) -> bool:
    """Whether only the presence of rows counts, as in EXISTS and IN."""
    around = select.parent
    while isinstance(around, exp.Subquery | exp.Paren):
        around = around.parent
    if not isinstance(around, exp.Exists | exp.In):
        return False
    return (
        not is_grouped(select)
        and not any(select.args.get(clause) for clause in ("limit", "offset"))
        and not own(select, exp.Window)
    )


def _ignores_duplicates(select: exp.Select) -> bool:
    """Whether the rows of FROM count once, however often they are there."""
    if not is_grouped(select) or own(select, exp.Window, exp.WithinGroup):
        return False
    aggregates = own(select, exp.AggFunc)
    return bool(aggregates) and all(
        isinstance(part.this, exp.Distinct) or isinstance(part, DUPLICATES_COUNT_NOT) for part in aggregates
    )


def output_of(query: Query, item: exp.Expr) -> Output:
    """Return the output column of an item that has a name."""
    shown = item.this if isinstance(item, exp.Alias) else item
    source = query.tables.get(shown.table) if isinstance(shown, exp.Column) else None
    if source is None or source.entry.table.by_name.get(shown.name) is None:
        return Output(item.alias_or_name)
    return Output(item.alias_or_name, source, shown.name)


def bare(tree: exp.Expr) -> exp.Expr:
    """Take a SELECT out of its tree, and the names off its items: as the outermost one it has numbered columns."""
    tree.parent, tree.arg_key, tree.index = None, None, None
    tree.set("expressions", [_unnamed(item) for item in tree.expressions])
    return tree


def _unnamed(item: exp.Expr) -> exp.Expr:
    if isinstance(item, exp.Subquery):
        item.set("alias", None)
    return item.unalias()


def named(node: exp.Expr, name: str) -> exp.Expr:
    """Return a copy of an expression as an item of a step."""
    return exp.alias_(node.copy(), exp.to_identifier(name, quoted=True), copy=False)


def step_table(alias: str) -> exp.Table:
    """Return the table of a step, to be named later."""
    identifier = exp.to_identifier(alias, quoted=True)
    return exp.Table(this=identifier, alias=exp.TableAlias(this=identifier.copy()))


def _cross(node: exp.Expr) -> exp.Join:
    return exp.Join(this=node, kind="CROSS")


def fresh(query: Query, stem: str) -> str:
    """Return an alias that the query does not have."""
    return next(alias for alias in unused_aliases(query.tree, stem) if alias not in query.tables)
