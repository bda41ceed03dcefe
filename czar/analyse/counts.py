"""LIMIT, OFFSET and FETCH: how many rows, as a number or as an expression that is computed first."""

import math
from typing import Final

from sqlglot import exp

from czar.analyse.constants import number

CLAUSES: Final = ("limit", "offset")

ALL: Final = exp.var("ALL")


def count_of(tree: exp.Expr, clause: str) -> exp.Expr | None:
    """Return the expression that says how many rows; None where there is none, and for ALL and NULL. FETCH without one means 1."""
    node = tree.args.get(clause)
    if node is None:
        return None
    found: exp.Expr | None = node.args.get("count") or exp.Literal.number(1) if isinstance(node, exp.Fetch) else node.expression
    return None if isinstance(found, exp.Null) or found == ALL else found


def set_count(tree: exp.Expr, clause: str, value: exp.Expr) -> None:
    """Say how many rows, in the place of what was said."""
    node = tree.args[clause]
    node.set("count" if isinstance(node, exp.Fetch) else "expression", value)


def computed_counts(tree: exp.Expr) -> list[str]:
    """Return the clauses whose number of rows cannot be read off the text."""
    return [clause for clause in CLAUSES if not _is_known(count_of(tree, clause))]


def _is_known(node: exp.Expr | None) -> bool:
    value = number(node)
    return node is None or (value is not None and math.isfinite(value))
