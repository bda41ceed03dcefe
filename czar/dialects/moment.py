"""The current time is that of the query, on every node and at every step of it; so is what a sample of rows begins with."""

from datetime import UTC, datetime
from typing import Final

from sqlglot import exp

MOMENT_FUNCTIONS: Final = frozenset({"transaction_timestamp", "statement_timestamp", "clock_timestamp"})
"""Names of PostgreSQL's functions for the time that sqlglot has no class for."""

TYPES: Final[dict[type[exp.Expr], str]] = {
    exp.CurrentTimestamp: "TIMESTAMPTZ",
    exp.CurrentDate: "DATE",
    exp.CurrentTime: "TIMETZ",
    exp.Localtimestamp: "TIMESTAMP",
    exp.Localtime: "TIME",
}
"""What each is of; a precision may follow in parentheses."""


def at_moment(tree: exp.Expr, moment: datetime) -> exp.Expr:
    """Return the tree with constants in place of the current time, which seeds samples without REPEATABLE.

    Parameters
    ----------
    tree
        It is changed.
    moment
        With its time zone. Times without zone are UTC, as on the nodes.
    """
    written = moment.astimezone(UTC).isoformat(sep=" ")

    def constant(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.TableSample) and not node.args.get("seed"):
            node.set("seed", exp.Literal.number(round(moment.timestamp() * 1e6)))
        named = isinstance(node, exp.Anonymous) and node.name.lower() in MOMENT_FUNCTIONS and not node.expressions
        type_ = "TIMESTAMPTZ" if named else TYPES.get(type(node))
        if type_ is None:
            return node
        digits = None if named else node.this
        literal = exp.Literal.string(written)
        if isinstance(digits, exp.Literal) and not digits.is_string:
            type_ = f"{type_}({digits.name})"
        # From text with a zone, PostgreSQL's DATE, TIME and TIMESTAMP take the fields as they are written: those of UTC.
        return exp.cast(literal, exp.DataType.build(type_, dialect="postgres"))

    return tree.transform(constant, copy=False)
