"""Each form of a condition that DESIGN names leaves chunks out, and the rows are those of all chunks."""

# ruff: noqa: S608 (queries of texts and numbers of this file)

import pyarrow as pa
import pytest

import czar.analyse
from czar.analyse.keys import MAX_KEYS

# The cluster is loaded before the first test, whose time is not for that.
pytestmark = pytest.mark.timeout(400, func_only=True)

CONE = "CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(56.75, 24.12, 0.5)) = 1"
OF_DEPENDENTS = "CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 0.5)) = 1"
ELSEWHERE = "CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(200, -60, 0.5)) = 1"
WIDE, BESIDE = "qserv_areaspec_circle(56.75, 24.12, 20)", "qserv_areaspec_circle(94.75, 24.12, 20)"

NEAR = "DISTANCE(hipparcos.ra_degrees, hipparcos.dec_degrees, n.ra_degrees, n.dec_degrees) < 0.01"

FEW, SOME = 6, 20
"""Chunks that a small region meets, or two of them; and that a wider one does. All are some seventy."""

MANY = ", ".join(map(str, range(900_000, 900_200)))
"""Numbers of no star."""

FORMS = {
    "contains_circle": (CONE, FEW),
    "contains_box": ("CONTAINS(POINT(ra_degrees, dec_degrees), BOX(56.75, 24.12, 1, 1)) = 1", FEW),
    "contains_polygon": ("CONTAINS(POINT(ra_degrees, dec_degrees), POLYGON(56, 23.5, 57.5, 23.5, 56.75, 25)) = 1", FEW),
    "intersects": ("INTERSECTS(CIRCLE(56.75, 24.12, 0.5), POINT(ra_degrees, dec_degrees)) = 1", FEW),
    "distance": ("DISTANCE(POINT(ra_degrees, dec_degrees), POINT(56.75, 24.12)) < 0.5", FEW),
    "distance_in_arcsec": ("3600 * DISTANCE(ra_degrees, dec_degrees, 56.75, 24.12) <= 1800", FEW),
    "distance_divided": ("DISTANCE(ra_degrees, dec_degrees, 56.75, 24.12) / 2 BETWEEN 0.1 AND 0.25", FEW),
    "areaspec_circle": ("qserv_areaspec_circle(56.75, 24.12, 0.5)", FEW),
    "areaspec_box": ("qserv_areaspec_box(56, 23.5, 57.5, 25)", FEW),
    "areaspec_ellipse": ("qserv_areaspec_ellipse(56.75, 24.12, 1800, 900, 30)", FEW),
    "areaspec_polygon": ("qserv_areaspec_poly(56, 23.5, 57.5, 23.5, 56.75, 25)", FEW),
    "in_circle": ("scisql_s2PtInCircle(ra_degrees, dec_degrees, 56.75, 24.12, 0.5) = 1", FEW),
    "in_box": ("scisql_s2PtInBox(ra_degrees, dec_degrees, 56, 23.5, 57.5, 25) = 1", FEW),
    "in_ellipse": ("scisql_s2PtInEllipse(ra_degrees, dec_degrees, 56.75, 24.12, 1800, 900, 30) = 1", FEW),
    "in_polygon": ("scisql_s2PtInCPoly(ra_degrees, dec_degrees, 56, 23.5, 57.5, 23.5, 56.75, 25) = 1", FEW),
    "separation": ("scisql_angSep(ra_degrees, dec_degrees, 56.75, 24.12) < 0.5", FEW),
    "position_between": ("ra_degrees BETWEEN 56 AND 57.5 AND dec_degrees BETWEEN 23.5 AND 25", FEW),
    "position_compared": ("ra_degrees > 56 AND 57.5 > ra_degrees AND dec_degrees >= 23.5 AND dec_degrees <= 25", FEW),
    "regions_or": (f"({CONE} OR {ELSEWHERE})", FEW),
    "regions_or_and_or": (f"({CONE} OR {ELSEWHERE}) AND (magnitude < 8 OR bv > 1)", FEW),
    "regions_and": (f"{WIDE} AND {BESIDE}", FEW),
    "regions_and_none": (f"{CONE} AND {ELSEWHERE}", 0),
    "regions_under_and_and_or": (f"({WIDE} AND {BESIDE} OR {ELSEWHERE})", 2 * FEW),
    "key": ("hip = 11767", 1),
    "keys": ("hip IN (11767, 71683, 91262)", 3),
    "keys_with_or": ("(hip = 11767 OR 71683 = hip OR hip = 91262)", 3),
    "keys_of_an_array": ("hip = ANY (ARRAY[11767, 71683])", 2),
    "keys_of_an_array_as_text": ("hip = ANY ('{11767, 71683}')", 2),
    "many_keys": (f"hip IN (11767, 71683, {MANY})", 2),
    "many_keys_with_or": (f"(hip = 11767 OR hip = 71683 OR {' OR '.join(f'hip = {key}' for key in range(900_000, 900_200))})", 2),
    "many_keys_of_an_array": (f"hip = ANY (ARRAY[11767, 71683, {MANY}])", 2),
    "keys_between": ("hip BETWEEN 30000 AND 30100", SOME),
    "keys_compared": ("hip >= 30000 AND hip < 30100", SOME),
    "statistics": ("magnitude < 0", FEW),
    "statistics_of_a_list": ("magnitude IN (-1.44, 0.03)", SOME),
    "key_and_region": (f"hip IN (17499, 71683) AND {CONE}", 1),
    "region_in_a_subquery": (f"hip IN (SELECT hip FROM hipparcos WHERE {CONE})", FEW),
    "region_of_what_exists": (
        f"EXISTS (SELECT 1 FROM observation WHERE observation.hip = hipparcos.hip AND {OF_DEPENDENTS})",
        FEW,
    ),
    "keys_of_what_exists": ("EXISTS (SELECT 1 FROM observation o WHERE o.hip = hipparcos.hip AND o.hip IN (32349, 91262))", 2),
    "region_around_who_has_no_neighbour": (
        f"{CONE} AND NOT EXISTS (SELECT 1 FROM hipparcos AS n WHERE n.hip <> hipparcos.hip AND {NEAR})",
        FEW,
    ),
    "region_of_a_subquery_of_dependents": (f"hip IN (SELECT hip FROM observation WHERE {OF_DEPENDENTS})", FEW),
}

