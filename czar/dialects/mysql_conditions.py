"""Conditions and numbers are one in MySQL and two in PostgreSQL: where each is wanted, it is made of the other."""

from sqlglot import exp

from czar.dialects.calls import called, node_function

TRUE_OR_FALSE: tuple[type[exp.Expr], ...] = (
    *(exp.Predicate, exp.Connector, exp.Not, exp.In, exp.Between, exp.Is, exp.Boolean),
    *(exp.Like, exp.ILike, exp.RegexpLike, exp.RegexpILike, exp.Escape, exp.NullSafeEQ, exp.NullSafeNEQ),
)


def is_condition(node: exp.Expr) -> bool:
    """Return whether PostgreSQL has a value of type boolean here, as far as the text alone tells."""
    node = node.unnest()
    if isinstance(node, exp.Case):
        return False
    name, _ = called(node) or ("", [])
    return isinstance(node, TRUE_OR_FALSE) or name.startswith("qserv_areaspec_")


def as_condition(node: exp.Expr) -> exp.Expr:
    """Return a condition that holds where a value is not 0."""
    if is_condition(node) or isinstance(node, exp.Null):
        return node
    name, _ = called(node) or ("", [])
    if name.startswith("scisql_s2pt"):
        # So that the planner sees the region.
        return exp.EQ(this=node, expression=exp.Literal.number(1))
    return node_function("truth", node)


def as_number(node: exp.Expr, beside: exp.Expr | None = None) -> exp.Expr:
    """Return 1 or 0 for a condition, other values as they are; a condition stays one ``beside`` another in a comparison."""
    if not is_condition(node) or (beside is not None and is_condition(beside)):
        return node
    return exp.cast(node, exp.DType.INT)
