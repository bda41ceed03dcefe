"""What of a query is chunk-local: its answer is that of every chunk by itself, one after another.

The relations of FROM are the nodes of a graph. An equality of director keys joins two of them whose matching rows are in the same
chunk (separation 0): director and dependent, two dependents of one director, a director and itself, and subqueries that show the
key. Rows of a key that the director lacks (orphans) may be in several chunks: of two dependents that have some, one must be tied to
the director as well. An equality along a foreign key between directors joins a row with one at most the overlap radius away, which
is proven of the rows at publish (`TableEntry.local_references`); a distance below a limit joins two positions at most that far
apart. Relations that hang together by separation 0 and are read without overlap are the *home* relations: each of their rows is
read in exactly one chunk, so each answer row is made once. A partner at a separation is read with the overlap rows of the chunk.

A query inside is chunk-local if it keeps rows of one key together: groups, windows and DISTINCT by the key, a condition that
equates its key with one outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from czar.analyse.grouping import is_grouped
from czar.analyse.nesting import body, conjuncts, expression_queries, free_aliases, joins, optional, output_names, own, relations
from czar.analyse.query import Query, Source
from czar.analyse.separations import Partners
from czar.analyse.spreads import WHOLE, Key, Spread, equal_columns, same_chunk_groups, tied_keys


class NotLocalError(Exception):
    """A part of a query needs rows of several chunks together. ``node`` is the part."""

    def __init__(self, reason: str, node: exp.Expr) -> None:
        super().__init__(reason)
        self.node = node


@dataclass(frozen=True)
class Locality:
    """Proves of the parts of one query that they are chunk-local."""

    tables: Mapping[str, Source]
    """The tables of the whole query by alias."""
    overlap_deg: Mapping[str, float]
    """Overlap radius by family."""

    def partitioned(self, tree: exp.Expr) -> bool:
        """Whether a part of the query reads partitioned tables."""
        return any(
            table.alias_or_name in self.tables and self.tables[table.alias_or_name].entry.table.partitioned
            for table in tree.find_all(exp.Table)
        )

    def of_rows(self, select: exp.Select) -> Spread:
        """Return how the rows lie that FROM and WHERE of a SELECT make, before they are grouped.

        Raises
        ------
        NotLocalError
            They cannot be made chunk by chunk.
        """
        if select.args.get("with_") and self.reads_tables(select.args["with_"]):
            reason = "a recursive query needs its rows together"
            raise NotLocalError(reason, select)
        spreads = {relation.alias_or_name: self.of_relation(relation) for relation in relations(select)}
        rows = self._joined(select, spreads) if spreads else WHOLE
        partners = rows.partners.union(*(spread.partners for spread in spreads.values()))
        laterals = [node.this for node in relations(select) if isinstance(node, exp.Lateral)]
        for query in (*expression_queries(select), *laterals):
            for table in query.find_all(exp.Table):
                self.of_relation(table)
            if self.partitioned(query):
                home = [alias for alias, spread in spreads.items() if spread.partitioned and alias not in rows.partners]
                partners |= self._of_subquery(query, select, rows, home)
        return replace(rows, partners=partners)

    def of_query(self, tree: exp.Expr) -> Spread:
        """Return how the rows of a whole inner query lie.

        Raises
        ------
        NotLocalError
            They cannot be made chunk by chunk.
        """
        tree = body(tree)
        if isinstance(tree, exp.SetOperation):
            return self._of_set_operation(tree)
        if not isinstance(tree, exp.Select):
            return WHOLE
        if tree.args.get("limit") or tree.args.get("offset"):
            reason = "LIMIT counts the rows of all chunks"
            raise NotLocalError(reason, tree)
        rows = self.of_rows(tree)
        if not rows.partitioned:
            return WHOLE
        self.keeps_keys_together(tree, rows)
        columns = {(key[1], key[2]): key for key in rows.keys}
        shown = {
            (columns[item.this.table, item.this.name][0], "", item.alias): columns[item.this.table, item.this.name]
            for item in tree.expressions
            if isinstance(item, exp.Alias) and isinstance(item.this, exp.Column) and (item.this.table, item.this.name) in columns
        }
        whole, anchored = (
            frozenset(key for key, inside in shown.items() if inside in some) for some in (rows.whole, rows.anchored)
        )
        return replace(rows, keys=frozenset(shown), whole=whole, anchored=anchored)

    def keeps_keys_together(self, tree: exp.Select, rows: Spread) -> None:
        """Prove that groups, windows and DISTINCT never need rows of two keys.

        Raises
        ------
        NotLocalError
            They do.
        """
        if is_grouped(tree) and not self.groups_by_key(tree, rows):
            reason = "its groups need rows of several chunks"
            raise NotLocalError(reason, tree)
        distinct = tree.args.get("distinct")
        if distinct and not _has_key(distinct.args["on"].expressions if distinct.args.get("on") else tree.expressions, rows):
            reason = "DISTINCT compares rows of several chunks"
            raise NotLocalError(reason, tree)
        self.keeps_windows_together(tree, rows)

    def keeps_windows_together(self, tree: exp.Select, rows: Spread) -> None:
        """Prove that window functions never need rows of two keys.

        Raises
        ------
        NotLocalError
            They do.
        """
        for window in own(tree, exp.Window):
            if not _has_key(window.args.get("partition_by") or [], rows):
                reason = "a window function needs rows of several chunks; PARTITION BY the director key would keep it in one"
                raise NotLocalError(reason, window)

    def groups_by_key(self, tree: exp.Select, rows: Spread) -> bool:
        """Whether every group is of one key."""
        group = tree.args.get("group")
        if group is None or any(group.args.get(clause) for clause in ("rollup", "cube", "grouping_sets", "all")):
            return False
        return _has_key(group.expressions, rows)

    def reads_tables(self, tree: exp.Expr) -> bool:
        """Whether a part of the query reads tables of a catalogue, not only the rows of steps."""
        sources = [self.tables.get(table.alias_or_name) for table in tree.find_all(exp.Table)]
        return any(source is not None and source.entry.database for source in sources)

    def of_relation(self, node: exp.Expr) -> Spread:
        """Return how the rows of a table, subquery or function of FROM lie.

        Raises
        ------
        NotLocalError
            They cannot be made, or read, chunk by chunk.
        """
        source = self.tables.get(node.alias_or_name) if isinstance(node, exp.Table) else None
        if source is not None:
            return _of_table(source, node)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not _is_defined_here(node):
            reason = "a recursive query needs its rows together"
            raise NotLocalError(reason, node)
        if not isinstance(node, exp.Subquery):
            return WHOLE  # LATERAL, too: the rows before it say which it has (see `of_rows`)
        if "cte" in node.meta and makes_random_numbers(node):
            reason = "the random numbers of a CTE are taken once"
            raise NotLocalError(reason, node)
        found = self.of_query(node)
        alias = node.alias
        keys, whole, anchored = (
            frozenset((key[0], alias, key[2]) for key in some) for some in (found.keys, found.whole, found.anchored)
        )
        return replace(found, keys=keys, whole=whole, anchored=anchored)

    def _joined(self, select: exp.Select, spreads: Mapping[str, Spread]) -> Spread:
        partitioned = [alias for alias, spread in spreads.items() if spread.partitioned]
        if not partitioned:
            return WHOLE
        families = {spreads[alias].family for alias in partitioned}
        if len(families) > 1:
            reason = f"a join of tables of different families ({', '.join(sorted(families))})"
            raise NotLocalError(reason, select)
        _check_outer(select, spreads)
        groups = same_chunk_groups(select, {alias: spreads[alias] for alias in partitioned})
        tied = tied_keys(select, spreads)
        family = families.pop()
        partners = Partners(select, self.tables, self.overlap_deg.get(family, 0.0))
        for home in groups:
            others = [alias for alias in partitioned if alias not in home]
            if partners.reach(home, others):
                keys = frozenset(key for alias in home for key in spreads[alias].keys)
                kept = set(home) - optional(select)
                whole = frozenset(key for alias in kept for key in spreads[alias].whole) | {key for key in tied if key[1] in kept}
                anchored = frozenset(key for alias in home for key in spreads[alias].anchored) | (tied & keys)
                return Spread(
                    partitioned=True, family=family, keys=keys, whole=whole, anchored=anchored, partners=frozenset(others)
                )
        lonely = next((group[0] for group in groups[1:]), partitioned[-1])
        reason = (
            f"the join of {partitioned[0]} with {lonely} is not chunk-local; join a director with its dependents by the director "
            "key, along a foreign key whose pairs lie within the overlap, or by a distance below the overlap radius"
        )
        raise NotLocalError(reason, next(node for node in relations(select) if node.alias_or_name == lonely))

    def _of_subquery(self, query: exp.Expr, select: exp.Select, rows: Spread, home: list[str]) -> frozenset[str]:
        """Prove that a subquery in an expression needs only rows of the key of the row that it is computed for, or near it.

        Returns the aliases of its tables that must be read with overlap.
        """
        inner = body(query)
        columns = {(key[1], key[2]): key for key in rows.keys}
        if isinstance(inner, exp.SetOperation):
            sides = [side for side in (inner.this, inner.expression) if self.partitioned(side)]
            return frozenset().union(*(self._of_subquery(side, select, rows, home) for side in sides))
        if isinstance(inner, exp.Select) and rows.partitioned:
            near = self._beside(inner, home, rows.family)
            if near:
                return near
            inside = self.of_rows(inner)
            where = inner.args.get("where")
            for left, right in equal_columns(conjuncts(where.this if where else None)):
                outside = columns.get(right)
                if outside and any(key[1:] == left and _meet(key, inside, outside, rows) for key in inside.keys):
                    return inside.partners
            if _is_membership(query, inner, select, inside, rows):
                return inside.partners
        related = free_aliases(query)
        what = "a correlated subquery" if related else "a subquery"
        reason = f"{what} needs rows of several chunks; equating the director's key inside with that outside would keep it in one"
        raise NotLocalError(reason, query)

    def _beside(self, inner: exp.Select, home: list[str], family: str) -> frozenset[str]:
        """Return the tables of a subquery, if all rows that meet its conditions lie within the overlap of the row that asks."""
        if any(self.partitioned(query) for query in expression_queries(inner)):
            return frozenset()
        spreads = {node.alias_or_name: self.of_relation(node) for node in relations(inner) if self.partitioned(node)}
        partners = Partners(inner, self.tables, self.overlap_deg.get(family, 0.0))
        same_family = all(spread.family == family for spread in spreads.values())
        return frozenset(spreads) if same_family and partners.reach(home, list(spreads)) else frozenset()

    def _of_set_operation(self, tree: exp.SetOperation) -> Spread:
        left, right = self.of_query(tree.this), self.of_query(tree.expression)
        if not left.partitioned and not right.partitioned:
            return WHOLE
        name = type(tree).__name__.upper()
        if left.partitioned != right.partitioned or left.family != right.family:
            reason = f"{name} of a partitioned table with one that is not, or is of another family"
            raise NotLocalError(reason, tree)
        right_names = output_names(tree.expression)
        right_keys = {(key[0], right_names.index(key[2])) for key in right.keys}
        right_whole = {(key[0], right_names.index(key[2])) for key in right.whole}
        names = output_names(tree.this)
        keys = frozenset(key for key in left.keys if (key[0], names.index(key[2])) in right_keys)
        whole = frozenset(key for key in left.whole if (key[0], names.index(key[2])) in right_whole)
        right_anchored = {(key[0], right_names.index(key[2])) for key in right.anchored}
        anchored = frozenset(key for key in left.anchored if (key[0], names.index(key[2])) in right_anchored)
        if not whole and (tree.args.get("distinct") or not isinstance(tree, exp.Union)):
            reason = f"{name} compares rows of several chunks"
            raise NotLocalError(reason, tree)
        return replace(left, keys=keys, whole=whole, anchored=anchored, partners=left.partners | right.partners)


def locality_of(query: Query) -> Locality:
    """Return what proves of the parts of a query that they are chunk-local."""
    overlaps: dict[str, float] = {}
    for database in query.catalogue.databases:
        overlaps[database.family] = min(overlaps.get(database.family, database.overlap_deg), database.overlap_deg)
    return Locality(query.tables, overlaps)


def _is_defined_here(table: exp.Table) -> bool:
    """Whether a table is the recursive one that the SELECT around it defines, not one seen from inside of that."""
    select = table.find_ancestor(exp.Select)
    with_ = select.args.get("with_") if select else None
    return with_ is not None and any(node.alias == table.name for node in with_.expressions)


def makes_random_numbers(tree: exp.Expr) -> bool:
    """Whether a query gives other rows each time."""
    return any(call.name.lower() == "random" for call in tree.find_all(exp.Anonymous))


def _of_table(source: Source, node: exp.Expr) -> Spread:
    table = source.entry.table
    if source.entry.is_large:
        reason = f"step {table.name} has too many rows to be sent to every node"
        raise NotLocalError(reason, node)
    if not table.partitioned:
        return WHOLE
    keyed = table.partitioned and table.director_key is not None
    director = f"{source.entry.database}.{table.director or table.name}"
    keys = frozenset({(director, source.alias, table.director_key or "")}) if keyed else frozenset()
    anchored = frozenset() if len(source.entry.orphan_chunks) else keys
    never_null = anchored if keyed and source.entry.is_never_null(table.director_key or "") else frozenset()
    return Spread(partitioned=True, family=source.entry.family, keys=keys, whole=never_null, anchored=anchored)


def _check_outer(select: exp.Select, spreads: Mapping[str, Spread]) -> None:
    """Refuse an outer join that keeps the rows of a relation which every node has, for partners of which each has some."""
    before = relations(select)[0].alias_or_name
    left_partitioned = spreads[before].partitioned
    for join in joins(select):
        added = spreads[join.this.alias_or_name].partitioned
        whole_is_kept = {"LEFT": not left_partitioned and added, "RIGHT": left_partitioned and not added}
        if whole_is_kept.get(join.side, join.side == "FULL" and left_partitioned != added):
            reason = f"a {join.side} JOIN keeps the rows of a replicated table that have no partner in any chunk"
            raise NotLocalError(reason, join)
        left_partitioned = left_partitioned or added


def _has_key(expressions: list[exp.Expr], rows: Spread) -> bool:
    columns = {(key[1], key[2]) for key in rows.whole}
    bare = [part.this if isinstance(part, exp.Alias) else part for part in expressions]
    return any(isinstance(part, exp.Column) and (part.table, part.name) in columns for part in bare)


def _is_membership(query: exp.Expr, inner: exp.Select, select: exp.Select, inside: Spread, rows: Spread) -> bool:
    """Whether it is ``key IN (SELECT key ...)``, or a row that has the key in it, for which a chunk needs its own keys alone.

    As a condition of WHERE, where NULL is as good as FALSE; NOT IN and all else, if neither key is ever NULL.
    """
    member = query.parent
    if not isinstance(member, exp.In):
        return False
    clauses = ("limit", "offset", "group", "having", "distinct")
    if any(inner.args.get(clause) for clause in clauses) or own(inner, exp.AggFunc, exp.Window):
        return False
    where = select.args.get("where")
    is_condition = any(member is condition for condition in conjuncts(where.this if where else None))
    keys, others = (rows.keys, inside.keys) if is_condition else (rows.whole, inside.whole)
    outside = {key[1:]: key for key in keys}
    values = member.this.expressions if isinstance(member.this, exp.Tuple) else [member.this]
    return any(
        isinstance(value, exp.Column)
        and isinstance(item, exp.Column)
        and (key := outside.get((value.table, value.name))) is not None
        and (other := (key[0], item.table, item.name)) in others
        and _meet(other, inside, key, rows)
        for value, item in zip(values, [item.unalias() for item in inner.expressions], strict=False)
    )


def _meet(key: Key, inside: Spread, outside: Key, rows: Spread) -> bool:
    """Whether rows inside and outside of one value of two keys are in one chunk."""
    return key[0] == outside[0] and (key in inside.anchored or outside in rows.anchored)
