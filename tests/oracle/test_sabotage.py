"""Each part of the engine that keeps answers right is needed: without it, a named query of the corpus is answered wrongly."""

import contextlib

import pytest

import czar.analyse
import czar.steps.cut
from qserv.errors import NotYetSupportedError, QservError
from tests.oracle import sabotage, unproven
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries

CORPUS = read_entries("corpus")

CATALOGUES = {
    sabotage.without_overlap: [
        "directors/mates",
        "directors/mates_grouped",
        "matches/both_ends",
        "matches/references_without_match",
        "neighbours/cross_match",
        "neighbours/nearest_only",
        "neighbours/points_at_the_pole",
        "near_dependents/among_themselves",
        "near_dependents/of_directors",
    ],
    sabotage.without_margin_of_dependents: [
        "dependents/far_marks_in_small_circles",
        "dependents/far_marks_at_pole",
    ],
    sabotage.with_orphans_forgotten: [
        "orphans/key_all_over_the_sky",
        "orphans/keys_known_and_unknown",
        "orphans/key_of_one_side_of_a_union",
        "orphans/keys_of_a_list",
        "orphans/keys_counted",
    ],
    sabotage.without_margin_of_partners: ["directors/mates_of_points_beside_corners"],
    sabotage.with_neighbours_of_any_distance: ["neighbours/objects_in_order", "neighbours/isolated"],
    sabotage.with_shrunk_regions: ["cones/hemisphere", "boxes/areaspec_over_ra_zero", "polygons/areaspec"],
    sabotage.with_narrow_maxima: ["statistics/faintest", "statistics/big_largest"],
    sabotage.with_narrow_minima: ["statistics/brightest"],
    sabotage.with_nan_forgotten: ["statistics/nan_is_above_all"],
    sabotage.with_nulls_forgotten: ["statistics/is_null"],
    sabotage.without_unplaced_rows: [
        "statistics/position_is_null",
        "edges/null_positions_with_dependents",
        "ordering/whole_small_table",
    ],
}

PARTNERS = ["directors/mates", "directors/mates_counted", "neighbours/points_without_another_near"]

RULES = {
    "sampled": ["shapes/sample_of_all_rows"],
    "plain_forms": ["windows/named_twice", "shapes/between_symmetric"],
    "resolve": ["aggregates/count_where"],
    "dependent_columns": ["groups/by_primary_key"],
    "known_functions": ["expressions/round_to_digits"],
    "lower_geometry": ["cones/pleiades"],
}

LEAVING_CHUNKS_OUT = {
    "radii_of_rows": ["radii_of_rows/around_a_point"],
    "sink_conditions": ["inner_conditions/key", "inner_conditions/region_of_a_union"],
    "find_regions": ["cones/pleiades", "boxes/areaspec"],
    "find_keys": ["keys/one", "keys/list"],
    "listed_numbers": ["keys/or", "keys/many_of_an_array"],
    "prune_by_statistics": [
        "statistics/brightest",
        "statistics/faintest",
        "statistics/time_ends",
        "statistics/boolean",
        "statistics/boolean_is_false",
    ],
}
"""Rules without which an answer is right, but more chunks are asked for it."""

