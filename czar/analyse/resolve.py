"""Rule: every name means a table, a column or an output column that is there; ``*`` is spelled out, CTEs are put in their places.

Afterwards every table and subquery of FROM has an alias that no other one of the whole query has, every column is qualified with
one and quoted, and every item of an inner SELECT has a name.
"""

import itertools
from dataclasses import dataclass, field, replace

from sqlglot import exp

from czar.analyse.counts import CLAUSES, count_of, set_count
from czar.analyse.from_clause import FromClause
from czar.analyse.nesting import body, own, own_parts
from czar.analyse.plain_items import plain_star
from czar.analyse.query import Output, Query, Source
from czar.analyse.scope import Scope
from czar.analyse.select_list import Resolve, distinct_names, grouped, ordered, output_of, spelled_out
from czar.analyse.shared_subqueries import SharedSubqueries
from czar.catalogue import Catalogue
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError, QueryLimitError

MAX_RELATIONS = 200
"""Tables and subqueries of FROM in a whole query, after CTEs are put in: each use of a CTE that uses others multiplies them."""

OUTER_CLAUSES = ("with_", "order", "limit", "offset")
"""Clauses that belong to a set operation as a whole."""


_NUMBERS = itertools.count()
"""One for each CTE: its uses are known by it, whatever they are called."""


def resolve(query: Query) -> Query:
    """Resolve all names.

    Raises
    ------
    UnknownNameError
        There is no such table or column, or several.
    QueryError
        A name or position has no meaning where it stands.
    NotYetSupportedError
        It shows no column.
    """
    names = Names(query.text, query.catalogue)
    outputs = names.select(query.tree, Scope(query.text), {}, is_whole=True)
    if not outputs:
        msg = "not yet supported: an answer without columns"
        raise NotYetSupportedError(msg, Place(1, 1))
    return replace(query, outputs=tuple(outputs)).over(tuple(names.sources))


@dataclass(frozen=True)
class CommonTable:
    """A CTE: its query as written, and the CTEs that it can name."""

    node: exp.CTE
    before: dict[str, "CommonTable"]
    rows: tuple[Output, ...] | None = None
    """What a recursive one shows, while its own query is resolved."""


@dataclass
class Names:
    """Resolves one whole query, in place."""

    text: str
    catalogue: Catalogue
    sources: list[Source] = field(default_factory=list)
    _aliases: set[str] = field(default_factory=set)

    def alias(self, written: str) -> str:
        """Return an alias that no other relation of the query has: the written one, or that with a number."""
        if len(self._aliases) >= MAX_RELATIONS:
            msg = f"the query names more than {MAX_RELATIONS} tables and subqueries, those inside of its CTEs counted at each use"
            raise QueryLimitError(msg)
        name, count = written, 1
        while name.lower() in self._aliases:
            count += 1
            name = f"{written}_{count}"
        self._aliases.add(name.lower())
        return name

    def inner(self, node: exp.Expr, outer: Scope, tables: dict[str, CommonTable]) -> list[Output]:
        """Resolve a query inside of another one; its items get names."""
        tree = _with_clauses_inside(node)
        if isinstance(tree, exp.SetOperation):
            if not any(tree.args.get(clause) for clause in OUTER_CLAUSES):
                return self._set_operation(tree, outer, tables)
            tree = around(tree)
        if not isinstance(tree, exp.Select):
            msg = f"not yet supported: {tree.sql('postgres')[:60]} as a subquery"
            raise NotYetSupportedError(msg, place_of(tree, self.text))
        outputs = self.select(tree, outer, tables)
        named = [
            exp.alias_(item, exp.to_identifier(output.name, quoted=True), copy=False)
            for item, output in zip(tree.expressions, outputs, strict=True)
        ]
        tree.set("expressions", named)
        return outputs

    def _set_operation(self, tree: exp.SetOperation, outer: Scope, tables: dict[str, CommonTable]) -> list[Output]:
        """Resolve both sides; the left one gives the names. A column shows a table's column if it does so on both sides."""
        left, right = self.inner(tree.this, outer, tables), self.inner(tree.expression, outer, tables)
        if len(left) != len(right):
            name = type(tree).__name__.upper()
            msg = f"the two sides of {name} have {len(left)} and {len(right)} columns; they must have as many"
            raise QueryError(msg, place_of(tree.expression, self.text))
        return [one if one.shows_the_same(other) else Output(one.name) for one, other in zip(left, right, strict=True)]

    def select(self, tree: exp.Select, outer: Scope, tables: dict[str, CommonTable], *, is_whole: bool = False) -> list[Output]:
        """Resolve one SELECT and what is inside of it. The whole query may show its columns as one part."""
        tables = _with_common_tables(tree, tables)
        shared = SharedSubqueries.of(tree)
        scope = FromClause(self, tables).resolved(tree, outer)
        star = plain_star(tree, scope) if is_whole else None
        if star is None:
            items, outputs = self._items(tree, scope, tables, replace(shared, is_item=True))
        else:
            items, outputs = [star], list(scope.relations[0].outputs)
        outputs = distinct_names(outputs)
        for clause in ("where", "having"):
            if tree.args.get(clause):
                twins = shared if clause == "having" else None
                tree.args[clause].set("this", self.expression(tree.args[clause].this, scope, tables, twins))

        def resolved(node: exp.Expr) -> exp.Expr:
            return self.expression(node, scope, tables, shared)

        self._counts(tree, outer, tables)
        _resolve_groups(tree, items, outputs, resolved)
        _resolve_orders(tree, items, outputs, resolved)
        tree.set("expressions", items)
        return outputs

    def _items(
        self, tree: exp.Select, scope: Scope, tables: dict[str, CommonTable], shared: SharedSubqueries
    ) -> tuple[list[exp.Expr], list[Output]]:
        """Resolve what a SELECT shows; return it with ``*`` spelled out, and the output columns."""
        found: list[tuple[exp.Expr, Output]] = []
        for item in tree.expressions:
            shown = spelled_out(item, scope)
            if shown is None:
                expression = self.expression(item.unalias(), scope, tables, shared)
                shown = [(expression, output_of(item, expression, scope, len(found) + 1))]
            found += shown
        return [expression for expression, _ in found], [output for _, output in found]

    def _counts(self, tree: exp.Select, outer: Scope, tables: dict[str, CommonTable]) -> None:
        """Resolve LIMIT and OFFSET: they are before all rows, and know the queries around alone."""
        for clause in CLAUSES:
            node = count_of(tree, clause)
            if node is None:
                continue
            if not outer.relations and own(node, exp.Column):
                msg = f"{clause.upper()} has one value for all rows: it cannot depend on a column"
                raise QueryError(msg, place_of(node, self.text))
            set_count(tree, clause, self.expression(node, outer, tables))

    def expression(
        self, node: exp.Expr, scope: Scope, tables: dict[str, CommonTable], shared: SharedSubqueries | None = None
    ) -> exp.Expr:
        """Return an expression with every column qualified, those of subqueries in it too."""
        if isinstance(node, exp.Column):
            return self._column(node, scope)
        for part in list(own_parts(node)):
            if isinstance(part, exp.Column):
                part.replace(self._column(part, scope))
            elif isinstance(part, exp.Query) and not isinstance(part.parent, exp.Subquery):
                found = (shared or SharedSubqueries()).resolve(part, lambda inner: self.inner(inner, scope, tables))
                node = found if part is node else node
        return node

    def _column(self, node: exp.Column, scope: Scope) -> exp.Expr:
        if isinstance(node.this, exp.Star):
            msg = f"{node.sql('postgres')} stands for columns, not for a value; COUNT(*) counts rows"
            raise QueryError(msg, place_of(node, self.text))
        return scope.column(node)


