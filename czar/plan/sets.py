"""GROUP BY as sets of expressions: one for a plain one, several for GROUPING SETS, ROLLUP and CUBE."""

import itertools
from collections.abc import Iterable
from typing import Final

from sqlglot import exp

MOST_SETS: Final = 64
"""Beyond so many sets the rows come together, and PostgreSQL groups them: DuckDB reads the partial rows once for each."""

Group = list[exp.Expr]


def grouping_sets(tree: exp.Select) -> list[Group]:
    """Return the sets of expressions that a SELECT groups by; ``[[]]`` where all rows are one group.

    A constant is left out beside other expressions, and is `one_group` alone: other than without GROUP BY, no rows make no group.
    """
    group = tree.args.get("group")
    if group is None:
        return [[]]
    terms = group.expressions
    if any(not _is_extension(term) and not is_constant(term) for term in terms):
        terms = [term for term in terms if not is_constant(term)]
    parts = [[[one_group()]] if is_constant(term) else _sets(term) for term in terms]
    found = [
        _different(itertools.chain.from_iterable(choice)) for choice in itertools.islice(itertools.product(*parts), MOST_SETS + 1)
    ]
    if group.args.get("all") is not False:
        return found
    # GROUP BY DISTINCT: sets of the same expressions count once.
    return [one for place, one in enumerate(found) if not any(set(one) == set(other) for other in found[:place])]


def extends_groups(tree: exp.Select) -> bool:
    """Whether GROUP BY has GROUPING SETS, ROLLUP or CUBE."""
    group = tree.args.get("group")
    return group is not None and any(map(_is_extension, group.expressions))


def all_keys(sets: Iterable[Group]) -> Group:
    """Return the different expressions of all sets."""
    return _different(itertools.chain.from_iterable(sets))


def is_constant(key: exp.Expr) -> bool:
    """Whether a term of GROUP BY has one value in all rows."""
    return not isinstance(key, exp.Tuple) and not _is_extension(key) and key.find(exp.Column, exp.Query) is None


def spelled_out(group: exp.Group) -> None:
    """Let the constants that stand for an output column be no positions for PostgreSQL, in place."""
    for part in group.expressions:
        if isinstance(part, exp.Literal | exp.Null | exp.Boolean | exp.Neg | exp.Paren) and is_constant(part):
            part.replace(one_group())


def one_group() -> exp.Expr:
    """Return an expression that has one value, and that PostgreSQL does not take for a position."""
    return exp.Paren(this=exp.EQ(this=exp.Literal.number(1), expression=exp.Literal.number(1)))


def _sets(part: exp.Expr) -> list[Group]:
    match part:
        case exp.Rollup():
            terms = [_plain(each) for each in part.expressions]
            return [[*itertools.chain.from_iterable(terms[:count])] for count in range(len(terms), -1, -1)]
        case exp.Cube():
            # More columns than these make too many sets, which is all that is asked of them.
            choices = itertools.product(*([_plain(each), []] for each in part.expressions[: MOST_SETS.bit_length()]))
            return [[*itertools.chain.from_iterable(choice)] for choice in choices]
        case exp.GroupingSets():
            return [one for each in part.expressions for one in _sets(each)]
        case _:
            return [_plain(part)]


def _is_extension(part: exp.Expr) -> bool:
    return isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets)


def _plain(part: exp.Expr) -> Group:
    """Return the expressions of one term: several in parentheses."""
    return [each for inner in part.expressions for each in _plain(inner)] if isinstance(part, exp.Tuple) else [part.unnest()]


def _different(keys: Iterable[exp.Expr]) -> Group:
    return list(dict.fromkeys(keys))