PROOFS = {
    "joins": ["directors/mates_alone", "joins/on_inequality"],
    "subqueries": ["subqueries/in_another_column", "subqueries/null_in_a_subquery"],
    "groups_inside": ["ctes/materialized", "ctes/ordered_outside"],
    "windows": ["windows/row_number_over_all", "windows/rank_in_a_group"],
    "groups_by_key": ["aggregates/count_column", "aggregates/sum_avg"],
    "rows_of_replicated_tables": ["joins/full_counted", "joins/visits_without_sources"],
    "set_operations": ["sets/union", "sets/union_keeps_nulls_once"],
    "limits_inside": ["ctes/limited", "subqueries/derived_limited"],
    "recursion": ["ctes/recursive_parents"],
    "lateral": ["neighbours/nearest_only_lateral", "shapes/lateral_of_another_column"],
    "random_numbers_of_a_cte": ["ctes/random_numbers_are_taken_once"],
    "families": ["neighbours/stars_near_grains"],
    "keys_of_optional_rows": ["groups/by_key_of_optional_rows"],
    "conditions_of_outer_joins": ["joins/keys_equated_by_another_outer_join"],
    "membership": ["subqueries/not_in_with_null_left_out", "subqueries/in_aggregated"],
    "keys_tied_to_a_director": ["orphans/left_of_two", "orphans/right_to_director_and_another", "orphans/full_of_two"],
    "keys_of_orphans_inside": [
        "orphans/in_another_dependent",
        "orphans/correlated_count",
    ],
    "groups_of_orphans": ["orphans/grouped_by_key", "orphans/keys_counted", "orphans/window_by_key"],
    "overlap_radius": ["neighbours/beyond_the_overlap", "neighbours/points_and_mates_beyond_the_overlap"],
    "distance_from_directors": ["neighbours/marks_near_mates"],
    "positions": ["neighbours/by_another_column"],
    "pairs_once": ["matches/pairs", "matches/pairs_grouped"],
    "numeric_apart": ["traps/numeric_beyond_38_digits_merged"],
    "numeric_partials": ["traps/numeric_beyond_38_digits_merged"],
    "shape": ["shapes/fetch_with_ties"],
    "decomposable": ["aggregates_in_steps/percentile"],
    "subqueries_of_groups": ["groups/with_a_value_of_a_replicated_table"],
    "counted_keys": ["aggregates_in_steps/count_distinct", "gathered/count_distinct"],
    "counts_that_add_up": ["distinct/count_keys_and_other_values", "distinct/count_keys_by_rollup"],
    "nulls_in_order": ["ordering/null_first_when_descending", "groups/ordered_null_first"],
    "offset_in_chunks": ["ordering/offset_first", "ordering/nearly_all_rows"],
    "order_in_chunks": ["ordering/brightest"],
    "widened_reals": ["traps/sum_of_real_is_in_double_precision"],
    "summands": ["traps/sum_of_real_in_a_step"],
    "exact_sums": ["aggregates/sum_of_bigint_above_53_bits"],
    "digits_of_steps": ["aggregates_in_steps/digits_of_sums_in_steps"],
    "exact_tests": ["boxes/areaspec", "boxes/areaspec_over_ra_zero"],
    "necessary_rows": ["joins/full_with_conditions", "sets/union_all"],
    "restrictions_of_outer_joins": ["dependents/left_with_region_in_on", "dependents/left_with_key_in_on"],
    "optional_rows_in_statistics": ["dependents/left_without_partner", "matches/objects_without_match"],
    "conditions_below_outer_joins": ["joins/visits_without_sources", "joins/points_without_mates"],
    "rows_that_stay_the_same": ["inner_conditions/below_offset", "inner_conditions/windows_by_another_column"],
    "rows_of_their_own": ["inner_conditions/random_of_a_table_used_twice"],
    "duplicates": ["aggregates_in_steps/mode"],
    "rows_of_members": ["joins/product_of_directors"],
    "groups_compared_alike": ["correlated_groups/key_of_bigint_compared_as_double"],
    "groups_that_nobody_asks_for": ["correlated_groups/division_that_fails_in_another_group"],
    "counts_without_rows": ["correlated_groups/count_of_no_rows"],
    "equal_values_that_differ": ["correlated_groups/grouped_by_texts_of_zeros"],
    "clauses_of_one_row": [
        "correlated_groups/grouped_without_rows",
        "correlated_groups/having_that_is_null",
        "correlated_groups/limited_inside",
    ],
    "steps_as_they_are": ["correlated_groups/column_of_the_query_outside"],
    "types_without_extremes": ["compared_with_rows/booleans"],
    "one_moment": ["values/now_is_one_time"],
    "rows_that_are_not_their_own_neighbours": ["neighbours/arcsec_with_themselves"],
    "neighbours_in_the_overlap": ["neighbours/arcsec_of_partners"],
    "neighbours_that_are_counted": ["neighbours/arcsec_if_counted"],
    "width_of_circles": ["neighbours/objects_in_order", "neighbours/at_the_overlap"],
}


