"""Rule: what is compared with the elements of an array that a subquery makes is compared with rows, which PostgreSQL hashes.

``x = ANY (A)`` is ``x IN (SELECT v.value FROM UNNEST(COALESCE(A, '{NULL}')) AS v(value))``, NULL where A is. An array that is not a
constant is searched element by element for each row.
"""

from sqlglot import exp

from czar.analyse.nesting import body, free_aliases, parts, unused_aliases
from czar.analyse.query import Query
from czar.analyse.scope import qualified

VALUE = "value"
"""Name of the column of elements."""


def members_of_arrays(query: Query) -> Query:
    """Write ``= ANY`` and ``<> ALL`` of arrays that need nothing from outside, but rows of tables, with IN."""
    if len(query.sources) <= 1:
        return query
    found = [part for part in parts(query.tree) if isinstance(part, exp.EQ | exp.NEQ) and _has_array_of_rows(part)]
    aliases = unused_aliases(query.tree, "elements")
    names: dict[exp.Expr, str] = {}
    for part in found:
        array = part.right.this
        # Two that are written alike may be one value, of which GROUP BY speaks: see `shared_subqueries`.
        alias = names.setdefault(array.copy(), next(aliases))
        rows = exp.Subquery(this=_elements(array, alias))
        place = exp.Paren()
        part.replace(place)
        member = exp.In(this=part.left, query=rows)
        place.set("this", member if isinstance(part, exp.EQ) else exp.Not(this=member))
    return query


def _has_array_of_rows(part: exp.EQ | exp.NEQ) -> bool:
    """Whether it is ``a = ANY (A)`` or ``a <> ALL (A)``, and A is such an array."""
    kind = exp.Any if isinstance(part, exp.EQ) else exp.All
    if not isinstance(part.right, kind) or isinstance(part.left, exp.Tuple):
        return False
    array = part.right.this
    return not isinstance(body(array), exp.Query) and array.find(exp.Table) is not None and not free_aliases(array)


def _elements(array: exp.Expr, alias: str) -> exp.Select:
    """Return a query for the elements of an array, a row each, and for a row of NULL if there is no array."""
    given = exp.Coalesce(this=array, expressions=[exp.Literal.string("{NULL}")])
    columns = [exp.to_identifier(VALUE, quoted=True)]
    unnested = exp.Unnest(expressions=[given], alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True), columns=columns))
    item = exp.Alias(this=qualified(alias, VALUE), alias=exp.to_identifier(VALUE, quoted=True))
    return exp.Select(expressions=[item], from_=exp.From(this=unnested))
