"""Dialect ``mysql``: Qserv's form of SQL, read into the tree of the native dialect.

What differs in meaning is rewritten: conditions are numbers and numbers conditions, ``/`` is a division of doubles, ``||`` is OR,
``^`` is exclusive or, functions outside of their domain and divisions by zero give NULL, LIKE and REGEXP ignore case. Texts are
compared as they are stored, though, with their case: an index and the statistics answer that.
"""

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.parsers.mysql import MySQLParser

from czar.dialects.aggregates import AGGREGATES, WINDOW_FUNCTIONS
from czar.dialects.calls import node_function
from czar.dialects.mysql_conditions import as_condition, as_number
from czar.dialects.mysql_functions import meaning
from czar.dialects.native import exists

GRAMMAR = frozenset({"CAST", "CONVERT", "EXTRACT", "GROUP_CONCAT", "POSITION", "SUBSTRING", "SUBSTR", "TRIM"})
"""Functions whose arguments are not a plain list."""

NAMED = frozenset({"COALESCE", "GREATEST", "LEAST", "NULLIF", "STD", "STDDEV", "VARIANCE", "BIT_AND", "BIT_OR", "BIT_XOR"})
"""Functions with a plain list of arguments, to which sqlglot's class is kept, beside aggregates and window functions."""


def _read() -> dict[str, Callable[..., exp.Expr]]:
    planned = (*AGGREGATES, *WINDOW_FUNCTIONS)
    names = {name for kind in planned if issubclass(kind, exp.Func) for name in kind.sql_names()}
    return {name: build for name, build in MySQLParser.FUNCTIONS.items() if name in names | NAMED} | {"EXISTS": exists}


class QservParser(MySQLParser):
    """Reads functions by name but for those that are looked into."""

    FUNCTIONS: ClassVar = _read()
    FUNCTION_PARSERS: ClassVar = {name: read for name, read in MySQLParser.FUNCTION_PARSERS.items() if name in GRAMMAR}


class Qserv(MySQL):
    """MySQL's SELECT, with functions by name."""

    Parser = QservParser


def read_mysql(text: str) -> list[exp.Expr]:
    """Return the statements of a text in Qserv's form of SQL, as the native dialect would have read them.

    Raises
    ------
    sqlglot.errors.ParseError, sqlglot.errors.TokenError
        The text is not SQL.
    """
    return [as_native(statement) for statement in Qserv().parse(text) if statement is not None]


def as_native(tree: exp.Expr) -> exp.Expr:
    """Return a tree that was read from MySQL's SQL with the meaning that it has there, from the leaves up."""
    for node in reversed(list(tree.walk())):
        change = next((_CHANGES[kind] for kind in type(node).__mro__ if kind in _CHANGES), None)
        changed = node if change is None else change(node)
        if changed is not node and node is not tree:
            node.replace(changed)
    for node in list(tree.walk()):
        _parenthesise(node)
    return tree


def _select(node: exp.Expr) -> exp.Expr:
    node.set("operation_modifiers", None)
    _with_rollup(node.args.get("group"))
    where, having = node.args.get("where"), node.args.get("having")
    items = {item.alias.lower(): item.this for item in node.expressions if isinstance(item, exp.Alias)}
    if having:
        # HAVING may name output columns.
        for column in list(having.find_all(exp.Column)):
            if not column.table and column.name.lower() in items:
                column.replace(exp.Paren(this=items[column.name.lower()].copy()))
    for clause in (where, having):
        if clause:
            clause.set("this", as_condition(clause.this))
    for item in node.expressions:
        value = item.this if isinstance(item, exp.Alias) else item
        number = as_number(value)
        if number is not value:
            value.replace(number)
    return node


def _with_rollup(group: exp.Expr | None) -> None:
    """``GROUP BY a, b WITH ROLLUP`` is ``GROUP BY ROLLUP (a, b)``."""
    if group and group.args.get("rollup"):
        group.set("rollup", None)
        group.set("expressions", [exp.Rollup(expressions=group.expressions)])


def _join(node: exp.Expr) -> exp.Expr:
    if node.args.get("on"):
        node.set("on", as_condition(node.args["on"]))
    return node


