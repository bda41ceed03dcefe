"""Value expressions (ADQL 2.1, appendix A, ``value_expression``)."""

from abc import abstractmethod

from sqlglot import exp

from qserv.errors import NotYetSupportedError, QuerySyntaxError, UnknownNameError
from tap.adql.functions import FUNCTIONS, nearest, qserv_call
from tap.adql.geometry import GEOMETRY, without_coordsys
from tap.adql.stream import TokenStream
from tap.adql.tokens import Kind, Token

CAST_TYPES = {
    "BIGINT": exp.DType.BIGINT,
    "CHAR": exp.DType.CHAR,
    "DOUBLE": exp.DType.DOUBLE,
    "INTEGER": exp.DType.INT,
    "REAL": exp.DType.FLOAT,
    "SMALLINT": exp.DType.SMALLINT,
    "TIMESTAMP": exp.DType.TIMESTAMP,
    "VARCHAR": exp.DType.VARCHAR,
}
"""Target types of CAST (section 4.6.1)."""

MAX_INTEGER_DIGITS = 18
"""Integers of up to 18 digits fit into 64 bits; longer ones are read as floating numbers."""

CONDITION_CLASSES = (exp.Connector, exp.Not, exp.Predicate)


def is_condition(node: exp.Expr) -> bool:
    """Whether a node is true or false, rather than a value: ADQL 2.1 has no boolean values."""
    return isinstance(node.unnest(), CONDITION_CLASSES)


