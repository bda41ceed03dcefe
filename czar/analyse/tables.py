"""Rule: every table of FROM is a published one, and has an alias of its own."""

from dataclasses import replace

import numpy as np
from sqlglot import exp

from czar.analyse.query import Query, Source
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError


def resolve_tables(query: Query) -> Query:
    """Resolve FROM to sources, in the order of the text.

    Raises
    ------
    UnknownNameError
        No published table has the name.
    NotYetSupportedError
        FROM holds something else than tables, or a join that is neither inner nor LEFT.
    """
    from_ = query.tree.args.get("from_")
    if from_ is None:
        msg = "not yet supported: SELECT without FROM"
        raise NotYetSupportedError(msg, Place(1, 1))
    joins = query.tree.args.get("joins") or []
    sources = [_source(query, from_.this, outer=False)]
    for join in joins:
        if join.side not in {"", "LEFT"} or join.kind not in {"", "INNER", "OUTER", "CROSS"} or join.method:
            name = " ".join(part for part in (join.method, join.side, join.kind, "JOIN") if part)
            msg = f"not yet supported: {name}; write INNER or LEFT JOIN ... ON"
            raise NotYetSupportedError(msg, place_of(join, query.text))
        sources.append(_source(query, join.this, outer=join.side == "LEFT"))
    seen: set[str] = set()
    for source in sources:
        if source.alias.lower() in seen:
            msg = f"two tables of FROM are called {source.alias}; give one of them an alias"
            raise QueryError(msg)
        seen.add(source.alias.lower())
    present = [source.entry for source in sources if source.entry.table.partitioned]
    chunks = np.unique(np.concatenate([entry.chunks for entry in present])) if present else query.chunks
    return replace(query, sources=tuple(sources), chunks=chunks)


def _source(query: Query, node: exp.Expr, *, outer: bool) -> Source:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        msg = "not yet supported: a subquery or function in FROM"
        raise NotYetSupportedError(msg, place_of(node, query.text))
    place = place_of(node, query.text)
    if node.args.get("joins") or node.args.get("sample") or node.args.get("pivots"):
        msg = "not yet supported: joins in parentheses, TABLESAMPLE and PIVOT"
        raise NotYetSupportedError(msg, place)
    if node.args.get("catalog"):
        msg = f"a table is named database.table; {node.sql('postgres')} has three parts"
        raise QueryError(msg, place)
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        msg = "not yet supported: column names in a table alias"
        raise NotYetSupportedError(msg, place)
    entry = query.catalogue.find(node.db or None, node.name, quoted=bool(node.this.args.get("quoted")), place=place)
    return Source(node.alias or entry.table.name, entry, outer=outer)
