"""Each part of the engine that keeps answers right is needed: without it, a named query of the corpus is answered wrongly."""

import contextlib

import pytest

from qserv.errors import QservError
from tests.oracle import sabotage
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
    ],
    sabotage.without_margin_of_dependents: [
        "dependents/far_marks_in_small_circles",
        "dependents/far_marks_at_pole",
    ],
    sabotage.without_margin_of_partners: ["directors/mates_of_points_beside_corners"],
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

PARTNERS = ["directors/mates", "directors/mates_counted"]

RULES = {
    "known_functions": ["expressions/round_to_digits"],
    "lower_geometry": ["cones/pleiades"],
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
    with sabotage.without_rule(left_out), sabotaged(loaded) as session:
        assert not answered_rightly(loaded, session, CORPUS[name])


@pytest.mark.parametrize("name", PARTNERS)
def test_overlap_is_needed(name, loaded):
    with sabotage.without_partners(), sabotaged(loaded) as session:
        assert not answered_rightly(loaded, session, CORPUS[name])
