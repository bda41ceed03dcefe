"""Analysed query -> plan. Pure: a query gives the same plan for the same catalogue."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from sqlglot import exp

from czar.analyse import locality_of
from czar.analyse.constants import number
from czar.analyse.counts import count_of
from czar.analyse.grouping import is_grouped
from czar.analyse.locality import NotLocalError
from czar.analyse.nesting import relations
from czar.analyse.query import Query
from czar.analyse.spreads import Spread
from czar.parse import place_of
from czar.plan.grouped import check_decomposable, check_groups, grouped
from czar.plan.model import ChunkStep, Plan
from czar.plan.numbers import numbers_of
from czar.plan.scan import scan
from czar.plan.select import Window, canonical_tree, carrying, numbered, orderings
from czar.plan.template import chunk_query
from czar.snapshot import Snapshot
from qserv.errors import InternalError, QueryError


def build(query: Query, rows: Spread, snapshot: Snapshot, *, max_rows: int | None = None) -> Plan:
    """Return the plan of a query whose rows are made chunk by chunk.

    Parameters
    ----------
    query, rows
        As `czar.analyse.pruned` returns them.
    snapshot
        State of the rows that is read.
    max_rows
        Caps the rows of the answer on top of the query's own LIMIT.

    Raises
    ------
    QueryError
        A selected column is neither grouped nor aggregated, or LIMIT is not a count.
    NotLocalError
        What is done with the rows needs those of several chunks together, and not as partial aggregates.
    """
    tree = query.tree
    chunks = tuple(query.chunks.tolist())
    plan = Plan(
        catalogue=query.catalogue,
        snapshot=snapshot,
        outputs=query.outputs,
        family=rows.family if rows.partitioned else None,
        notes=query.notes,
        rows=max((source.entry.rows_in(query.chunks) for source in query.sources), default=0),
        access=query.access,
    )
    window = window_of(query, max_rows)
    known = _known_row(query, window)
    if known is not None:
        return replace(plan, known_row=known, notes=(*plan.notes, "row counts of the metadata database"))
    if is_grouped(tree):
        check_groups(query)
    if len(chunks) <= 1:
        return _on_one_node(plan, query, window, chunks)
    if _merges_groups(query, rows):
        return grouped(plan, query, rows, window)
    return scan(plan, query, window)


def keeps_ties(tree: exp.Select) -> bool:
    """Whether a SELECT ends with FETCH ... WITH TIES."""
    options = (tree.args.get("limit") or exp.Limit()).args.get("limit_options")
    return options is not None and bool(options.args.get("with_ties"))


def window_of(query: Query, max_rows: int | None) -> Window:
    """Return LIMIT and OFFSET of a query, with a cap on the rows of its answer."""
    return Window(offset=_count(query, "offset") or 0, limit=_least(_count(query, "limit"), max_rows))


def check_shape(query: Query, rows: Spread) -> None:
    """Refuse what several chunks cannot answer together, though each makes its rows by itself.

    Raises
    ------
    NotLocalError
        Something is computed over rows of several chunks that partial aggregates cannot be made of.
    """
    tree = query.tree
    if not rows.partitioned:
        return
    if keeps_ties(tree):
        reason = "WITH TIES compares rows of several chunks"
        raise NotLocalError(reason, tree)
    locality = locality_of(query)
    if _merges_groups(query, rows):
        check_decomposable(query)
        return
    distinct = tree.args.get("distinct")
    if distinct and any(map(numbers_of(query).may_be_numeric, tree.expressions)):
        reason = "DISTINCT compares values of type numeric"
        raise NotLocalError(reason, tree)
    if distinct and distinct.args.get("on"):
        reason = "DISTINCT ON compares rows of several chunks"
        raise NotLocalError(reason, tree)
    locality.keeps_windows_together(tree, rows)


def _merges_groups(query: Query, rows: Spread) -> bool:
    """Whether groups, or a window over them, need rows of several chunks."""
    tree, locality = query.tree, locality_of(query)
    if not is_grouped(tree):
        return False
    if not locality.groups_by_key(tree, rows):
        return True
    try:
        locality.keeps_windows_together(tree, rows)
    except NotLocalError:
        return True
    return False


def _on_one_node(plan: Plan, query: Query, window: Window, chunks: tuple[int, ...]) -> Plan:
    """The whole query runs where its rows are: in one chunk, or on any node that has the replicated tables."""
    numbers = numbers_of(query)
    carried = numbers.carried(query.tree.expressions)
    tree = numbered(canonical_tree(query.tree, numbers))
    terms = orderings(tree)
    tree.set("order", exp.Order(expressions=terms) if terms else None)
    if window.limit is not None and not keeps_ties(tree):
        tree.set("limit", exp.Limit(expression=exp.Literal.number(window.limit)))
    template, slots = chunk_query(carrying(tree, carried), query.tables)
    return replace(plan, step=ChunkStep(template, slots, chunks, query.chunk_keys), carried=carried)


def _known_row(query: Query, window: Window) -> tuple[int, ...] | None:
    """Return the counts where all that is asked is ``COUNT(*)`` of one whole table."""
    tree = query.tree
    clauses = ("where", "joins", "group", "having", "distinct", "order")
    from_ = relations(tree)
    if (
        len(from_) != 1
        or not isinstance(from_[0], exp.Table)
        or any(tree.args.get(clause) for clause in clauses)
        or window.offset
        or window.limit == 0
    ):
        return None
    if not all(isinstance(item, exp.Count) and isinstance(item.this, exp.Star) for item in tree.expressions):
        return None
    return tuple(query.sources[0].entry.row_count for _ in tree.expressions)


def _count(query: Query, clause: str) -> int | None:
    node = count_of(query.tree, clause)
    if node is None:
        return None
    value = number(node)
    if isinstance(value, float):
        # PostgreSQL rounds to bigint, halves away from zero.
        value = int(Decimal(value).to_integral_value(ROUND_HALF_UP))
    if value is None:
        msg = f"{clause.upper()} should have been computed before"
        raise InternalError(msg)
    if value < 0:
        msg = f"{clause.upper()} {value}: a count cannot be negative"
        raise QueryError(msg, place_of(node, query.text))
    return value


def _least(limit: int | None, max_rows: int | None) -> int | None:
    counts = [count for count in (limit, max_rows) if count is not None]
    return min(counts) if counts else None
