"""Syntax tree -> what the planner must know: one rule a file, in the order of `RULES`. Pure: no database is asked."""

from collections.abc import Callable

from sqlglot import exp

from czar.analyse.columns import resolve_columns
from czar.analyse.functions import known_functions
from czar.analyse.geometry import lower_geometry
from czar.analyse.joins import chunk_local_joins
from czar.analyse.keys import find_keys
from czar.analyse.query import Query
from czar.analyse.regions import find_regions
from czar.analyse.statistics import prune_by_statistics
from czar.analyse.supported import supported
from czar.analyse.tables import resolve_tables
from czar.catalogue import Catalogue

__all__ = ["RULES", "Query", "analyse"]

RULES: tuple[Callable[[Query], Query], ...] = (
    supported,
    resolve_tables,
    resolve_columns,
    known_functions,
    lower_geometry,
    chunk_local_joins,
    find_regions,
    find_keys,
    prune_by_statistics,
)


def analyse(tree: exp.Select, catalogue: Catalogue, text: str = "") -> Query:
    """Apply the rules to a parsed query; ``text`` is what it was parsed from, for the places in messages."""
    query = Query(text=text, tree=tree.copy(), catalogue=catalogue)
    for rule in RULES:
        query = rule(query)
    return query