AROUND = "CONTAINS(POINT(s.ra, s.dec), CIRCLE(56.75, 24.12, 0.5)) = 1"
STARS = "SELECT hip, ra_degrees AS ra, dec_degrees AS dec, magnitude FROM hipparcos"
OBSERVED = "SELECT hip, ra, dec, flux FROM observation"

RELATIONS = {
    "in_from": (f"(SELECT hip FROM hipparcos WHERE {CONE}) AS s", FEW),
    "joined_by_key": (f"hipparcos JOIN (SELECT hip AS k FROM observation) AS s ON k = hip WHERE {CONE}", FEW),
    "around": (f"({STARS}) AS s WHERE {AROUND}", FEW),
    "around_key": (f"({STARS}) AS s WHERE s.hip IN (11767, 71683)", 2),
    "around_key_between": (f"({STARS}) AS s WHERE s.hip BETWEEN 30000 AND 30100", SOME),
    "around_statistics": (f"({STARS}) AS s WHERE s.magnitude < 0", FEW),
    "around_two_levels": (f"(SELECT t.hip, t.ra, t.dec FROM ({STARS}) AS t) AS s WHERE {AROUND}", FEW),
    "around_a_union": (f"({STARS} UNION ALL {OBSERVED}) AS s WHERE {AROUND}", FEW),
    "around_a_union_by_key": (f"({STARS} UNION ALL {OBSERVED}) AS s WHERE hip = 11767", 1),
    "around_groups": ("(SELECT hip, COUNT(*) AS n FROM observation GROUP BY hip) AS s WHERE s.hip = 71683", 1),
    "around_distinct": ("(SELECT DISTINCT hip, visit FROM observation) AS s WHERE s.hip = 71683", 1),
    "around_a_joined_one": (f"observation AS o JOIN ({STARS}) AS s USING (hip) WHERE {AROUND}", FEW),
    "sides_of_a_union": (
        f"(SELECT hip FROM hipparcos WHERE {CONE} UNION SELECT hip FROM observation WHERE {OF_DEPENDENTS}) AS s",
        FEW,
    ),
}