class Values(TokenStream):
    """Reads value expressions."""

    @abstractmethod
    def expression(self) -> exp.Expression:
        """Read a condition or a value, whichever stands here."""

    def value(self) -> exp.Expression:
        """Read a value expression.

        Raises
        ------
        QuerySyntaxError
            What stands here is none.
        """
        start = self.token
        return self.require_value(self.concatenation(), start)

    def require_value(self, node: exp.Expression, start: Token) -> exp.Expression:
        """Return the node if it is a value; ``start`` is its first token."""
        if is_condition(node):
            msg = "a value is expected, not a condition"
            raise QuerySyntaxError(msg, self.source.place(start.start))
        return node

    def concatenation(self) -> exp.Expression:
        """Read sums joined by ``||``."""
        start = self.token
        node = self.sum()
        while self.at("||"):
            self.require_value(node, start)
            self.advance()
            right_start = self.token
            node = exp.DPipe(this=node, expression=self.require_value(self.sum(), right_start), safe=True)
        return node

    def sum(self) -> exp.Expression:
        """Read terms joined by ``+`` and ``-``."""
        start = self.token
        node = self.term()
        while self.token.kind is Kind.SYMBOL and self.token.key in "+-":
            self.require_value(node, start)
            kind = exp.Add if self.advance().key == "+" else exp.Sub
            right_start = self.token
            node = kind(this=node, expression=self.require_value(self.term(), right_start))
        return node

    def term(self) -> exp.Expression:
        """Read factors joined by ``*`` and ``/``."""
        start = self.token
        node = self.factor()
        while self.token.kind is Kind.SYMBOL and self.token.key in "*/":
            self.require_value(node, start)
            operator = self.advance().key
            right_start = self.token
            right = self.require_value(self.factor(), right_start)
            node = exp.Mul(this=node, expression=right) if operator == "*" else _divide(node, right)
        return node

    def factor(self) -> exp.Expression:
        """Read a primary with its sign."""
        if self.accept("-"):
            self.enter()
            start = self.token
            node: exp.Expression = exp.Neg(this=self.require_value(self.factor(), start))
            self.leave()
            return node
        if self.accept("+"):
            self.enter()
            start = self.token
            node = self.require_value(self.factor(), start)
            self.leave()
            return node
        return self.primary()

    def primary(self) -> exp.Expression:
        """Read a literal, column, function call or what stands in parentheses."""
        token = self.token
        if token.kind is Kind.WORD and token.key != "NULL":
            return self.call() if self.ahead().key == "(" and self.ahead().kind is Kind.SYMBOL else self.column()
        if token.kind is Kind.DELIMITED:
            return self.column()
        if token.kind is Kind.INTEGER or token.kind is Kind.DECIMAL:
            return self.number()
        if token.kind is Kind.STRING:
            self.advance()
            return exp.Literal.string(token.key)
        if self.at("("):
            return self.parenthesised()
        return exp.Null() if self.accept("NULL") else self.fail("a value")

    def parenthesised(self) -> exp.Expression:
        """Read what stands in parentheses, be it a value or a condition."""
        self.enter()
        self.expect("(")
        if self.at("SELECT"):
            msg = "a subquery is not a value in ADQL: it stands in FROM, IN or EXISTS"
            raise QuerySyntaxError(msg, self.source.place(self.token.start))
        node = exp.Paren(this=self.expression())
        self.expect(")")
        self.leave()
        return node

    def number(self) -> exp.Literal:
        """Read an unsigned number."""
        token = self.advance()
        text = "0" + token.key if token.key[0] == "." else token.key
        if token.kind is Kind.INTEGER and len(text.lstrip("0")) > MAX_INTEGER_DIGITS:
            text += ".0"
        return exp.Literal(this=text, is_string=False)

    def unsigned_integer(self, what: str) -> exp.Literal:
        """Read digits alone; ``what`` says in an error what they are."""
        if self.token.kind is not Kind.INTEGER:
            self.fail(what)
        return exp.Literal(this=self.advance().key, is_string=False)

    def column(self) -> exp.Column:
        """Read a column, qualified or not: up to catalogue, schema, table and column."""
        parts = [self.name("column")]
        while self.accept("."):
            if len(parts) == len(COLUMN_PARTS):
                self.fail("the end of the column's name")
            parts.append(self.name("column"))
        return exp.Column(**dict(zip(COLUMN_PARTS, reversed(parts), strict=False)))

    # -- functions ----------------------------------------------------------------------------------------------------------------

    def call(self) -> exp.Expression:
        """Read a function call."""
        token = self.token
        if token.key == "CAST":
            return self.cast()
        if token.key not in FUNCTIONS and token.key not in GEOMETRY:
            if token.key in {"SELECT", "IN", "EXISTS", "AND", "OR", "NOT", "FROM", "WHERE", "CASE"}:
                self.fail("a value")
            hint = nearest(token.key, [*FUNCTIONS, *GEOMETRY])
            msg = f"{token.text} is not a known function{hint}"
            raise UnknownNameError(msg, self.source.place(token.start))
        self.enter()
        self.advance()
        self.expect("(")
        node = self.geometry_call(token) if token.key in GEOMETRY else self.function_call(token)
        self.leave()
        return node

    def arguments(self) -> list[exp.Expr]:
        """Read values up to the closing parenthesis."""
        values: list[exp.Expr] = []
        if not self.at(")"):
            values.append(self.value())
            while self.accept(","):
                values.append(self.value())
        if not self.at(")"):
            self.fail("',' or ')'")
        self.advance()
        return values

    def function_call(self, token: Token) -> exp.Expression:
        """Read the arguments of a function that is not of geometry."""
        function = FUNCTIONS[token.key]
        place = self.source.place(token.start)
        if function.build is None:
            msg = f"not yet supported: {function.name}"
            raise NotYetSupportedError(msg, place)
        if function.aggregate:
            argument = self.aggregated(token)
            return self.placed(function.build([argument]), token)
        values = self.arguments()
        if len(values) < function.least or (function.most is not None and len(values) > function.most):
            msg = f"{function.name} takes {function.arity}, not {len(values)}"
            raise QuerySyntaxError(msg, place)
        return self.placed(function.build(values), token)

    def aggregated(self, token: Token) -> exp.Expr:
        """Read what an aggregate is taken of."""
        if token.key == "COUNT" and self.accept("*"):
            self.expect(")")
            return exp.Star()
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        value = self.value()
        self.expect(")")
        return exp.Distinct(expressions=[value]) if distinct else value

    def geometry_call(self, token: Token) -> exp.Expression:
        """Read the arguments of a geometry function."""
        geometry = GEOMETRY[token.key]
        place = self.source.place(token.start)
        if not geometry.supported:
            msg = f"not yet supported: {geometry.name}"
            raise NotYetSupportedError(msg, place)
        values = self.arguments()
        if geometry.coordsys:
            values = without_coordsys(values, place)
        if len(values) not in geometry.counts:
            msg = f"{geometry.name} takes {geometry.arity}, not {len(values)} arguments"
            raise QuerySyntaxError(msg, place)
        return self.placed(exp.Anonymous(this=geometry.name, expressions=values), token)

    def cast(self) -> exp.Expression:
        """Read a CAST."""
        self.enter()
        token = self.advance()
        self.expect("(")
        value = self.value()
        self.expect("AS")
        target = self.cast_target()
        self.expect(")")
        self.leave()
        return self.placed(exp.Cast(this=value, to=target), token)

    def cast_target(self) -> exp.DataType:
        """Read the type that a CAST gives."""
        token = self.token
        if token.key in {"POINT", "CIRCLE", "POLYGON"} and token.kind is Kind.WORD:
            msg = f"not yet supported: CAST to {token.key}"
            raise NotYetSupportedError(msg, self.source.place(token.start))
        if token.kind is not Kind.WORD or token.key not in CAST_TYPES:
            self.fail("a type (CHAR, VARCHAR, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE PRECISION or TIMESTAMP)")
        self.advance()
        if token.key == "DOUBLE":
            self.expect("PRECISION")
        lengths = []
        if token.key in {"CHAR", "VARCHAR"} and self.accept("("):
            lengths.append(exp.DataTypeParam(this=self.unsigned_integer("a length")))
            self.expect(")")
        return exp.DataType(this=CAST_TYPES[token.key], expressions=lengths or None, nested=False)


COLUMN_PARTS = ("this", "table", "db", "catalog")
"""Arguments of sqlglot's column node, from the last part of a name to the first."""


def _divide(left: exp.Expression, right: exp.Expression) -> exp.Expression:
    """Return a quotient that is NULL where the divisor is 0; plain where the divisor is a number other than 0."""
    if isinstance(right, exp.Literal) and float(right.name) != 0:
        return exp.Div(this=left, expression=right, typed=True, safe=False)
    return qserv_call("divide", [left, right])