def _name(node: exp.Expr) -> exp.Expr:
    """Names of columns and tables match in any case, with backquotes too."""
    for part in node.parts if isinstance(node, exp.Column | exp.Table) else []:
        if isinstance(part, exp.Identifier):
            part.args["quoted"] = False
    return node


def _connector(node: exp.Expr) -> exp.Expr:
    node.set("this", as_condition(node.this))
    node.set("expression", as_condition(node.expression))
    if isinstance(node, exp.Xor):
        return exp.NEQ(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.expression))
    return node


def _is(node: exp.Expr) -> exp.Expr:
    if isinstance(node.expression, exp.Boolean):
        node.set("this", as_condition(node.this))
    return node


def _not(node: exp.Expr) -> exp.Expr:
    node.set("this", as_condition(node.this))
    return node


def _if(node: exp.Expr) -> exp.Expr:
    case = node.parent if isinstance(node.parent, exp.Case) else None
    condition = node.this if case and case.this else as_condition(node.this)
    branch = exp.If(this=condition, true=as_number(node.args["true"]))
    return branch if case else _case(exp.Case(ifs=[branch], default=node.args.get("false")))


def _case(node: exp.Expr) -> exp.Expr:
    default = node.args.get("default")
    if default is not None:
        node.set("default", as_number(default))
    return node


def _comparison(node: exp.Expr) -> exp.Expr:
    """Compare a condition with a number as a number; TRUE and FALSE stay, because they are compared with columns of their type."""
    for side, other in (("this", node.expression), ("expression", node.this)):
        if not isinstance(node.args[side], exp.Boolean):
            node.set(side, as_number(node.args[side], beside=other))
    return node


def _arithmetic(node: exp.Expr) -> exp.Expr:
    node.set("this", as_number(node.this))
    node.set("expression", as_number(node.expression))
    return node


def _division(node: exp.Expr) -> exp.Expr:
    sides = (exp.cast(as_number(side), exp.DType.DOUBLE) for side in (node.this, node.expression))
    return node_function("divide", *sides)


def _bits(node: exp.Expr) -> exp.Expr:
    """MySQL computes bits in 64 bits, whatever the types."""
    shift = isinstance(node, exp.BitwiseLeftShift | exp.BitwiseRightShift)
    for side, type_ in (("this", exp.DType.BIGINT), ("expression", exp.DType.INT if shift else exp.DType.BIGINT)):
        if node.args.get(side) is not None:
            node.set(side, exp.cast(as_number(node.args[side]), type_))
    return node


def _number_of_bits(node: exp.Expr) -> exp.Expr:
    return exp.Literal.number(int(str(node.this), 16 if isinstance(node, exp.HexString) else 2))


def _cast(node: exp.Expr) -> exp.Expr:
    to: exp.DataType = node.args["to"]
    kind, digits = to.this, to.expressions
    value = as_number(node.this)
    if kind in {exp.DType.BIGINT, exp.DType.UBIGINT, exp.DType.INT}:
        return exp.cast(value, exp.DType.BIGINT)
    if kind in {exp.DType.CHAR, exp.DType.NCHAR, exp.DType.VARCHAR, exp.DType.TEXT}:
        return exp.cast(value, exp.DataType(this=exp.DType.VARCHAR, expressions=digits) if digits else exp.DType.TEXT)
    if kind in {exp.DType.DATETIME, exp.DType.TIMESTAMPTZ}:
        return exp.cast(value, exp.DataType(this=exp.DType.TIMESTAMP, expressions=digits))
    node.set("this", value)
    return exp.Cast(this=value, to=to)


def _extreme(node: exp.Expr) -> exp.Expr:
    """GREATEST and LEAST are NULL where one argument is."""
    arguments = [node.this, *node.expressions]
    missing = exp.or_(*(exp.Is(this=argument.copy(), expression=exp.null()) for argument in arguments))
    return exp.Case(ifs=[exp.If(this=exp.Not(this=exp.Paren(this=missing)), true=node.copy())])


def _interval(node: exp.Expr) -> exp.Expr:
    """A number of units may be an expression."""
    if isinstance(node.this, exp.Literal) or node.args.get("unit") is None:
        return node
    one = exp.Interval(this=exp.Literal.string("1"), unit=node.args["unit"])
    return exp.Paren(this=exp.Mul(this=exp.Paren(this=node.this), expression=one))