def _resolve_groups(tree: exp.Select, items: list[exp.Expr], outputs: list[Output], resolved: Resolve) -> None:
    group = tree.args.get("group")
    if group is None:
        return

    def term(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets | exp.Tuple):
            part.set("expressions", [term(inner) for inner in part.expressions])
            return part
        return grouped(part, items, outputs, resolved)

    group.set("expressions", [term(part) for part in group.expressions])


def _resolve_orders(tree: exp.Select, items: list[exp.Expr], outputs: list[Output], resolved: Resolve) -> None:
    """Resolve ORDER BY and DISTINCT ON."""
    for terms in (tree.args.get("order"), (tree.args.get("distinct") or exp.Distinct()).args.get("on")):
        for term in terms.expressions if terms else []:
            if isinstance(term, exp.Ordered):
                term.set("this", ordered(term.this, items, outputs, resolved))
            else:
                term.replace(ordered(term, items, outputs, resolved))


def _with_common_tables(tree: exp.Select, tables: dict[str, CommonTable]) -> dict[str, CommonTable]:
    """Take WITH off a SELECT; return the CTEs that it and what is inside of it can name."""
    with_ = tree.args.get("with_")
    if with_ is None:
        return tables
    tree.set("with_", None)
    recursive = bool(with_.args.get("recursive"))
    for node in with_.expressions:
        node.meta["number"] = next(_NUMBERS)
        known = CommonTable(node, tables)
        if not recursive:
            # Without RECURSIVE, a CTE that names itself means what had the name before.
            node.meta["plain"] = True
        tables = {**tables, node.alias.lower(): known}
    return tables


def _with_clauses_inside(node: exp.Expr) -> exp.Expr:
    """Return the query inside of parentheses, with the clauses behind them: as in PostgreSQL they are its own.

    Raises
    ------
    QueryError
        It has such a clause already.
    """
    inner = body(node)
    while node is not inner:
        for clause in OUTER_CLAUSES:
            if node.args.get(clause) and inner.args.get(clause):
                msg = f"{clause.strip('_').upper()} stands both inside of parentheses and behind them"
                raise QueryError(msg)
            if node.args.get(clause):
                inner.set(clause, node.args[clause])
                node.set(clause, None)
        node = node.this
    return inner


def as_select(tree: exp.Expr) -> exp.Select:
    """Return a whole query as a SELECT: ``SELECT * FROM (...)`` around anything else."""
    while isinstance(tree, exp.Subquery) and not any(tree.args.get(clause) for clause in OUTER_CLAUSES):
        tree = tree.this
        tree.parent = None
    return tree if isinstance(tree, exp.Select) else around(tree)


def around(tree: exp.Expr) -> exp.Select:
    """Return ``SELECT * FROM (tree)`` in the place of a query, which loses WITH, ORDER BY and LIMIT to it."""
    outer = exp.Select(expressions=[exp.Star()])
    if tree.parent is not None:
        tree.replace(outer)
    for clause in OUTER_CLAUSES:
        outer.set(clause, tree.args.get(clause))
        tree.set(clause, None)
    alias = exp.TableAlias(this=exp.to_identifier("rows"))
    inside = tree if isinstance(tree, exp.Subquery) else exp.Subquery(this=tree)
    inside.set("alias", alias)
    outer.set("from_", exp.From(this=inside))
    return outer
