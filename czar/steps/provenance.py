"""What is read first where a query has tables of the metadata database: few rows of others, which say what is read of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from czar.analyse import locality_of, pruned
from czar.analyse.inner_conditions import conditions_before, speaks_of
from czar.analyse.nesting import relations
from czar.analyse.query import Access, Query
from czar.plan.provenance import is_plain
from czar.steps.partners import MOST_VALUES, known_values


def read_first(query: Query, kept: Sequence[exp.Table]) -> exp.Table:
    """Return the table that is read first: one of the nodes of which few rows are found, or one of the metadata database.

    Parameters
    ----------
    kept
        The tables of the query that are there.
    """
    others = {id(other): other for node in kept for other in _around(query, node)}
    few = next((node for node in others.values() if _has_few_rows(query, node)), None)
    return few or next((node for node in kept if any(map(is_plain, _conditions(query, node)))), kept[0])


def _around(query: Query, node: exp.Table) -> Iterator[exp.Table]:
    """Yield the tables of the nodes in the FROM of a table, and in that of the queries around."""
    select = node.find_ancestor(exp.Select)
    while select is not None:
        for relation in relations(select):
            for table in relation.find_all(exp.Table):
                if table.alias in query.tables and query.tables[table.alias].entry.table.partitioned:
                    yield table
        select = select.find_ancestor(exp.Select)


def _conditions(query: Query, node: exp.Table) -> list[exp.Expr]:
    """Return the conditions under which a table is read by itself."""
    select = node.find_ancestor(exp.Select)
    assert select is not None  # noqa: S101 (a table is in one)
    own = [part for part in conditions_before(select, node.alias) if speaks_of(part, {node.alias})]
    return own + known_values(query, select, node.alias)


def _has_few_rows(query: Query, node: exp.Table) -> bool:
    """Whether the rows of a table are found by a few keys, or in a small region."""
    conditions = _conditions(query, node)
    if not conditions:
        return False
    tree = exp.Select(expressions=[exp.Literal.number(1)], from_=exp.From(this=node.copy()))
    tree.set("where", exp.Where(this=exp.and_(*(part.copy() for part in conditions), copy=False)))
    step = replace(query, tree=tree, keys=(), notes=()).over((query.tables[node.alias],))
    found = pruned(step, locality_of(step).of_rows(tree))
    return found.access >= Access.SPOT or any(len(each.keys) <= MOST_VALUES for each in found.keys)
