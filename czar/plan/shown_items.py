"""What a column of a relation that is no table of a catalogue shows: the expressions that its values come from."""

from typing import Final

from sqlglot import exp

from czar.analyse.nesting import body

COUNTED: Final = exp.cast(exp.Literal.number(1), exp.DType.BIGINT)
"""Stands for the column of WITH ORDINALITY."""


def shown_items(tree: exp.Expr, column: exp.Column) -> list[exp.Expr]:
    """Return the expressions that a column of a resolved query shows, of each side of a set operation; none if not known."""
    for relation in tree.find_all(exp.Subquery, exp.Lateral, exp.Values, exp.Unnest, exp.Table):
        if relation.alias == column.table:
            return _of_relation(tree, relation, column.name)
    return []


def items_at(node: exp.Expr, place: int) -> list[exp.Expr]:
    """Return the items of SELECT at a place, of each side of a set operation."""
    tree = body(node)
    if isinstance(tree, exp.SetOperation):
        return [*items_at(tree.this, place), *items_at(tree.expression, place)]
    return [tree.expressions[place]] if isinstance(tree, exp.Select) else []


def _of_relation(tree: exp.Expr, relation: exp.Expr, name: str) -> list[exp.Expr]:
    inside = relation.this if isinstance(relation, exp.Lateral | exp.Table) else relation
    if isinstance(inside, exp.Subquery):
        return _of_query(inside, name)
    names = [each.name for each in relation.args["alias"].args.get("columns") or []]
    if isinstance(inside, exp.Identifier):
        return _of_common_table(tree, inside.name, name)
    return _of_rows(inside, names.index(name)) if name in names else []


def _of_rows(maker: exp.Expr, place: int) -> list[exp.Expr]:
    """Return what stands at a place in the rows of VALUES, or of a function in FROM."""
    match maker:
        case exp.Values():
            return [row.expressions[place] for row in maker.expressions]
        case exp.Unnest():
            return [maker.expressions[place]] if place < len(maker.expressions) else [COUNTED]
        case exp.ExplodingGenerateSeries():
            return [COUNTED] if place else [maker.args["start"], maker.args["end"]]
    return []


def _of_query(query: exp.Expr, name: str) -> list[exp.Expr]:
    first = body(query)
    while isinstance(first, exp.SetOperation):
        first = body(first.this)
    names = [item.alias_or_name for item in first.expressions] if isinstance(first, exp.Select) else []
    return items_at(query, names.index(name)) if name in names else []


def _of_common_table(tree: exp.Expr, table: str, name: str) -> list[exp.Expr]:
    """Return the items of the first query of a recursive CTE: the types of its columns are those of that."""
    for common in tree.find_all(exp.CTE):
        names = [each.name for each in common.args["alias"].args.get("columns") or []]
        if common.alias == table and name in names and isinstance(common.this, exp.SetOperation):
            return items_at(common.this.this, names.index(name))
    return []
