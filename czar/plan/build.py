"""Analysed query -> plan. Pure: a query gives the same plan for the same catalogue."""

from dataclasses import replace

from sqlglot import exp

from czar.analyse.constants import number
from czar.analyse.query import Query
from czar.parse import place_of
from czar.plan.grouped import check_groups, grouped
from czar.plan.model import ChunkStep, Plan
from czar.plan.scan import scan
from czar.plan.select import Window, aggregates_of, canonical_tree, numbered, orderings
from czar.plan.template import chunk_query
from czar.snapshot import Snapshot
from qserv.errors import NotYetSupportedError, QueryError


def build(query: Query, snapshot: Snapshot, *, max_rows: int | None = None) -> Plan:
    """Return the plan of a query; ``max_rows`` caps the rows of the answer on top of the query's own LIMIT.

    Raises
    ------
    QueryError
        A selected column is neither grouped nor aggregated, or LIMIT is not a count.
    """
    partitioned = [source for source in query.sources if source.entry.table.partitioned]
    chunks = tuple(query.chunks.tolist())
    plan = Plan(
        snapshot=snapshot,
        outputs=query.outputs,
        family=partitioned[0].entry.family if partitioned else None,
        notes=query.notes,
        rows=max((source.entry.rows_in(query.chunks) for source in query.sources), default=0),
    )
    window = Window(offset=_count(query, "offset") or 0, limit=_least(_count(query, "limit"), max_rows))
    known = _known_row(query, window)
    if known is not None:
        return replace(plan, known_row=known, notes=(*plan.notes, "row counts of the metadata database"))
    aggregated = aggregates_of(query.tree) or query.tree.args.get("group") or query.tree.args.get("having")
    if aggregated:
        check_groups(query)
    if len(chunks) <= 1:
        return _on_one_node(plan, query, window, chunks)
    return grouped(plan, query, window) if aggregated else scan(plan, query, window)


def _on_one_node(plan: Plan, query: Query, window: Window, chunks: tuple[int, ...]) -> Plan:
    """The whole query runs where its rows are: in one chunk, or on any node that has the replicated tables."""
    tree = numbered(canonical_tree(query.tree))
    terms = orderings(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    tree = tree.limit(window.limit, copy=False) if window.limit is not None else tree
    template, slots = chunk_query(tree, query.sources)
    return replace(plan, step=ChunkStep(template, slots, chunks))


def _known_row(query: Query, window: Window) -> tuple[int, ...] | None:
    """Return the counts where all that is asked is ``COUNT(*)`` of one whole table."""
    tree = query.tree
    clauses = ("where", "joins", "group", "having", "distinct", "order")
    if len(query.sources) != 1 or any(tree.args.get(clause) for clause in clauses) or window.offset or window.limit == 0:
        return None
    if not all(isinstance(item, exp.Count) and isinstance(item.this, exp.Star) for item in tree.expressions):
        return None
    return tuple(query.sources[0].entry.row_count for _ in tree.expressions)


def _count(query: Query, clause: str) -> int | None:
    node = query.tree.args.get(clause)
    if node is None:
        return None
    if isinstance(node.expression, exp.Null) or node.expression == exp.var("ALL"):
        return None
    value = number(node.expression)
    if not isinstance(value, int):
        msg = f"not yet supported: {clause.upper()} of anything but a whole number"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    if value < 0:
        msg = f"{clause.upper()} {value}: a count cannot be negative"
        raise QueryError(msg, place_of(node, query.text))
    return value


def _least(limit: int | None, max_rows: int | None) -> int | None:
    counts = [count for count in (limit, max_rows) if count is not None]
    return min(counts) if counts else None
