"""Syntax tree -> what the planner must know: one rule a file, in the order of `NAMING` and `PRUNING`. Pure."""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from czar.analyse.array_values import members_of_arrays
from czar.analyse.compared_rows import extremes
from czar.analyse.dependent_columns import dependent_columns
from czar.analyse.exists_of_unions import exists_of_unions
from czar.analyse.functions import known_functions
from czar.analyse.geometry import lower_geometry
from czar.analyse.inner_conditions import sink_conditions
from czar.analyse.keys import find_keys
from czar.analyse.listed_numbers import listed_numbers
from czar.analyse.locality import NotLocalError, locality_of
from czar.analyse.nearest import rows_of_one_group, rows_with_neighbours
from czar.analyse.necessity import branches
from czar.analyse.plain_forms import plain_forms
from czar.analyse.plain_items import plain_items
from czar.analyse.query import Access, Query
from czar.analyse.radii_of_rows import radii_of_rows
from czar.analyse.regions import find_regions
from czar.analyse.resolve import as_select, resolve
from czar.analyse.sampling import sampled
from czar.analyse.spreads import Spread
from czar.analyse.statistics import prune_by_statistics
from czar.analyse.supported import supported
from czar.analyse.unions import one_of
from czar.catalogue import Catalogue

__all__ = ["NAMING", "PRUNING", "NotLocalError", "Query", "analyse", "locality_of", "named", "pruned"]

Rule = Callable[[Query], Query]

NAMING: tuple[Rule, ...] = (
    *(sampled, supported, plain_forms, resolve, plain_items, dependent_columns, known_functions, lower_geometry),
    *(radii_of_rows, extremes, members_of_arrays, sink_conditions, exists_of_unions),
)
"""What makes every part of a query, and of the queries in it, mean one thing."""

PRUNING: tuple[Rule, ...] = (listed_numbers, rows_with_neighbours, find_regions, find_keys, prune_by_statistics, rows_of_one_group)
"""What finds the chunks that can hold matching rows, and those rows themselves."""


def named(tree: exp.Expr, catalogue: Catalogue, text: str = "") -> Query:
    """Give every name of a parsed query its meaning; ``text`` is what it was parsed from, for the places in messages.

    The tree is changed.
    """
    query = Query(text=text, tree=as_select(tree), catalogue=catalogue)
    for rule in NAMING:
        query = rule(query)
    return query


def pruned(query: Query, rows: Spread) -> Query:
    """Find the chunks that can hold rows of a query, and what must be read with overlap; ``rows`` is what proves it chunk-local."""
    if rows.partners:
        query = replace(query, sources=tuple(replace(each, overlap=each.alias in rows.partners) for each in query.sources))
    return _restricted(query)


def _restricted(query: Query) -> Query:
    """Find the chunks of a query whose sources are read as they must be."""
    for rule in PRUNING:
        query = rule(query)
    for union in query.unions:
        query = one_of(
            query, [_restricted(replace(query, tree=side, keys=(), notes=(), access=Access.SCAN)) for side in branches(union)]
        )
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
