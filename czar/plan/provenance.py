"""What is read of the metadata database: rows of one table that meet plain conditions. All else is computed over them."""

from typing import Final

from sqlglot import exp

from czar.analyse.inner_conditions import cannot_fail
from czar.analyse.nesting import parts, relations
from czar.analyse.plain_items import is_named
from czar.analyse.query import Query
from czar.analyse.scope import qualified
from czar.dialects.number_lists import lists_numbers
from czar.plan.build import keeps_ties, window_of
from czar.plan.model import Plan
from czar.plan.select import numbered, orderings
from czar.snapshot import Snapshot
from schema.physical import relation

CLAUSES: Final = frozenset({"expressions", "from_", "where", "order", "limit", "offset", "distinct"})
"""Those that such a query may have."""

VERSION: Final = "version"
"""Column that each table has there: the version of the catalogue since which the row is seen."""


def kept_tables(query: Query) -> list[exp.Table]:
    """Return the tables of a query, and of the queries inside it, that the metadata database has."""
    if not any(source.entry.in_metadata for source in query.sources):
        return []
    return [node for node in query.tree.find_all(exp.Table) if is_kept(query, node)]


def is_kept(query: Query, node: exp.Expr) -> bool:
    """Whether a relation is a table of the metadata database."""
    source = query.tables.get(node.alias) if isinstance(node, exp.Table) else None
    return source is not None and source.entry.in_metadata


def is_plain(condition: exp.Expr) -> bool:
    """Whether the metadata database tells which rows meet a condition: comparisons of columns and constants, without functions."""
    return cannot_fail(condition) and not any(isinstance(part, exp.Dot) or lists_numbers(part) for part in parts(condition))


def provenance_plan(query: Query, max_rows: int | None) -> Plan | None:
    """Return the plan of a query that shows columns of one table of the metadata database; None of any other one.

    Parameters
    ----------
    query
        Its tree is used up, unless it has no plan.
    max_rows
        Caps the rows of the answer on top of the query's own LIMIT.
    """
    tree, from_ = query.tree, relations(query.tree)
    if len(from_) != 1 or not is_kept(query, from_[0]) or not _is_plain_query(tree):
        return None
    (node,) = from_
    entry = query.tables[node.alias].entry
    limit = window_of(query, max_rows).limit
    terms = orderings(tree)
    numbered(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    if limit is not None:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    is_seen = exp.LTE(this=qualified(node.alias, VERSION), expression=exp.Literal.number(query.catalogue.version))
    tree.where(is_seen, copy=False)
    node.set("this", exp.Var(this=relation(entry.database, entry.table.name, None)))
    node.set("db", None)
    statement = tree.sql("postgres", comments=False, copy=False)
    return Plan(query.catalogue, Snapshot(), query.outputs, None, notes=query.notes, metadata_query=statement)


def _is_plain_query(tree: exp.Select) -> bool:
    clauses = {name for name, value in tree.args.items() if value}
    distinct, where = tree.args.get("distinct") or exp.Distinct(), tree.args.get("where")
    shown = [item.unalias() for item in tree.expressions] + [term.this for term in orderings(tree)]
    return (
        clauses <= CLAUSES
        and not distinct.args.get("on")
        and not keeps_ties(tree)
        and all(isinstance(part, exp.Column | exp.Literal) or is_named(part) for part in shown)
        and (where is None or is_plain(where.this))
    )
