"""The chunks of a UNION: those of its sides."""

import functools

import numpy as np

from czar.analyse.query import KeyRestriction, Query


def one_of(query: Query, sides: list[Query]) -> Query:
    """Keep the chunks in which one of some queries can have rows; each of them is a restriction of the query."""
    if not sides:
        return query
    chunks = functools.reduce(np.union1d, (side.chunks for side in sides))
    if len(chunks) < len(query.chunks):
        query = query.narrowed(chunks, "the sides of UNION", min(side.access for side in sides))
    return query.with_keys(_keys_of_one(sides))


def _keys_of_one(sides: list[Query]) -> tuple[KeyRestriction, ...]:
    """Return the keys of one director that each side is restricted to, together."""
    found = [{(each.database, each.director): each for each in side.keys} for side in sides]
    common = [director for director in found[0] if all(director in other for other in found)]
    return tuple(
        KeyRestriction(
            *director,
            tuple({key for side in found for key in side[director].keys}),
            functools.reduce(np.union1d, (side[director].orphan_chunks for side in found)),
        )
        for director in common
    )
