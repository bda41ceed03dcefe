"""Asks the oracle: the query's own text, with what the comparison needs beside its rows.

LIMIT and OFFSET are taken off, because without a total order any of several answers is right; expressions of ORDER BY and the
magnitudes of what is summed are selected as further columns.
"""

from dataclasses import dataclass
from decimal import Decimal

from psycopg.types.string import TextLoader
from sqlglot import ParseError, exp, parse_one

from tests.oracle.cutting import Cut

NUMERIC_OID = 1700
FAMILIES = {
    **dict.fromkeys((20, 21, 23), "integer"),
    **dict.fromkeys((700, 701), "float"),
    **dict.fromkeys((18, 19, 25, 705, 1042, 1043), "text"),
    16: "boolean",
    17: "binary",
    1082: "date",
    1083: "text",
    1114: "timestamp",
    1186: "text",
    NUMERIC_OID: "number",
}
FAMILIES |= {
    array: f"array of {FAMILIES[element]}"
    for array, element in (
        *((1000, 16), (1001, 17), (1005, 21), (1007, 23), (1009, 25), (1015, 1043), (1016, 20)),
        *((1021, 700), (1022, 701), (1115, 1114), (1182, 1082), (1183, 1083), (1187, 1186), (1231, NUMERIC_OID)),
    )
}
"""Families of types by PostgreSQL's object identifiers."""

IN_WORDS = {1083, 1183, 1186, 1187}
"""Times of day and intervals, and arrays of them: texts in an answer."""

RELATIVE = 1e-12
"""Rounding that a sum may have, of the sum of magnitudes; and any other floating result, of itself."""

SPREADS = (exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop)
ROOTS = SPREADS[:3]


@dataclass(frozen=True)
class OracleRow:
    """A row of the oracle, the values that order it, and how far off each value may be (None: by `RELATIVE` of itself)."""

    values: tuple
    order: tuple
    tolerances: tuple


@dataclass(frozen=True)
class OracleAnswer:
    names: tuple[str, ...]
    families: tuple[str, ...]
    rows: list[OracleRow]
    limit: int | None
    offset: int

    @property
    def window(self):
        """The rows that LIMIT and OFFSET leave: place of the first, and that behind the last."""
        last = len(self.rows) if self.limit is None else min(len(self.rows), self.offset + self.limit)
        return self.offset, max(self.offset, last)


def ask_plain(plain, text):
    """Return the oracle's whole answer, in its order."""
    cut = cut_of(plain, text)
    described = plain.cursor(binary=True).execute(cut.select(tail="LIMIT 0")).description
    names = [column.name for column in described]
    # A star stands for several columns; then no item is known by its place.
    items = cut.items if len(cut.items) == len(names) else (None,) * len(names)
    sums = [item is not None and cut.extendable and _is_sum(item) for item in items]
    places = [_output(expression, names, items) for expression in cut.order_expressions]
    hidden = [expression for expression, place in zip(cut.order_expressions, places, strict=True) if place is None]
    behind = iter(range(len(names), len(names) + len(hidden)))
    places = [next(behind) if place is None else place for place in places]
    rounding = [
        _magnitude(item) if item is not None and cut.extendable and not cut.distinct and column.type_code not in IN_WORDS else None
        for column, item in zip(described, items, strict=True)
    ]
    magnitudes = [magnitude for magnitude in rounding if magnitude]
    cursor = _in_words(plain) if any(column.type_code in IN_WORDS for column in described) else plain.cursor(binary=True)
    rows = cursor.execute(cut.select([*hidden, *(sql for _, sql in magnitudes)], cut.window())).fetchall()
    plain.execute("RESET intervalstyle")
    families = tuple(
        _family(column.type_code, is_sum=is_sum, values=[row[place] for row in rows])
        for place, (column, is_sum) in enumerate(zip(described, sums, strict=True))
    )
    read = [_READERS.get((column.type_code, family)) for column, family in zip(described, families, strict=True)]
    return OracleAnswer(
        names=tuple(names),
        families=families,
        rows=_rows(rows, read, places, rounding),
        limit=cut.limit,
        offset=cut.offset,
    )


def _in_words(plain):
    """Return a cursor that reads intervals and times of day as PostgreSQL writes them by ISO 8601."""
    plain.execute("SET intervalstyle = 'iso_8601'")
    cursor = plain.cursor()
    for name in ("interval", "time"):
        cursor.adapters.register_loader(name, TextLoader)
    return cursor


