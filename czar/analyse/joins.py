"""Rule: prove that every join finds all its pairs inside one chunk and its overlap, or refuse it.

The tables of FROM are the nodes of a graph. An equality of director keys joins two tables whose matching rows are in the same
chunk (separation 0): director and dependent, two dependents of one director, a director and itself. An equality along a foreign
key between directors joins a row with one at most the overlap radius away, which is proven of the rows at publish
(`TableEntry.local_references`). Tables that hang together by separation 0 and are read without overlap are the *home* tables:
each of their rows is read in exactly one chunk, so each answer row is made once. A partner across a foreign key is read with the
overlap rows of the chunk.
"""

from dataclasses import replace

from sqlglot import exp

from czar.analyse.query import Query, Source, conjuncts
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError
from schema.model import TableRole

Pair = tuple[tuple[str, str], tuple[str, str]]
"""Two (alias, column) that are equal."""


def chunk_local_joins(query: Query) -> Query:
    """Mark the sources that must be read with overlap.

    Raises
    ------
    NotYetSupportedError
        Pairs of a join can lie in different chunks.
    QueryError
        An outer join has no condition.
    """
    partitioned = [source for source in query.sources if source.entry.table.partitioned]
    families = {source.entry.family for source in partitioned}
    if len(families) > 1:
        msg = f"not yet supported: a join of tables of different families ({', '.join(sorted(families))})"
        stranger = next(source for source in partitioned if source.entry.family != partitioned[0].entry.family)
        raise NotYetSupportedError(msg, _join_place(query, stranger))
    _check_outer(query)
    if len(partitioned) <= 1:
        return query
    groups = _same_chunk_groups(query, partitioned)
    for group in groups:
        partners = _partners(query, group, [source for source in partitioned if source not in group])
        if partners is not None:
            sources = tuple(replace(s, overlap=True) if s in partners else s for s in query.sources)
            return replace(query, sources=sources)
    lonely = next((group[0] for group in groups[1:]), partitioned[-1])
    msg = (
        f"not yet supported: the join of {partitioned[0].alias} with {lonely.alias} is not chunk-local; join a director with its "
        "dependents by the director key, or along a foreign key whose pairs lie within the overlap"
    )
    raise NotYetSupportedError(msg, _join_place(query, lonely))


def _join_place(query: Query, source: Source) -> Place | None:
    joins = query.tree.args.get("joins") or []
    index = query.sources.index(source)
    return place_of(joins[index - 1].this, query.text) if index and joins else None


def _check_outer(query: Query) -> None:
    for join, source in zip(query.tree.args.get("joins") or [], query.sources[1:], strict=True):
        if not source.outer:
            continue
        if not join.args.get("on"):
            msg = f"LEFT JOIN {source.alias} needs ON or USING"
            raise QueryError(msg, place_of(join, query.text))
        before = query.sources[: query.sources.index(source)]
        if source.entry.table.partitioned and not any(left.entry.table.partitioned and not left.outer for left in before):
            msg = f"not yet supported: LEFT JOIN of {source.alias} to a replicated table"
            raise NotYetSupportedError(msg, place_of(join, query.text))


def _equalities(query: Query, *, usable_by: Source | None = None) -> set[Pair]:
    """Return the pairs of (alias, column) that are equal in every joined row.

    The ON of an outer join counts only for the source that it joins.
    """
    where = query.tree.args.get("where")
    conditions = conjuncts(where.this if where else None)
    for join, source in zip(query.tree.args.get("joins") or [], query.sources[1:], strict=True):
        if not source.outer or source is usable_by:
            conditions += conjuncts(join.args.get("on"))
    pairs: set[Pair] = set()
    for condition in conditions:
        if isinstance(condition, exp.EQ) and isinstance(condition.left, exp.Column) and isinstance(condition.right, exp.Column):
            left, right = ((side.table, side.name) for side in (condition.left, condition.right))
            pairs |= {(left, right), (right, left)}
    return pairs


def _director_key(source: Source) -> tuple[str, str] | None:
    """Return the director table, and the column that holds its key in this source."""
    table = source.entry.table
    if table.role not in {TableRole.DIRECTOR, TableRole.DEPENDENT} or table.director_key is None:
        return None
    return f"{source.entry.database}.{table.director or table.name}", table.director_key


def _same_chunk_groups(query: Query, sources: list[Source]) -> list[list[Source]]:
    """Group the sources by equality of the key of one director."""
    groups: list[list[Source]] = [[source] for source in sources]
    for second in sources:
        pairs = _equalities(query, usable_by=second)
        for first in sources:
            left, right = _director_key(first), _director_key(second)
            if first is second or left is None or right is None or left[0] != right[0]:
                continue
            if ((first.alias, left[1]), (second.alias, right[1])) in pairs:
                one = next(group for group in groups if first in group)
                other = next(group for group in groups if second in group)
                if one is not other:
                    groups.remove(other)
                    one += other
    return groups


def _partners(query: Query, home: list[Source], others: list[Source]) -> list[Source] | None:
    """Return the other sources if each is the target of a proven foreign key of a home table, else None."""
    for other in others:
        pairs = _equalities(query, usable_by=other)
        if other.entry.table.role is not TableRole.DIRECTOR or not any(_refers(source, other, pairs) for source in home):
            return None
        if any(source.outer for source in home):
            return None
    return others


def _refers(source: Source, target: Source, pairs: set[Pair]) -> bool:
    if source.entry.database != target.entry.database:
        return False
    return any(
        key.target_table == target.entry.table.name
        and key.name in source.entry.local_references
        and all(
            ((source.alias, column), (target.alias, target_column)) in pairs
            for column, target_column in zip(key.columns, key.target_columns, strict=True)
        )
        for key in source.entry.table.foreign_keys
    )
