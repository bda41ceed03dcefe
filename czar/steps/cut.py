"""Which part of a query is answered next by itself, where the whole is not chunk-local.

A subquery that needs nothing of the query around it is a step of its own. Where there is none, the tables of FROM are: the largest
groups of them whose join is chunk-local, with every condition that speaks of them alone and the columns that are needed. Each step
leaves a smaller query, over an intermediate table in the place of the part; at last no table of a catalogue is left, or the rest is
chunk-local.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlglot import exp

from czar.analyse import NotLocalError, Query, locality_of
from czar.analyse.locality import Locality
from czar.analyse.nesting import body, expression_queries, free_aliases, relations
from czar.analyse.query import Source
from czar.analyse.resolve import as_select
from czar.plan.numbers import Numbers
from czar.steps.copies import Copies
from czar.steps.counts import CountCut, count_cut
from czar.steps.folding import fold
from czar.steps.groups import group_rows_leaf
from czar.steps.intermediate import Intermediate, intermediate
from czar.steps.leaves import Leaf, from_leaf, group_leaf, list_leaf, query_leaf, readable


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of a query, cut out: ``rest`` reads table ``name`` in its place."""

    name: str
    step: Query
    rest: Query
    reason: str
    """Why the query is not answered as a whole."""

    def with_rows(self, found: Intermediate) -> Query:
        """Return the rest of the query, with the rows of the step."""
        fold(self.rest.tree, found)
        used = {table.alias for table in self.rest.tree.find_all(exp.Table)}
        sources = tuple(
            replace(source, entry=found) if source.entry.table.name == self.name and not source.entry.database else source
            for source in self.rest.sources
            if source.alias in used
        )
        return replace(self.rest, sources=sources)

    def without_rows(self) -> Query:
        """Return the rest of the query, which names the step: for an explanation."""
        return self.rest


def next_cut(query: Query, name: str, reason: str, first: exp.Expr | None = None) -> Cut | CountCut | None:
    """Cut the next step out of a query that is not answered at once; None where no table of a catalogue is left in it.

    ``name`` is given to the step's rows; ``first`` is the part to be cut out, if that is known. The query's tree is
    changed in place.
    """
    count = count_cut(query, name, reason)
    if count is not None:
        return count
    copies = Copies(query.tree)
    part = _Cutter(query, locality_of(query)).cut(query.tree) if first is None else list_leaf(query, first)
    if part is None:
        return None
    tables = copies.follow(part.tables)
    numbers = Numbers(query.tables, part.tree)
    outputs = tuple(
        replace(output, kind=numbers.kind(item), is_sum=numbers.is_sum(item))
        for output, item in zip(part.outputs, as_select(part.tree).expressions, strict=True)
    )
    sources = {source.alias: source for source in query.sources}
    inside = tuple(sources[table.alias] for table in part.tree.find_all(exp.Table) if table.alias in sources)
    step = replace(query, tree=as_select(part.tree), outputs=outputs, keys=(), notes=(), is_step=True).over(inside)
    entry = intermediate(name, outputs)
    for table in tables:
        table.set("this", exp.to_identifier(name, quoted=True))
    used = {table.alias for table in query.tree.find_all(exp.Table)}
    aliases = {table.alias for table in part.tables}
    left = tuple(source for source in query.sources if source.alias in used - aliases)
    added = tuple(Source(alias, entry) for alias in sorted(aliases))
    return Cut(name, step, query.over((*left, *added)), reason)


@dataclass(frozen=True)
class _Cutter:
    query: Query
    locality: Locality

    def cut(self, select: exp.Select) -> Leaf | None:
        """Cut a step out of a SELECT."""
        depends = bool(free_aliases(select))
        if self._tables(select) and not depends and _proves(lambda: self.locality.of_rows(select)):
            return from_leaf(self.query, select)
        inner = self._inner(select)
        for node in inner:
            if not free_aliases(node) and not _is_recursive(node, select) and not self._can_stay(node, select):
                return self._inside(node)
        if self._tables(select):
            return group_leaf(self.query, self.locality, select)
        leaves = (self._into(node) for node in inner)
        return next((leaf for leaf in leaves if leaf is not None), None)

    def _tables(self, select: exp.Select) -> list[exp.Expr]:
        """Return the relations of FROM that read tables of a catalogue, and nothing of the queries around."""
        return readable(self.locality, select)

    def _inner(self, select: exp.Select) -> list[exp.Expr]:
        """Return the queries directly inside of a SELECT that read tables of a catalogue."""
        with_ = select.args.get("with_")
        common = [side for node in with_.expressions for side in sides(node.this)] if with_ else []
        in_from = [node for node in relations(select) if isinstance(node, exp.Subquery | exp.Lateral)]
        return [node for node in [*common, *in_from, *expression_queries(select)] if self._reads_tables(node)]

    def _reads_tables(self, tree: exp.Expr) -> bool:
        return self.locality.reads_tables(tree)

    def _can_stay(self, node: exp.Expr, select: exp.Select) -> bool:
        """Whether a query inside is no obstacle: in FROM a chunk-local one, elsewhere one over replicated tables alone."""
        if isinstance(node, exp.Subquery) and any(node is relation for relation in relations(select)):
            return _proves(lambda: self.locality.of_relation(node))
        return not self.locality.partitioned(node)

    def _inside(self, node: exp.Expr) -> Leaf:
        """Cut out a query that stands by itself, or one side of it if it is a set operation."""
        node = node.this if isinstance(node, exp.Lateral) else node
        tree = body(node)
        if isinstance(tree, exp.SetOperation):
            return next(self._inside(side) for side in (tree.this, tree.expression) if self._reads_tables(side))
        return query_leaf(self.query, node)

    def _into(self, node: exp.Expr) -> Leaf | None:
        """Cut a step out of a query that depends on the one around it."""
        tree = body(node.this if isinstance(node, exp.Lateral) else node)
        if isinstance(tree, exp.SetOperation):
            sides = (self._into(side) for side in (tree.this, tree.expression) if self._reads_tables(side))
            return next((leaf for leaf in sides if leaf is not None), None)
        if not isinstance(tree, exp.Select):
            return None
        return group_rows_leaf(self.query, node) or self.cut(tree)


def sides(tree: exp.Expr) -> list[exp.Expr]:
    """Return the queries that a set operation is made of."""
    tree = body(tree)
    return [*sides(tree.this), *sides(tree.expression)] if isinstance(tree, exp.SetOperation) else [tree]


def _is_recursive(node: exp.Expr, select: exp.Select) -> bool:
    """Whether a side of a recursive CTE names the CTE."""
    with_ = select.args.get("with_")
    names = {common.alias for common in with_.expressions} if with_ else set()
    return any(table.name in names for table in node.find_all(exp.Table))


def _proves(proof: Callable[[], object]) -> bool:
    try:
        proof()
    except NotLocalError:
        return False
    return True