def cut_of(plain, text):
    """Cut a query; the oracle computes LIMIT and OFFSET where they are expressions."""
    return Cut.of(text, lambda count: int(count) if count.isdigit() else _computed(plain, count))


def _computed(plain, count):
    """Return a number of rows that is an expression; None where it is NULL."""
    return plain.execute(f"SELECT CAST(({count}) AS BIGINT)").fetchone()[0]


def _rows(found, read, places, rounding):
    """Return rows of what was asked: values, hidden ones, magnitudes."""
    width = len(read)
    none = (None,) * width
    if not any(read) and not any(rounding):
        return [OracleRow(row[:width], tuple([row[place] for place in places]), none) for row in found]
    return [_row(row, read, places, rounding) for row in found]


def _row(found, read, places, rounding):
    values = tuple(value if form is None or value is None else form(value) for value, form in zip(found, read, strict=False))
    magnitudes = iter(found[len(found) - sum(1 for each in rounding if each) :])
    tolerances = tuple(
        each and _tolerance(each[0], value, next(magnitudes), _rounded(each[0], found[place]))
        for place, (each, value) in enumerate(zip(rounding, values, strict=True))
    )
    return OracleRow(values, tuple(found[place] for place in places), tolerances)


_READERS = {(NUMERIC_OID, "integer"): int, (NUMERIC_OID, "float"): float}


def _family(oid, *, is_sum, values):
    """Return the family of a column. No answer of the engine is numeric: a sum of integers is bigint, others double precision.

    What is ``number`` may be either, such as the sum of a subquery.
    """
    if oid == NUMERIC_OID and is_sum and all(value is None or value == value.to_integral_value() for value in values):
        return "integer"
    return FAMILIES[oid]


def _is_sum(item):
    try:
        node = _expression(item)
    except ParseError:
        return False
    while isinstance(node, exp.Window | exp.Filter):
        node = node.this
    return isinstance(node, exp.Sum)


def _expression(item):
    expression = parse_one(item, read="postgres").unalias()
    while isinstance(expression, exp.Paren):
        expression = expression.this
    return expression


def _output(expression, names, items):
    """Return the place of the output column that a term of ORDER BY names, if it names one."""
    if expression.isdigit():
        return int(expression) - 1
    spelled = expression[1:-1] if expression.startswith('"') else expression.lower()
    if spelled in names:
        return names.index(spelled)
    return items.index(expression) if expression in items else None


def _magnitude(item):
    """Return the form of an aggregate that rounds, and the SQL of the magnitude of what it adds up."""
    try:
        node = _expression(item)
    except ParseError:
        # A text that only PostgreSQL reads has no tolerance of its own.
        return None
    while isinstance(node, exp.Cast):
        node = node.this
    aggregate = node.copy()
    while isinstance(aggregate, exp.Window | exp.Filter):
        aggregate = aggregate.this
    if not isinstance(aggregate, (exp.Sum, exp.Avg, *SPREADS)) or isinstance(aggregate.this, exp.Distinct):
        return None
    value = exp.cast(exp.Paren(this=aggregate.this), exp.DType.DOUBLE)
    added = isinstance(aggregate, exp.Sum | exp.Avg)
    magnitude = (
        type(aggregate)(this=exp.Abs(this=value)) if added else exp.Avg(this=exp.Pow(this=value, expression=exp.Literal.number(2)))
    )
    # OVER and FILTER stay around it.
    whole = aggregate.root()
    if whole is aggregate:
        whole = magnitude
    else:
        aggregate.replace(magnitude)
    form = "sum" if added else "root" if isinstance(aggregate, ROOTS) else "square"
    return form, whole.sql("postgres")


def _tolerance(form, value, magnitude, rounded):
    if value is None or magnitude is None:
        return None
    allowed = RELATIVE * float(magnitude)
    if form != "root":
        return allowed + rounded
    return (allowed / float(value) if value else allowed**0.5) + rounded


def _rounded(form, value):
    """Return how far PostgreSQL itself rounded a spread of integers: a large one has no decimals, as the root of a larger one."""
    if form == "sum" or not isinstance(value, Decimal) or not value.is_finite():
        return 0.0
    return 0.5 * 10.0 ** value.as_tuple().exponent