AT = "(VALUES (1, 56.75, 24.12), (2, NULL, 3)) AS p(n, ra, dec)"
LISTS = {
    "values": ("hipparcos JOIN (VALUES (11767), (71683), (NULL)) AS v(id) ON hip = v.id", 2),
    "values_by_comma": ("hipparcos, (VALUES (11767, 'a'), (71683, 'b')) AS v(id, name) WHERE v.id = hip", 2),
    "values_in_in": ("hipparcos WHERE hip IN (VALUES (11767), (71683))", 2),
    "array": ("hipparcos WHERE hip = ANY (ARRAY[11767, 71683])", 2),
    "what_exists": ("hipparcos AS h WHERE EXISTS (SELECT 1 FROM (VALUES (11767), (71683)) AS v(id) WHERE v.id = h.hip)", 2),
    "positions": (f"hipparcos JOIN {AT} ON DISTANCE(POINT(ra_degrees, dec_degrees), POINT(p.ra, p.dec)) < 0.5", FEW),
    "positions_the_other_way": (
        f"hipparcos JOIN {AT} ON CONTAINS(POINT(p.ra, p.dec), CIRCLE(ra_degrees, dec_degrees, 0.5)) = 1",
        FEW,
    ),
    "replicated": ("hipparcos JOIN visit ON hip = visit WHERE airmass > 1.5", SOME),
    "replicated_and_grouped": ("(SELECT hip FROM hipparcos JOIN visit ON hip = visit GROUP BY hip) AS s", SOME),
    "replicated_in_in": ("hipparcos WHERE hip IN (SELECT visit FROM visit WHERE airmass > 1.5)", SOME),
    "replicated_that_exists": ("hipparcos AS h WHERE EXISTS (SELECT 1 FROM visit WHERE visit = h.hip AND airmass > 1.5)", SOME),
    "no_row_of_replicated": ("hipparcos JOIN visit ON hip = visit WHERE airmass > 1000", 0),
    "no_row_of_replicated_in_in": ("hipparcos WHERE hip IN (SELECT visit FROM visit WHERE airmass > 1000)", 0),
}

WITH = {
    "ids": ("WITH v(id) AS (VALUES (11767), (71683)) SELECT hip FROM hipparcos JOIN v ON hip = v.id", 2),
    "left_of_values": ("SELECT h.hip FROM (VALUES (11767), (71683)) AS v(id) LEFT JOIN hipparcos AS h ON h.hip = v.id", 2),
    "left_of_replicated": ("SELECT v.visit FROM visit AS v LEFT JOIN hipparcos AS h ON h.hip = v.visit", SOME),
    "ids_of_replicated": ("WITH v AS (SELECT visit AS id FROM visit) SELECT hip FROM hipparcos JOIN v ON hip = v.id", SOME),
    "in_on": (f"SELECT s.hip FROM observation AS o JOIN ({STARS}) AS s ON s.hip = o.hip AND {AROUND}", FEW),
    "around_a_table": (f"WITH s AS ({STARS}) SELECT s.hip FROM s WHERE {AROUND}", FEW),
    "around_one_of_two": (
        f"WITH s AS ({STARS}) SELECT s.hip FROM s JOIN s AS t ON s.hip = t.hip WHERE {AROUND} AND t.magnitude < 20",
        FEW,
    ),
    "around_what_is_brought_together": (
        "WITH s AS (SELECT magnitude, COUNT(*) AS n FROM hipparcos GROUP BY magnitude) SELECT s.n FROM s WHERE s.magnitude < 0",
        FEW,
    ),
}

ASKED = {
    **{name: (f"SELECT hip FROM hipparcos WHERE {condition}", most) for name, (condition, most) in FORMS.items()},
    **{name: (f"SELECT hip FROM {relation}", most) for name, (relation, most) in {**RELATIONS, **LISTS}.items()},
    **WITH,
}


@pytest.fixture(scope="module")
def every(loaded):
    """How many chunks a query without conditions asks."""
    found = loaded.runner.run(loaded.session.explain("SELECT hip FROM hipparcos")).chunks
    assert found > 2 * SOME
    return found


def chunks_of(part):
    """Return how many chunks a query asks at most at once, in its steps or at its end."""
    return max([part.chunks, *(chunks_of(step.part) for step in part.steps)])


