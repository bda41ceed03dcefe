"""Which kind of number an expression is in PostgreSQL, as far as it can be read off the tree.

An answer holds no numeric, and neither do the rows that DuckDB merges: they come as double precision. So a value that may be
numeric must not be grouped, compared or added up before it is whole; and a sum of integers, which is numeric, is a bigint in the
answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.query import Query, Source
from czar.plan.shown_items import items_at, shown_items
from czar.steps.intermediate import Intermediate
from schema.model import ColumnType

COLUMNS: Final[dict[ColumnType, Kind]] = {
    ColumnType.SHORT: Kind.INTEGER,
    ColumnType.INT: Kind.INTEGER,
    ColumnType.LONG: Kind.BIGINT,
    ColumnType.FLOAT: Kind.FLOAT,
    ColumnType.DOUBLE: Kind.FLOAT,
    ColumnType.TIMESTAMP: Kind.TIME,
}

CASTS: Final[dict[exp.DType, Kind]] = {
    exp.DType.SMALLINT: Kind.INTEGER,
    exp.DType.INT: Kind.INTEGER,
    exp.DType.BIGINT: Kind.BIGINT,
    exp.DType.FLOAT: Kind.FLOAT,
    exp.DType.DOUBLE: Kind.FLOAT,
    exp.DType.DECIMAL: Kind.NUMERIC,
    exp.DType.TIMESTAMP: Kind.TIME,
    exp.DType.TIMESTAMPTZ: Kind.TIME,
    exp.DType.DATE: Kind.TIME,
    exp.DType.INTERVAL: Kind.INTERVAL,
}

NUMERIC_FUNCTIONS: Final = frozenset({"quotient", "div", "factorial", "to_number", "trim_scale"})
"""Functions that are numeric for arguments that are not."""

SUMS: Final = {Kind.INTEGER: Kind.BIGINT, Kind.FLOAT: Kind.FLOAT, Kind.INTERVAL: Kind.INTERVAL}
MEANS: Final = {Kind.FLOAT: Kind.FLOAT, Kind.INTERVAL: Kind.INTERVAL}
"""Kinds of a sum and of a mean by that of what is summed; of all others they are, or may be, numeric."""

PRECEDENCE: Final = (Kind.INTERVAL, Kind.FLOAT, Kind.NUMERIC, Kind.BIGINT, Kind.INTEGER, Kind.TIME)
"""An operator converts its arguments to the first of their kinds."""

COUNTS: Final = (exp.Count, exp.RegrCount, exp.RowNumber, exp.Rank, exp.DenseRank)
FLOATS: Final = (
    *(exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop, exp.Corr, exp.CovarPop, exp.CovarSamp),
    *(exp.RegrAvgx, exp.RegrAvgy, exp.RegrIntercept, exp.RegrR2, exp.RegrSlope, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy),
    *(exp.PercentileCont, exp.PercentRank, exp.CumeDist),
)
"""Aggregates that we compute in double precision, whatever they are given."""

SAME: Final = (
    *(exp.Paren, exp.Neg, exp.BitwiseNot, exp.Abs, exp.Alias, exp.Min, exp.Max, exp.AnyValue, exp.Filter, exp.Window, exp.Ordered),
    *(exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Distinct),
)
"""What is of the kind of the first thing in it."""

ROUNDED: Final = (exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sign, exp.Sqrt, exp.Exp, exp.Ln, exp.Pow)
"""Functions that PostgreSQL has for numeric and for double precision; an integer becomes the latter."""


@dataclass(frozen=True)
class Numbers:
    """Tells the kinds of the expressions of one query."""

    tables: Mapping[str, Source]
    tree: exp.Expr
    """The whole query: a column of a subquery is looked up in it."""
    is_step: bool = False
    """Whether other parts of the query read its rows: what is numeric is so for them."""

    def kind(self, node: exp.Expr | None) -> Kind:  # noqa: PLR0911 (one line for each form)
        """Return the kind of an expression."""
        match node:
            case None | exp.Predicate() | exp.Connector() | exp.Not():
                return Kind.OTHER
            case exp.Literal():
                return Kind.OTHER if node.is_string else Kind.INTEGER if str(node.this).isdigit() else Kind.NUMERIC
            case exp.Cast():
                return CASTS.get(node.to.this, Kind.OTHER)
            case exp.Column():
                return self._of_column(node)
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                return _wider(self.kind(item) for item in items_at(node, 0))
            case exp.Interval():
                return Kind.INTERVAL
        return self._of_call(node)

    def _of_call(self, node: exp.Expr) -> Kind:  # noqa: PLR0911 (as above)
        """Return the kind of what a function, an aggregate or an operator makes."""
        match node:
            case exp.Sum():
                return SUMS.get(self.kind(node.this), Kind.NUMERIC)
            case exp.Avg():
                return MEANS.get(self.kind(node.this), Kind.NUMERIC)
            case exp.WithinGroup() if not isinstance(node.this, FLOATS):
                return self.kind(node.expression.expressions[0])
            case exp.ArrayAgg(this=exp.Order() as ordered):
                return self.kind(ordered.this)
            case exp.Sub() if self.kind(node.left) == self.kind(node.right) == Kind.TIME:
                return Kind.INTERVAL
            case exp.Dot():
                return self.kind(node.expression)
            case exp.Anonymous() if node.name.lower() in NUMERIC_FUNCTIONS:
                return Kind.NUMERIC
        fixed = next((kind for kinds, kind in ((COUNTS, Kind.BIGINT), (FLOATS, Kind.FLOAT)) if isinstance(node, kinds)), None)
        if fixed is not None:
            return fixed
        if isinstance(node, SAME):
            return self.kind(node.this if node.this is not None else node.expressions[0])
        found = self._promoted(node)
        return Kind.FLOAT if isinstance(node, ROUNDED) and found != Kind.NUMERIC else found

    def may_be_numeric(self, node: exp.Expr) -> bool:
        """Whether an expression may be numeric, or an interval, which DuckDB cannot add up as PostgreSQL does."""
        return self.kind(node) in {Kind.NUMERIC, Kind.INTERVAL}

    def is_sum(self, node: exp.Expr | None) -> bool:
        """Whether an expression is a sum of integers, or shows one of a subquery: as a column of the answer it is a bigint."""
        call = aggregate_of(node)
        while isinstance(call, exp.AnyValue):
            call = aggregate_of(call.this)
        source = self.tables.get(call.table) if isinstance(call, exp.Column) else None
        if source is not None:
            return isinstance(source.entry, Intermediate) and call is not None and call.name in source.entry.sums
        if isinstance(call, exp.Sum):
            return self.kind(call.this) in {Kind.INTEGER, Kind.BIGINT, Kind.OTHER} or self.is_sum(call.this)
        items = (
            shown_items(self.tree, call)
            if isinstance(call, exp.Column)
            else items_at(call, 0)
            if isinstance(call, exp.Subquery)
            else None
        )
        return bool(items) and all(self.is_sum(item) for item in items or [])

    def carried(self, items: Sequence[exp.Expr]) -> tuple[int, ...]:
        """Return the places of the items of a step that may be numeric: they must reach its readers with all digits."""
        return tuple(place for place, item in enumerate(items) if self.is_step and self.kind(item) == Kind.NUMERIC)

    def _promoted(self, node: exp.Expr) -> Kind:
        """Return what an operator or a function makes of its arguments: that of them which the others are converted to."""
        parts = [node.args.get("true"), node.args.get("default")] if isinstance(node, exp.If) else list(node.iter_expressions())
        if isinstance(node, exp.Case):
            parts = [*(branch.args.get("true") for branch in node.args.get("ifs") or []), node.args.get("default")]
        return _wider(self.kind(part) for part in parts if part is not None)

    def _of_column(self, node: exp.Column) -> Kind:
        source = self.tables.get(node.table)
        if source is None:
            items = shown_items(self.tree, node)
            return _wider(self.kind(item) for item in items) if items else Kind.NUMERIC
        if isinstance(source.entry, Intermediate):
            return source.entry.kinds.get(node.name, Kind.NUMERIC)
        column = source.entry.table.by_name.get(node.name)
        return COLUMNS.get(column.datatype, Kind.OTHER) if column else Kind.BIGINT


def aggregate_of(node: exp.Expr | None) -> exp.Expr | None:
    """Return what is inside of an item's name, of FILTER and of OVER."""
    while isinstance(node, exp.Paren | exp.Filter | exp.Window | exp.Alias):
        node = node.this
    return node


def numbers_of(query: Query) -> Numbers:
    """Return what tells the kinds of a query's expressions."""
    return Numbers(query.tables, query.tree, query.is_step)


def _wider(kinds: Iterable[Kind]) -> Kind:
    """Return that of several kinds which the others are converted to."""
    found = set(kinds)
    return next((kind for kind in PRECEDENCE if kind in found), Kind.OTHER)