def _now(_: exp.Expr) -> exp.Expr:
    found = meaning("now", [])
    return exp.null() if found is None else found


def _substring(node: exp.Expr) -> exp.Expr:
    arguments = [node.this, node.args.get("start") or exp.Literal.number(1)]
    length = node.args.get("length")
    return meaning("substr", [*arguments, length] if length else arguments) or node


def _position(node: exp.Expr) -> exp.Expr:
    return meaning("locate", [node.args["substr"], node.this]) or node


def _aggregate(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, exp.Expr) and not isinstance(node, exp.Count):
        node.set("this", as_number(node.this))
    return node


def _joined(node: exp.Expr) -> exp.Expr:
    """GROUP_CONCAT puts commas where no separator is given."""
    value = node.this
    while isinstance(value, exp.Order | exp.Distinct):
        value = value.this if isinstance(value, exp.Order) else value.expressions[0]
    value.replace(exp.cast(value.copy(), exp.DType.TEXT))
    if node.args.get("separator") is None:
        node.set("separator", exp.Literal.string(","))
    return node


def _call(node: exp.Expr) -> exp.Expr:
    name = node.name.lower()
    arguments = [as_number(argument) for argument in node.expressions]
    if name == "concat" and arguments:
        # NULL where one argument is, unlike PostgreSQL's.
        texts = [exp.cast(argument, exp.DType.TEXT) for argument in arguments]
        joined: exp.Expr = texts[0]
        for part in texts[1:]:
            joined = exp.DPipe(this=joined, expression=part)
        return exp.Paren(this=joined)
    found = meaning({"mid": "substr", "adddate": "date_add", "subdate": "date_sub"}.get(name, name), arguments)
    if found is not None:
        return exp.Paren(this=found) if isinstance(found, exp.Binary) and not isinstance(found, exp.Dot) else found
    node.set("expressions", arguments)
    return node


def _like(node: exp.Expr) -> exp.Expr:
    return exp.ILike(**{name: value for name, value in node.args.items() if value is not None})


def _matches(node: exp.Expr) -> exp.Expr:
    return exp.RegexpILike(this=node.this, expression=node.expression)


OPERATORS = (exp.Binary, exp.Not, exp.Neg, exp.BitwiseNot, exp.Between, exp.In)


def _parenthesise(node: exp.Expr) -> None:
    """Put parentheses around operands that are operators: the two databases do not agree on which binds tighter."""
    if not isinstance(node, OPERATORS) or isinstance(node, exp.Dot | exp.Escape):
        return
    for child in list(node.iter_expressions()):
        if not isinstance(child, OPERATORS) or isinstance(child, exp.Dot):
            continue
        if isinstance(node, exp.Connector) and (type(child) is type(node) or not isinstance(child, exp.Connector)):
            continue
        child.replace(exp.Paren(this=child.copy()))


_CHANGES: dict[type, Callable[[exp.Expr], exp.Expr]] = {
    exp.Select: _select,
    exp.Join: _join,
    exp.Column: _name,
    exp.Table: _name,
    exp.Connector: _connector,
    exp.Xor: _connector,
    exp.Is: _is,
    exp.Not: _not,
    exp.If: _if,
    exp.Case: _case,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ), _comparison),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _arithmetic),
    exp.Div: _division,
    exp.IntDiv: lambda node: node_function("int_divide", as_number(node.this), as_number(node.expression)),
    exp.Mod: lambda node: node_function("mod", as_number(node.this), as_number(node.expression)),
    **dict.fromkeys((exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot), _bits),
    **dict.fromkeys((exp.BitwiseLeftShift, exp.BitwiseRightShift), _bits),
    **dict.fromkeys((exp.HexString, exp.BitString), _number_of_bits),
    exp.Cast: _cast,
    **dict.fromkeys((exp.Greatest, exp.Least), _extreme),
    exp.Interval: _interval,
    **dict.fromkeys((exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp), _now),
    exp.Substring: _substring,
    exp.StrPosition: _position,
    exp.GroupConcat: _joined,
    exp.AggFunc: _aggregate,
    exp.Anonymous: _call,
    exp.Like: _like,
    exp.RegexpLike: _matches,
}
"""What becomes of each kind of node; that of the nearest class counts."""
