"""What PostgreSQL would read another way in a rewritten query than in the user's."""

import pytest

from czar.analyse import analyse
from czar.parse import parse
from czar.plan.build import build
from czar.snapshot import Snapshot
from qserv.errors import QueryError


def planned(text, catalogue):
    return build(*analyse(parse(text), catalogue, text), Snapshot())


@pytest.mark.parametrize("item", ["7", "'a'", "-1", "(7)", "NULL"])
@pytest.mark.parametrize("term", ["x", "2"])
def test_a_constant_is_no_position_of_order_by(item, term, catalogue):
    query = f"SELECT visit, {item} AS x FROM visits.visit ORDER BY {term}"  # noqa: S608 (the test is about such text)
    assert "ORDER BY" not in planned(query, catalogue).step.template


@pytest.mark.parametrize("term", ["(m)", "(1)", "((m))"])
def test_parentheses_do_not_hide_an_output_column(term, catalogue):
    query = f"SELECT -magnitude AS m FROM hipparcos ORDER BY {term}"  # noqa: S608 (the test is about such text)
    assert planned(query, catalogue).combine == "SELECT c0 FROM partials ORDER BY c0 ASC NULLS LAST"


def test_a_star_shows_the_columns_of_using_first_and_once(catalogue):
    outputs = planned(
        "SELECT * FROM observation JOIN visits.visit USING (visit) JOIN visits.filter USING (filter)", catalogue
    ).outputs
    names = ["filter", "visit", "observation_id", "hip", "ra", "dec", "Flux", "width"]
    assert [output.name for output in outputs] == names


def test_a_star_shows_a_column_of_the_same_name_that_using_does_not_join(catalogue):
    query = "SELECT * FROM visits.visit v JOIN visits.visit w USING (visit) JOIN visits.filter f ON TRUE"
    assert [output.name for output in planned(query, catalogue).outputs] == ["visit", "filter", "filter_2", "filter_3", "width"]


def test_offset_and_limit_together_stay_a_bigint(catalogue):
    plan = planned("SELECT hip FROM hipparcos LIMIT 9223372036854775807 OFFSET 5", catalogue)
    assert plan.step.template.endswith("LIMIT 9223372036854775807")


def test_a_table_called_as_our_own_relation_is_not_taken_for_it(catalogue):
    with pytest.raises(QueryError, match=r"column merged\.bv must be in GROUP BY"):
        planned("SELECT merged.bv, COUNT(*) FROM hipparcos AS merged GROUP BY merged.magnitude", catalogue)


def test_three_thousand_operands_are_no_depth(catalogue):
    keys = " OR ".join(f"hip = {key}" for key in range(3_000))
    cones = " OR ".join(f"DISTANCE(ra_degrees, dec_degrees, 45, {place / 1000}) < 0.001" for place in range(200))
    for conditions in (keys, cones):
        assert planned(f"SELECT magnitude FROM hipparcos WHERE {conditions}", catalogue).step is not None  # noqa: S608 (as above)


def test_operands_of_or_prune_together(catalogue):
    query = "SELECT hip FROM hipparcos WHERE (magnitude > 11.5 OR magnitude < 0.5) OR magnitude = 11.5 AND bv > 1"
    either, first = (planned(text, catalogue).step.chunks for text in (query, "SELECT hip FROM hipparcos WHERE magnitude > 11"))
    assert 0 < len(first) < len(either) < 49
