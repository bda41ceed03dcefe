"""Search conditions (ADQL 2.1, appendix A, ``search_condition``)."""

from abc import abstractmethod
from collections.abc import Callable

from sqlglot import exp

from qserv.errors import QuerySyntaxError
from tap.adql.tokens import Kind, Token
from tap.adql.values import Values, is_condition

COMPARISONS: dict[str, Callable[..., exp.Expression]] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
"""Comparison operators of ADQL."""


class Conditions(Values):
    """Reads conditions."""

    @abstractmethod
    def subquery(self) -> exp.Query:
        """Read a query in parentheses, without an alias."""

    def condition(self) -> exp.Expression:
        """Read a condition.

        Raises
        ------
        QuerySyntaxError
            What stands here is none.
        """
        start = self.token
        return self.require_condition(self.expression(), start)

    def require_condition(self, node: exp.Expression, start: Token) -> exp.Expression:
        """Return the node if it is a condition; ``start`` is its first token."""
        if is_condition(node):
            return node
        if isinstance(node, exp.Anonymous):
            msg = f"a condition is expected: {node.name} is a number in ADQL, write 1 = {node.name}(...)"
            if node.name in {"CONTAINS", "INTERSECTS"}:
                raise QuerySyntaxError(msg, self.source.place(start.start))
        return self.fail("a comparison")

    def expression(self) -> exp.Expression:
        """Read conditions joined by OR, or a value."""
        start = self.token
        node = self.conjunction()
        while self.at("OR"):
            self.require_condition(node, start)
            self.advance()
            right_start = self.token
            node = exp.Or(this=node, expression=self.require_condition(self.conjunction(), right_start))
        return node

    def conjunction(self) -> exp.Expression:
        """Read conditions joined by AND, or a value."""
        start = self.token
        node = self.negation()
        while self.at("AND"):
            self.require_condition(node, start)
            self.advance()
            right_start = self.token
            node = exp.And(this=node, expression=self.require_condition(self.negation(), right_start))
        return node

    def negation(self) -> exp.Expression:
        """Read a condition with its NOT, or a value."""
        if not self.accept("NOT"):
            return self.predicate()
        start = self.token
        return exp.Not(this=self.require_condition(self.predicate(), start))

    def predicate(self) -> exp.Expression:
        """Read a predicate, or the value alone where none follows it."""
        if self.at("EXISTS"):
            self.advance()
            return exp.Exists(this=self.subquery())
        start = self.token
        left = self.concatenation()
        token = self.token
        if token.kind is Kind.SYMBOL and token.key in COMPARISONS:
            self.require_value(left, start)
            self.advance()
            return COMPARISONS[token.key](this=left, expression=self.value())
        if token.kind is not Kind.WORD or token.key not in {"IS", "NOT", "BETWEEN", "IN", "LIKE", "ILIKE"}:
            return left
        self.require_value(left, start)
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return exp.Is(this=left, expression=exp.Null(), **({"negate": True} if negated else {}))
        return self.tested(left, negated=self.accept("NOT") is not None)

    def tested(self, left: exp.Expression, *, negated: bool) -> exp.Expression:
        """Read BETWEEN, IN, LIKE or ILIKE behind a value."""
        if self.accept("BETWEEN"):
            low = self.value()
            self.expect("AND")
            node: exp.Expression = exp.Between(this=left, low=low, high=self.value())
        elif self.accept("IN"):
            node = self.membership(left)
        elif self.at("LIKE") or self.at("ILIKE"):
            kind = exp.Like if self.advance().key == "LIKE" else exp.ILike
            return kind(this=left, expression=self.value(), **({"negate": True} if negated else {}))
        else:
            self.fail("BETWEEN, IN, LIKE or ILIKE")
        return exp.Not(this=node) if negated else node

    def membership(self, left: exp.Expression) -> exp.Expression:
        """Read the values or the subquery that IN looks in."""
        ahead = self.ahead()
        if self.at("(") and ahead.kind is Kind.WORD and ahead.key in {"SELECT", "WITH"}:
            return exp.In(this=left, query=exp.Subquery(this=self.subquery()))
        self.expect("(")
        values = [self.value()]
        while self.accept(","):
            values.append(self.value())
        if not self.at(")"):
            self.fail("',' or ')'")
        self.advance()
        return exp.In(this=left, expressions=values)
