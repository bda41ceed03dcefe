"""A value computed of the rows that share something with a row of the query around: a step with one row a group.

``(SELECT MIN(p.m) + 1 FROM t AS p WHERE p.f = o.f AND p.x > 0)`` needs of each group of rows its least ``m``. The step is ``SELECT
p.f, MIN(p.m) FROM t AS p WHERE p.x > 0 GROUP BY p.f``, and ``(SELECT ANY_VALUE(s.a0) + 1 FROM s WHERE s.k0 = o.f)`` takes the place
of the value: an aggregate of at most one row, because expressions around it can have a value where there is none. It has the other
clauses of the value, too: with HAVING, or with GROUP BY of what is equated, there is one row or none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from czar.analyse.grouping import is_grouped, own_aggregates
from czar.analyse.inner_conditions import cannot_fail
from czar.analyse.kinds import Kind
from czar.analyse.locality import makes_random_numbers
from czar.analyse.nesting import body, conjuncts, free_aliases, joins, own, relations
from czar.analyse.query import Query
from czar.analyse.scope import qualified
from czar.dialects.aggregates import HYPOTHETICAL, merging
from czar.plan.numbers import Numbers, aggregate_of
from czar.steps.folding import is_value
from czar.steps.leaves import Leaf, bare, defined_aliases_of, fresh, named, output_of, step_table
from czar.steps.partners import known_values

CLAUSES = frozenset({"expressions", "from_", "joins", "where", "kind", "hint"})
"""Those of which the step is made."""

OF_ONE_ROW = ("group", "having", "distinct", "order", "limit", "offset")
"""Those that are asked of its one row."""

WHOLE = frozenset({Kind.INTEGER, Kind.BIGINT})

SAME_WHERE_EQUAL = WHOLE
"""Kinds of which equal values are one value for all functions; 0 and -0 are two texts."""

ZERO_WITHOUT_ROWS = (exp.Count, exp.RegrCount)
"""Aggregates that are not NULL where there is no row."""

AROUND_ARGUMENTS = (exp.AggFunc, exp.Star, exp.Distinct, exp.Filter, exp.Where, exp.WithinGroup, exp.Order, exp.Ordered)
"""What an aggregate is written with, besides expressions of columns."""

FLOAT_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Abs, exp.Paren)
"""Has a value for any numbers in double precision, but for those near the largest one."""


def group_rows_leaf(query: Query, node: exp.Expr) -> Leaf | None:
    """Take out a value that depends on the query around it by equality alone, with one row for each group of its rows.

    None where it is no such value: no aggregate, or compared otherwise, or it could fail for groups that nobody asks for.
    """
    tree = body(node)
    if not isinstance(node, exp.Subquery) or not is_value(node) or not isinstance(tree, exp.Select):
        return None
    conditions = _Conditions.of(query, tree)
    if conditions is None or makes_random_numbers(tree):
        return None
    keys = [key for key, _ in conditions.keys]
    alias = fresh(query, "groups")
    read = _OneRow(alias, defined_aliases_of(tree), Numbers(query.tables, query.tree), keys)
    reader = read.reader(tree)
    if reader is None:
        return None
    places = [part for part in query.tree.find_all(exp.Select) if part == tree]
    for number, (_, other) in enumerate(conditions.keys):
        reader.where(exp.EQ(this=qualified(alias, f"k{number}"), expression=other.copy()), copy=False)
    reader.where(*(part.copy() for part in conditions.outside), copy=False)
    known = [part for each in relations(tree) if isinstance(each, exp.Table) for part in known_values(query, tree, each.alias)]
    items = [named(key, f"k{number}") for number, key in enumerate(keys)] + read.items()
    inside = exp.Select(expressions=items, from_=tree.args["from_"].copy(), joins=[join.copy() for join in joins(tree)] or None)
    inside.where(*(part.copy() for part in (*conditions.inside, *known)), copy=False)
    inside.set("group", exp.Group(expressions=[key.copy() for key in keys]))
    copies = [reader.copy() for _ in places]
    for place, copy in zip(places, copies, strict=True):
        place.replace(copy)
    outputs = tuple(output_of(query, each) for each in items)
    return Leaf(bare(inside), outputs, tuple(copy.args["from_"].this for copy in copies))


@dataclass(frozen=True)
class _Conditions:
    """The conditions of a subquery: ``keys`` (inside, outside) are equated, all others speak of one side."""

    keys: list[tuple[exp.Expr, exp.Expr]]
    inside: list[exp.Expr]
    outside: list[exp.Expr]

    @classmethod
    def of(cls, query: Query, tree: exp.Select) -> "_Conditions | None":
        """Return those of a SELECT; None where some speak of both sides."""
        if any(value for clause, value in tree.args.items() if clause not in CLAUSES and clause not in OF_ONE_ROW):
            return None
        aliases = defined_aliases_of(tree)
        where = tree.args.get("where")
        if where is None or free_aliases(exp.Select(from_=tree.args["from_"].copy(), joins=[each.copy() for each in joins(tree)])):
            return None
        found = cls([], [], [])
        numbers = Numbers(query.tables, query.tree)
        waiting = []
        for part in conjuncts(where.this):
            key = _key(numbers, part, aliases)
            if key is not None:
                found.keys.append(key)
            elif free_aliases(part) <= aliases:
                found.inside.append(part)
            elif not free_aliases(part) & aliases and part.find(exp.Query) is None:
                found.outside.append(part)
            else:
                waiting.append(part)
        whole = {other: key for key, other in found.keys if numbers.kind(key) in WHOLE}
        for part in waiting:
            said = _said_of_the_inside(part, whole)
            if not free_aliases(said) <= aliases:
                return None
            found.inside.append(said)
        return found if found.keys else None


def _key(numbers: Numbers, part: exp.Expr, aliases: set[str]) -> tuple[exp.Expr, exp.Expr] | None:
    """Return the sides of an equality of something inside with something outside, where it holds for one group at most."""
    if not isinstance(part, exp.EQ) or part.find(exp.Query) is not None:
        return None
    for key, other in ((part.left, part.right), (part.right, part.left)):
        inner, outer = free_aliases(key), free_aliases(other)
        if inner and outer and inner <= aliases and not outer & aliases and _are_alike(numbers, key, other):
            return key, other
    return None


def _are_alike(numbers: Numbers, key: exp.Expr, other: exp.Expr) -> bool:
    """Whether two expressions are compared without a change of values: as double precision, two of bigint may be one."""
    kinds = {numbers.kind(key), numbers.kind(other)}
    if kinds <= WHOLE or kinds == {Kind.FLOAT}:
        return True
    return len(kinds) == 1 and Kind.NUMERIC not in kinds and isinstance(key, exp.Column) and isinstance(other, exp.Column)


def _said_of_the_inside(part: exp.Expr, whole: dict[exp.Expr, exp.Expr]) -> exp.Expr:
    """Return a condition in which whole numbers outside that are compared are those inside that they are equal to."""
    copy = part.copy()
    for column in list(copy.find_all(exp.Column)):
        if column in whole and isinstance(column.parent, exp.EQ):
            column.replace(whole[column].copy())
    return copy


@dataclass(frozen=True)
class _OneRow:
    """What a SELECT says of a group of rows, said of the one row of a step, which ``alias`` names."""

    alias: str
    inside: set[str]
    """Aliases of FROM of the SELECT."""
    numbers: Numbers
    keys: list[exp.Expr]
    _names: dict[exp.Expr, str] = field(default_factory=dict)
    """Of the aggregates."""

    def reader(self, tree: exp.Select) -> exp.Select | None:
        """Return the SELECT of the row, without its conditions; None if not all of it can be said of one row."""
        distinct, limit = tree.args.get("distinct"), tree.args.get("limit")
        said = _without_rows(tree)
        is_plain = len(said.expressions) == 1 and not own(said, exp.Query)[1:]
        if not is_plain or not is_grouped(said) or (distinct and distinct.args.get("on")) or isinstance(limit, exp.Fetch):
            return None
        wholes = [_whole(call) for call in own_aggregates(said)]
        if not all(map(self._can_be_grouped, wholes)):
            return None
        for whole in wholes:
            name = self._names.setdefault(whole.copy(), f"a{len(self._names)}")
            value: exp.Expr = exp.AnyValue(this=qualified(self.alias, name))
            if isinstance(aggregate_of(whole), ZERO_WITHOUT_ROWS):
                value = exp.Coalesce(this=value, expressions=[exp.Literal.number(0)])
            whole.replace(value)
        group = said.args.get("group") or exp.Group()
        terms = {term.copy(): self._of_keys(term) for term in group.expressions}
        said.transform(lambda part: terms[part].copy() if part in terms else part, copy=False)
        if free_aliases(said) & self.inside or own(said, exp.Window):
            return None
        said.set("from_", exp.From(this=step_table(self.alias)))
        return said

    def items(self) -> list[exp.Expr]:
        """Return the columns."""
        return [named(whole, name) for whole, name in self._names.items()]

    def _of_keys(self, term: exp.Expr) -> exp.Expr:
        """Return a term of GROUP BY, with what is equated in it as the row has it."""
        columns = {key: qualified(self.alias, f"k{number}") for number, key in reversed(list(enumerate(self.keys)))}
        if term.unnest() in columns:
            return columns[term.unnest()]
        same = {key: column for key, column in columns.items() if self.numbers.kind(key) in SAME_WHERE_EQUAL}
        return term.transform(lambda part: same[part].copy() if part in same else part)

    def _can_be_grouped(self, whole: exp.Expr) -> bool:
        """Whether an aggregate has a value for any rows inside, and NULL or 0 for none."""
        is_inside = free_aliases(whole) <= self.inside
        return (
            is_inside and merging(whole) is not None and not whole.find(*HYPOTHETICAL) and all(map(cannot_fail, self._given(whole)))
        )

    def _given(self, node: exp.Expr) -> Iterator[exp.Expr]:
        """Yield the parts of an aggregate that could fail."""
        for part in node.iter_expressions():
            is_sound = isinstance(part, FLOAT_ARITHMETIC) and self.numbers.kind(part) is Kind.FLOAT
            if is_sound or isinstance(part, AROUND_ARGUMENTS):
                yield from self._given(part)
            else:
                yield part


def _without_rows(tree: exp.Select) -> exp.Select:
    """Return what a SELECT says of rows that it is given: all of it but FROM and WHERE."""
    said = tree.copy()
    for clause in ("from_", "joins", "where"):
        said.set(clause, None)
    return said


def _whole(call: exp.Expr) -> exp.Expr:
    """Return an aggregate with the FILTER and WITHIN GROUP around it."""
    while isinstance(call.parent, exp.Filter | exp.WithinGroup):
        call = call.parent
    return call
