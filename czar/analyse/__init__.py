"""Syntax tree -> what the planner must know: one rule a file, in the order of `NAMING` and `PRUNING`. Pure."""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from czar.analyse.dependent_columns import dependent_columns
from czar.analyse.functions import known_functions
from czar.analyse.geometry import lower_geometry
from czar.analyse.keys import find_keys
from czar.analyse.locality import Locality, NotLocalError, Spread
from czar.analyse.plain_forms import plain_forms
from czar.analyse.query import Query
from czar.analyse.regions import find_regions
from czar.analyse.resolve import as_select, resolve
from czar.analyse.sampling import sampled
from czar.analyse.statistics import prune_by_statistics
from czar.analyse.supported import supported
from czar.catalogue import Catalogue

__all__ = ["NAMING", "PRUNING", "NotLocalError", "Query", "analyse", "locality_of", "named", "pruned"]

Rule = Callable[[Query], Query]

NAMING: tuple[Rule, ...] = (sampled, supported, plain_forms, resolve, dependent_columns, known_functions, lower_geometry)
"""What makes every part of a query, and of the queries in it, mean one thing."""

PRUNING: tuple[Rule, ...] = (find_regions, find_keys, prune_by_statistics)
"""What finds the chunks that can hold matching rows."""


def named(tree: exp.Expr, catalogue: Catalogue, text: str = "") -> Query:
    """Give every name of a parsed query its meaning; ``text`` is what it was parsed from, for the places in messages.

    The tree is changed.
    """
    query = Query(text=text, tree=as_select(tree), catalogue=catalogue)
    for rule in NAMING:
        query = rule(query)
    return query


def locality_of(query: Query) -> Locality:
    """Return what proves of the parts of a query that they are chunk-local."""
    overlaps: dict[str, float] = {}
    for database in query.catalogue.databases:
        overlaps[database.family] = min(overlaps.get(database.family, database.overlap_deg), database.overlap_deg)
    return Locality(query.tables, overlaps)


def pruned(query: Query, rows: Spread) -> Query:
    """Find the chunks that can hold rows of a query, and what must be read with overlap; ``rows`` is what proves it chunk-local."""
    if rows.partners:
        query = replace(query, sources=tuple(replace(each, overlap=each.alias in rows.partners) for each in query.sources))
    for rule in PRUNING:
        query = rule(query)
    return query


def analyse(tree: exp.Expr, catalogue: Catalogue, text: str = "") -> tuple[Query, Spread]:
    """Analyse a query whose rows are made chunk by chunk; return it and the proof.

    Raises
    ------
    NotLocalError
        It is not: it must be answered in steps.
    """
    query = named(tree, catalogue, text)
    rows = locality_of(query).of_rows(query.tree)
    return pruned(query, rows), rows
