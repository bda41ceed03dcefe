"""A LIMIT or OFFSET that is an expression, such as a subquery: a step of its own, before all others."""

from dataclasses import dataclass, replace

from sqlglot import exp

from czar.analyse.counts import computed_counts, count_of, set_count
from czar.analyse.query import Output, Query
from czar.parse import place_of
from czar.plan.build import keeps_ties
from czar.steps.intermediate import Intermediate
from qserv.errors import QueryError

NAME = "count"
"""Of the step's only column."""


@dataclass(frozen=True, eq=False)
class CountCut:
    """The value of a clause, cut out of a query; see `czar.steps.cut.Cut`."""

    name: str
    step: Query
    rest: Query
    reason: str
    clause: str

    def with_rows(self, found: Intermediate) -> Query:
        """Return the rest of the query, with the value.

        Raises
        ------
        QueryError
            The value is NULL, which means all rows, and WITH TIES needs a last one.
        """
        tree = self.rest.tree
        value = None if found.rows is None else found.rows.column(0)[0].as_py()
        if value is not None:
            set_count(tree, self.clause, _whole_number(value))
            return self.rest
        if self.clause == "limit" and keeps_ties(tree):
            msg = "row count cannot be null in FETCH FIRST ... WITH TIES"
            raise QueryError(msg, place_of(tree.args[self.clause], self.rest.text))
        tree.set(self.clause, None)
        return self.rest

    def without_rows(self) -> Query:
        """Return the rest of the query as if it had not the clause: its value is unknown to an explanation."""
        self.rest.tree.set(self.clause, None)
        note = f"{self.clause.upper()} is known when step {self.name} is answered"
        return replace(self.rest, notes=(*self.rest.notes, note))


def count_cut(query: Query, name: str, reason: str) -> CountCut | None:
    """Cut the value of LIMIT or OFFSET out of a query; None where it is a number, or not there."""
    for clause in computed_counts(query.tree):
        node = count_of(query.tree, clause)
        if node is None:
            continue
        set_count(query.tree, clause, exp.Null())
        item = exp.Alias(this=exp.cast(node, exp.DType.BIGINT, copy=False), alias=exp.to_identifier(NAME, quoted=True))
        tree = exp.Select(expressions=[item])
        inside = {table.alias for table in tree.find_all(exp.Table)}
        sources = tuple(source for source in query.sources if source.alias in inside)
        left = tuple(source for source in query.sources if source.alias not in inside)
        step = replace(query, tree=tree, outputs=(Output(NAME),), keys=(), notes=(), is_step=True).over(sources)
        return CountCut(name, step, query.over(left), reason, clause)
    return None


def _whole_number(value: int) -> exp.Expr:
    literal = exp.Literal.number(abs(value))
    return exp.Neg(this=literal) if value < 0 else literal