def answered_rightly(loaded, session, entry):
    oracle = ask_plain(loaded.plain, entry.oracle or entry.query)
    try:
        answer, batches = loaded.ask(entry.statement, session=session)
    except QservError:
        return False
    return not differences(answer, batches, oracle)


@contextlib.contextmanager
def sabotaged(loaded, *, change=None):
    session = loaded.open(sabotage.SabotagedSession)
    session.change = change or session.change
    try:
        yield session
    finally:
        loaded.runner.run(session.close())


def _pairs(table):
    return [pytest.param(key, name, id=f"{getattr(key, '__name__', key)}-{name}") for key, names in table.items() for name in names]


def test_a_session_without_sabotage_is_right(loaded):
    with sabotaged(loaded) as session:
        assert answered_rightly(loaded, session, CORPUS["directors/mates"])


@pytest.mark.parametrize(("change", "name"), _pairs(CATALOGUES))
def test_catalogue_is_needed(change, name, loaded):
    if CORPUS[name].needs_bigsky and not loaded.has_bigsky:
        pytest.skip("shared/data/stars/bigsky_mag11.parquet is not there")
    with sabotaged(loaded, change=change) as session:
        assert not answered_rightly(loaded, session, CORPUS[name])


@pytest.mark.parametrize(("left_out", "name"), _pairs(RULES))
def test_rule_is_needed(left_out, name, loaded):
    with sabotage.without_rule(left_out):
        assert not answered_rightly(loaded, loaded.session, CORPUS[name])


@pytest.mark.parametrize("name", PARTNERS)
def test_overlap_is_needed(name, loaded):
    with sabotage.without_partners():
        assert not answered_rightly(loaded, loaded.session, CORPUS[name])


@pytest.mark.parametrize(("left_out", "name"), _pairs(PROOFS))
def test_proof_is_needed(left_out, name, loaded):
    if CORPUS[name].needs_bigsky and not loaded.has_bigsky:
        pytest.skip("shared/data/stars/bigsky_mag11.parquet is not there")
    with unproven.without(left_out):
        assert not answered_rightly(loaded, loaded.session, CORPUS[name])


def test_each_proof_is_left_out_once():
    assert set(PROOFS) == set(unproven.UNPROVEN)


def test_each_rule_is_left_out_once():
    rules = [rule.__name__ for rule in (*czar.analyse.NAMING, *czar.analyse.PRUNING)]
    # Without some, answers are the same, and slower.
    faster = ["plain_items", "exists_of_unions", "extremes", "members_of_arrays", "rows_with_neighbours", "rows_of_one_group"]
    assert sorted(rules) == sorted(["supported", *faster, *RULES, *LEAVING_CHUNKS_OUT])


@pytest.mark.parametrize(("left_out", "name"), _pairs(LEAVING_CHUNKS_OUT))
def test_rule_leaves_chunks_out(left_out, name, loaded):
    fewer = chunks_asked(loaded, CORPUS[name])
    with sabotage.without_rule(left_out):
        assert answered_rightly(loaded, loaded.session, CORPUS[name])
        assert chunks_asked(loaded, CORPUS[name]) > fewer


def test_constants_of_steps_leave_chunks_out(loaded):
    entry = CORPUS["subqueries/in_limited"]
    fewer = chunks_asked(loaded, entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(czar.steps.cut, "fold", lambda *_: None)
        assert answered_rightly(loaded, loaded.session, entry)
        assert chunks_asked(loaded, entry) > fewer


def test_what_is_not_yet_supported_is_refused_by_its_rule(loaded):
    text = "SELECT note FROM observation FOR UPDATE"
    with pytest.raises(NotYetSupportedError):
        loaded.ask(text)
    with sabotage.without_rule("supported"), pytest.raises(QservError) as wrong:
        loaded.ask(text)
    assert not isinstance(wrong.value, NotYetSupportedError)


def chunks_asked(loaded, entry):
    """Return how many chunks are asked for the last part of an answer."""
    return loaded.runner.run(loaded.session.explain(entry.statement, text=entry.query, analyze=True)).chunks
