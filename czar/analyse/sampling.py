"""Rule: a sample of a table is a condition on its rows, which each of them meets or not by itself.

A row draws a lot from 0 to 100 by its key and the seed, and is in the sample if that is below the percentage. So a sample with
REPEATABLE is the same on any number of nodes and chunks, and one of 1 % is part of that of 10 % with the same seed. BERNOULLI draws
for each row, by the primary key (by all columns where there is none). SYSTEM draws for each director's key, so that an object and
all its dependents are in the sample together, or none of them: PostgreSQL takes blocks, too, and so what is stored together.
"""

import math

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.functions import node_function
from czar.analyse.nesting import parts
from czar.analyse.query import Query
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError, QueryValueError, UnknownNameError
from schema.model import Table

METHODS = ("BERNOULLI", "SYSTEM")

WHOLE_PERCENT = 100


def sampled(query: Query) -> Query:
    """Write every TABLESAMPLE as a condition of WHERE; as that of a subquery, where the table is in an outer join.

    Raises
    ------
    QueryError
        What is sampled is no table.
    UnknownNameError
        There is no such method.
    QueryValueError
        The percentage is not between 0 and 100, or it or the seed is NULL.
    NotYetSupportedError
        The percentage or the seed is no number.
    """
    found = list(parts(query.tree))
    common = {node.alias.lower() for node in found if isinstance(node, exp.CTE)}
    for sample in [node for node in found if isinstance(node, exp.TableSample)]:
        place = place_of(sample, query.text) or place_of(sample.parent or sample, query.text)
        table = sample.parent
        if (
            not isinstance(table, exp.Table)
            or not isinstance(table.this, exp.Identifier)
            or (not table.db and table.name.lower() in common)
        ):
            msg = "TABLESAMPLE takes rows of a table; what it follows is none"
            raise QueryError(msg, place)
        table.set("sample", None)
        entry = query.catalogue.find(table.db or None, table.name, quoted=bool(table.this.args.get("quoted")), place=place)
        name = table.args["alias"].this if table.args.get("alias") else table.this
        seed, percent = _number(sample.args.get("seed"), "the seed", place), _percent(sample, place)
        _restrict(
            table,
            exp.LT(this=node_function("lot", _key(sample, entry.table, name, place), _double(seed)), expression=_double(percent)),
        )
    return query


def _restrict(table: exp.Table, condition: exp.Expr) -> None:
    """Let only the rows of a table that meet a condition be read."""
    around = table.parent
    select = around.parent if isinstance(around, exp.From | exp.Join) else None
    if isinstance(select, exp.Select) and not any(join.side for join in select.find_all(exp.Join)):
        select.where(condition, copy=False)
        return
    alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
    inside = exp.Subquery(alias=alias.copy())
    table.replace(inside)
    inside.set("this", exp.select("*").from_(table, copy=False).where(condition, copy=False))


def _key(sample: exp.TableSample, table: Table, name: exp.Identifier, place: Place | None) -> exp.Expr:
    """Return what says of a row, as text, which lot it draws."""
    method = sample.args["method"].name.upper() if sample.args.get("method") else ""
    if method not in METHODS:
        msg = f"unknown sampling method {method}; the methods are {' and '.join(METHODS)}"
        raise UnknownNameError(msg, place)
    names = table.primary_key or tuple(column.name for column in table.columns)
    if method == "SYSTEM" and table.director_key is not None:
        names = (table.director_key,)
    parts: list[exp.Expr] = []
    for column in names:
        value = exp.cast(exp.column(exp.to_identifier(column, quoted=True), table=name.copy()), exp.DType.TEXT)
        known = table.by_name[column].nullable
        parts += [exp.Literal.string("/"), exp.Coalesce(this=value, expressions=[exp.Literal.string("")]) if known else value]
    whole = parts[1]
    for part in parts[2:]:
        whole = exp.DPipe(this=whole, expression=part)
    return exp.Paren(this=whole)


def _percent(sample: exp.TableSample, place: Place | None) -> float:
    percent = _number(sample.args.get("percent"), "the percentage", place)
    if not 0 <= percent <= WHOLE_PERCENT:
        msg = f"TABLESAMPLE of {percent:g} percent; a percentage is between 0 and 100"
        raise QueryValueError(msg, place)
    return percent


def _number(node: exp.Expr | None, what: str, place: Place | None) -> float:
    if isinstance(node, exp.Null):
        msg = f"{what} of TABLESAMPLE cannot be NULL"
        raise QueryValueError(msg, place)
    value = number(node)
    if value is None or not math.isfinite(value):
        msg = f"not yet supported: {what} of TABLESAMPLE as anything but a number"
        raise NotYetSupportedError(msg, place)
    return float(value)


def _double(value: float) -> exp.Expr:
    literal = exp.cast(exp.Literal.number(repr(abs(value))), exp.DType.DOUBLE)
    return exp.Paren(this=exp.Neg(this=literal)) if value < 0 else literal
