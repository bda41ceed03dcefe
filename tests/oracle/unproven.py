"""Each proof and rule of the engine, replaced by one that proves nothing: what is left answers some query wrongly.

``UNPROVEN`` says by name what is replaced: owner, name, and what stands in its place, which is given what was there before.
"""

import contextlib
import dataclasses
import math

import pytest
from sqlglot import exp

import czar.analyse
import czar.planning
import czar.session
from czar.analyse import compared_rows, inner_conditions, locality, nearest, spreads
from czar.analyse import query as queries
from czar.analyse.functions import called
from czar.analyse.kinds import Kind
from czar.analyse.locality import Locality
from czar.analyse.necessity import Needed
from czar.analyse.nesting import conjuncts, joins, selects
from czar.analyse.query import Block
from czar.analyse.separations import Partners
from czar.analyse.spreads import Spread
from czar.plan import aggregates, build, grouped, neighbours, scan, select
from czar.plan.numbers import Numbers
from czar.plan.select import Window
from czar.steps import folding, groups, leaves
from schema.model import TableRole


@contextlib.contextmanager
def without(name):
    """Leave a proof or a rule out."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, attribute, made in UNPROVEN[name]:
            patch.setattr(owner, attribute, made(getattr(owner, attribute)))
        yield


def always(value):
    """Let a function return a value, whatever it is asked."""
    return lambda _: lambda *_, **__: value


def with_change(change):
    """Let a function be given other arguments."""
    return lambda before: lambda *given: before(*change(*given))


def _joined(_locality, _select, spreads):
    partitioned = [spread for spread in spreads.values() if spread.partitioned]
    if not partitioned:
        return locality.WHOLE
    keys = frozenset(key for spread in partitioned for key in spread.keys)
    return Spread(partitioned=True, family=partitioned[0].family, keys=keys, whole=keys, anchored=keys)


def _all_keys(_select, relations):
    return frozenset(key for spread in relations.values() for key in spread.keys)


def _of_set_operation(proof, tree):
    left, right = proof.of_query(tree.this), proof.of_query(tree.expression)
    return left if left.partitioned else right


def _unless_lateral(before):
    return lambda proof, tree, *given: frozenset() if isinstance(tree.parent, exp.Lateral) else before(proof, tree, *given)


def _without_limit(proof, tree):
    tree = tree.copy()
    inner = locality.body(tree)
    inner.set("limit", None)
    inner.set("offset", None)
    return proof, tree


def _without_cte(proof, node):
    node.meta.pop("cte", None)
    return proof, node


def _as_one_family(proof, tree, spreads):
    family = next((spread.family for spread in spreads.values() if spread.partitioned), "")
    return proof, tree, {alias: dataclasses.replace(spread, family=family) for alias, spread in spreads.items()}


def _all_conditions(tree, _alias):
    where = tree.args.get("where")
    return conjuncts(where.this if where else None) + [part for join in joins(tree) for part in conjuncts(join.args.get("on"))]


def _all_restrictions(block):
    return _all_conditions(block.select, "")


def _with_pairs_of_overlap(query, rows):
    pairs = {source.alias for source in query.sources if source.entry.table.role is TableRole.REF_MATCH}
    return query, dataclasses.replace(rows, partners=rows.partners | pairs)


def _without_exact_tests(find_regions):
    def rule(query):
        query = find_regions(query)
        for part in list(query.tree.find_all(exp.Dot)):
            if (called(part) or ("",))[0] in {"in_circle", "in_lonlat_box", "in_ellipse", "in_polygon"}:
                part.replace(exp.true())
        return query

    return rule


def _with_rule(name, change):
    """Replace one of the rules of pruning."""
    return lambda rules: tuple(change(rule) if rule.__name__ == name else rule for rule in rules)


def _without_outer(rule):
    def changed(query):
        return rule(dataclasses.replace(query, sources=tuple(dataclasses.replace(each, outer=False) for each in query.sources)))

    return changed


def _without_nulls(terms):
    parts = [f"{name} {'DESC' if term.args.get('desc') else 'ASC'}" for name, term in terms]
    return f" ORDER BY {', '.join(parts)}" if parts else ""


def _in_double(argument, name, _numbers):
    return ((name, exp.Sum(this=aggregates.widened(argument.copy()))),), f"SUM({name})"


UNPROVEN = {
    "joins": [(Locality, "_joined", lambda _: _joined)],
    "subqueries": [(Locality, "_of_subquery", always(frozenset()))],
    "groups_inside": [(Locality, "keeps_keys_together", always(None))],
    "windows": [(Locality, "keeps_windows_together", always(None))],
    "groups_by_key": [(Locality, "groups_by_key", always(value=True))],
    "rows_of_replicated_tables": [(locality, "_check_outer", always(None))],
    "set_operations": [(Locality, "_of_set_operation", lambda _: _of_set_operation)],
    "limits_inside": [(Locality, "of_query", with_change(_without_limit))],
    "recursion": [
        (Locality, "reads_tables", lambda before: lambda proof, tree: not isinstance(tree, exp.With) and before(proof, tree)),
        (locality, "_is_defined_here", always(value=True)),
    ],
    "lateral": [(Locality, "_of_subquery", _unless_lateral)],
    "random_numbers_of_a_cte": [(Locality, "of_relation", with_change(_without_cte))],
    "families": [(Locality, "_joined", with_change(_as_one_family))],
    "keys_of_optional_rows": [(locality, "optional", always(frozenset()))],
    "conditions_of_outer_joins": [(spreads, "conditions_for", lambda _: _all_conditions)],
    "membership": [(locality, "_is_membership", lambda _: lambda query, *_: isinstance(query.parent, exp.In))],
    "keys_tied_to_a_director": [(spreads, "tied_keys", lambda _: _all_keys)],
    "keys_of_orphans_inside": [(locality, "_meet", lambda _: lambda key, _inside, outside, _rows: key[0] == outside[0])],
    "groups_of_orphans": [(locality, "tied_keys", lambda _: _all_keys)],
    "overlap_radius": [(locality, "Partners", with_change(lambda tree, tables, _: (tree, tables, math.inf)))],
    "distance_from_directors": [(Partners, "_beyond", always(0.0))],
    "positions": [(Partners, "_is_position", lambda _: lambda partners, point: point[0] in partners.tables)],
    "pairs_once": [(czar.planning, "pruned", with_change(_with_pairs_of_overlap))],
    "shape": [(build, "check_shape", always(None)), (czar.planning, "check_shape", always(None))],
    "decomposable": [(build, "check_decomposable", always(None))],
    "numeric_apart": [(Numbers, "may_be_numeric", always(value=False))],
    "numeric_partials": [(grouped, "_merges_numeric", always(value=False))],
    "subqueries_of_groups": [(grouped, "is_of_row", always(value=True))],
    "counted_keys": [(grouped, "_counts_keys", lambda _: lambda call, _: isinstance(call, exp.Count))],
    "counts_that_add_up": [(grouped, "_add_up", always(value=True))],
    "nulls_in_order": [(module, "ordering_sql", lambda _: _without_nulls) for module in (scan, grouped)],
    "offset_in_chunks": [(Window, "reach", lambda _: property(lambda window: window.limit))],
    "order_in_chunks": [(scan, "_by_name", always(exp.Ordered(this=exp.cast(exp.null(), exp.DType.INT))))],
    "widened_reals": [(aggregates, "widened", lambda _: lambda argument: argument)],
    "summands": [(select, "summand", lambda _: lambda argument: argument)],
    "exact_sums": [(aggregates, "_total", lambda _: _in_double)],
    "digits_of_steps": [(Numbers, "carried", always(()))],
    "exact_tests": [(czar.analyse, "PRUNING", _with_rule("find_regions", _without_exact_tests))],
    "necessary_rows": [(queries, "needed_of", lambda _: lambda tree: Needed(frozenset(map(id, selects(tree)))))],
    "restrictions_of_outer_joins": [(Block, "restrictions", lambda _: _all_restrictions)],
    "optional_rows_in_statistics": [(czar.analyse, "PRUNING", _with_rule("prune_by_statistics", _without_outer))],
    "conditions_below_outer_joins": [(inner_conditions, "optional", always(frozenset()))],
    "rows_that_stay_the_same": [(inner_conditions, "_passes", always(value=True))],
    "rows_of_their_own": [(inner_conditions, "_is_alone", always(value=True))],
    "duplicates": [(leaves, "_ignores_duplicates", always(value=True))],
    "rows_of_members": [(leaves, "_is_membership", always(value=True))],
    "groups_compared_alike": [(groups, "_are_alike", always(value=True))],
    "groups_that_nobody_asks_for": [(groups, "cannot_fail", always(value=True))],
    "counts_without_rows": [(groups, "ZERO_WITHOUT_ROWS", lambda _: ())],
    "equal_values_that_differ": [(groups, "SAME_WHERE_EQUAL", lambda _: frozenset(Kind))],
    "clauses_of_one_row": [(groups, "_without_rows", lambda _: lambda tree: exp.Select(expressions=tree.copy().expressions))],
    "steps_as_they_are": [(folding, "_shows_the_step", always(value=True))],
    "types_without_extremes": [(compared_rows, "WITHOUT_EXTREMES", lambda _: frozenset())],
    "one_moment": [(czar.session, "at_moment", lambda _: lambda tree, _: tree)],
    "rows_that_are_not_their_own_neighbours": [(nearest, "_tells_apart", always(value=True))],
    "neighbours_in_the_overlap": [(nearest, "_is_measured", always(value=True))],
    "neighbours_that_are_counted": [(nearest, "is_grouped", always(value=False))],
    "width_of_circles": [(neighbours, "WIDENING", lambda widening: widening / 2)],
}