def keys(loaded, text):
    answer, batches = loaded.ask(text)
    return sorted(pa.Table.from_batches(batches, answer.schema).column(0).to_pylist())


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize("form", ASKED)
def test_a_form_of_condition_leaves_chunks_out(form, loaded):
    text, most = ASKED[form]
    assert chunks_of(loaded.runner.run(loaded.session.explain(text, analyze=True))) <= most
    found = keys(loaded, text)
    assert found or most == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(czar.analyse, "PRUNING", ())
        assert keys(loaded, text) == found


def test_a_query_that_gives_a_row_of_no_rows_leaves_no_chunk_out(loaded, every):
    """A count exists in every chunk, a star may be bright without being observed, and it may be anywhere but in a circle."""
    for condition in (
        f"EXISTS (SELECT COUNT(*) FROM observation WHERE observation.hip = h.hip AND {OF_DEPENDENTS})",
        f"(h.magnitude < 1 OR EXISTS (SELECT 1 FROM observation WHERE observation.hip = h.hip AND {OF_DEPENDENTS}))",
        f"h.hip NOT IN (SELECT hip FROM hipparcos WHERE {CONE})",
        f"EXISTS (SELECT 1 FROM ({STARS} ORDER BY hip LIMIT 9) AS s WHERE {AROUND} OR s.hip > 0)",
    ):
        text = f"SELECT hip FROM hipparcos h WHERE h.magnitude < 20 AND {condition}"
        explanation = loaded.runner.run(loaded.session.explain(text, analyze=True))
        assert chunks_of(explanation) > every - SOME, condition


def test_conditions_of_an_optional_side_leave_no_chunk_out(loaded, every):
    for text in (
        f"SELECT o.hip FROM observation AS o LEFT JOIN ({STARS}) AS s ON s.hip = o.hip AND {AROUND}",
        f"SELECT o.hip FROM observation AS o FULL JOIN ({STARS}) AS s ON s.hip = o.hip AND {AROUND}",
        "SELECT c.hip FROM hipparcos a JOIN observation b ON a.hip = b.hip AND a.hip = 9 RIGHT JOIN hipparcos c ON c.hip = a.hip",
    ):
        explanation = loaded.runner.run(loaded.session.explain(text, analyze=True))
        assert chunks_of(explanation) > every - SOME, text


def test_rows_of_a_step_leave_chunks_out(loaded):
    for text in (
        "SELECT h.hip FROM (SELECT hip FROM observation ORDER BY hip LIMIT 3) AS s JOIN hipparcos AS h ON h.hip = s.hip",
        f"SELECT hip FROM hipparcos JOIN ({STARS} ORDER BY hip LIMIT 3) s (k, x, y) ON DISTANCE(ra_degrees, dec_degrees, x, y) < 1",
    ):
        explanation = loaded.runner.run(loaded.session.explain(text, analyze=True))
        assert [chunks_of(step.part) > SOME for step in explanation.steps] == [True], text
        assert explanation.chunks <= FEW, text


def test_a_list_on_the_optional_side_leaves_no_chunk_out(loaded, every):
    for text in (
        "SELECT hip FROM hipparcos LEFT JOIN (VALUES (11767)) AS v(id) ON hip = v.id",
        "SELECT hip FROM hipparcos LEFT JOIN visit ON hip = visit",
        "SELECT hip FROM hipparcos WHERE hip NOT IN (SELECT visit FROM visit)",
        "SELECT hip FROM hipparcos AS h WHERE NOT EXISTS (SELECT 1 FROM visit WHERE visit = h.hip)",
        "SELECT hip FROM hipparcos JOIN visit ON hip = visit OR hip > 0 WHERE visit = 1",
    ):
        explanation = loaded.runner.run(loaded.session.explain(text, analyze=True))
        assert chunks_of(explanation) > every - SOME, text


def test_a_hundred_thousand_keys_are_looked_up(loaded):
    stars = keys(loaded, f"SELECT hip FROM hipparcos WHERE {CONE}")
    assert len(stars) > 3
    # Most are of no star; those that are lie in few chunks.
    listed = ", ".join(map(str, [*range(10**9, 10**9 + MAX_KEYS - len(stars)), *stars]))
    explanation = loaded.runner.run(loaded.session.explain(f"SELECT hip FROM hipparcos WHERE hip IN ({listed})", analyze=True))
    assert explanation.chunks <= FEW
    assert explanation.measured["total"].rows == len(stars)
