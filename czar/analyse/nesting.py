"""The queries inside a query: whose a part of the tree is, and which tables it speaks of.

Once names are resolved (`czar.analyse.resolve`), every table of FROM has an alias that no other one of the whole tree has.
"""

import itertools
from collections.abc import Iterator

from sqlglot import exp

LEAVES = frozenset({exp.Identifier, exp.Literal, exp.Var})
"""Nodes without parts."""


def parts(node: exp.Expr, *closed: type[exp.Expr]) -> Iterator[exp.Expr]:
    """Yield a node and all parts of it, outer ones first; parts of some classes are not looked into, unlike the node itself.

    Nor are the names of a column, which are two thirds of ``SELECT *``. sqlglot's own walk takes three to six times as long.
    """
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        kind = type(part)
        if kind in LEAVES or (kind is exp.Column and type(part.this) is exp.Identifier):
            continue
        if closed and part is not node and isinstance(part, closed):
            continue
        for value in reversed(part.args.values()):
            if isinstance(value, exp.Expr):
                waiting.append(value)
            elif isinstance(value, list):
                waiting.extend(inner for inner in reversed(value) if isinstance(inner, exp.Expr))


def own_parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the parts of a node without what is inside of queries below it; those queries themselves are yielded."""
    return parts(node, exp.Query)


def own(node: exp.Expr, *kinds: type[exp.Expr]) -> list[exp.Expr]:
    """Return the own parts of some classes."""
    return [part for part in own_parts(node) if isinstance(part, kinds)]


def enclosing_query(node: exp.Expr) -> exp.Expr | None:
    """Return the SELECT or set operation that a part is directly in."""
    return node.find_ancestor(exp.Select, exp.SetOperation)


def within(node: exp.Expr, *kinds: type[exp.Expr]) -> bool:
    """Whether a part is inside a part of some classes, of the same query."""
    around = node.parent
    while around is not None and not isinstance(around, exp.Query):
        if isinstance(around, kinds):
            return True
        around = around.parent
    return False


def body(node: exp.Expr) -> exp.Expr:
    """Return the query inside of parentheses."""
    while isinstance(node, exp.Subquery | exp.Paren):
        node = node.this
    return node


def relations(select: exp.Select) -> list[exp.Expr]:
    """Return what FROM joins, in the order of the text."""
    from_ = select.args.get("from_")
    return [from_.this, *(join.this for join in joins(select))] if from_ else []


def joins(select: exp.Select) -> list[exp.Join]:
    """Return the joins of FROM."""
    return select.args.get("joins") or []


def optional(select: exp.Select) -> set[str]:
    """Return the aliases of the relations that an outer join can leave without a row."""
    found: set[str] = set()
    before = [relation.alias_or_name for relation in relations(select)[:1]]
    for join in joins(select):
        added = join.this.alias_or_name
        if join.side in {"RIGHT", "FULL"}:
            found |= set(before)
        if join.side in {"LEFT", "FULL"}:
            found.add(added)
        before.append(added)
    return found


def selects(tree: exp.Expr) -> list[exp.Select]:
    """Return every SELECT of a tree, outer ones first."""
    return [part for part in parts(tree) if isinstance(part, exp.Select)]


def expression_queries(select: exp.Select) -> list[exp.Expr]:
    """Return the subqueries that stand in expressions: of WHERE, SELECT, ON, HAVING, ORDER BY; not those of FROM."""
    found = relations(select)
    listed = {id(inner) for relation in found for inner in (relation, body(relation), relation.this)}
    return [part for part in own_parts(select) if part is not select and isinstance(part, exp.Query) and id(part) not in listed]


def defined_aliases(tree: exp.Expr) -> set[str]:
    """Return the aliases of all tables and subqueries in the FROM clauses of a tree."""
    return {relation.alias_or_name for select in selects(tree) for relation in relations(select)}


def unused_aliases(tree: exp.Expr, stem: str) -> Iterator[str]:
    """Yield aliases that no table or subquery of a tree has."""
    taken = defined_aliases(tree)
    yield from (name for number in itertools.count(1) if (name := f"{stem}_{number}") not in taken)


def free_aliases(tree: exp.Expr) -> set[str]:
    """Return the aliases that columns of a tree name and that no FROM in it defines: what it is correlated with."""
    return {column.table for column in tree.find_all(exp.Column) if column.table} - defined_aliases(tree)


def output_names(query: exp.Expr) -> list[str]:
    """Return the names of the output columns of a resolved query."""
    query = body(query)
    while isinstance(query, exp.SetOperation):
        query = body(query.this)
    if isinstance(query, exp.Values):
        return [column.name for column in query.args["alias"].args["columns"]]
    return [item.alias_or_name for item in query.expressions]


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """Return the parts that all must hold: the operands of the outermost ANDs, without their parentheses."""
    return [] if condition is None else _operands(exp.And, condition)


def disjuncts(condition: exp.Or) -> list[exp.Expr]:
    """Return the parts of which one must hold: the operands of the outermost ORs, without their parentheses."""
    return _operands(exp.Or, condition)


def _operands(connector: type[exp.Connector], condition: exp.Expr) -> list[exp.Expr]:
    """Take a tree of one connector apart, without recursion: a list of 10,000 operands is as deep."""
    found: list[exp.Expr] = []
    waiting = [condition]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren):
            waiting.append(part.this)
        elif isinstance(part, connector):
            waiting += [part.expression, part.this]
        else:
            found.append(part)
    return found
