"""Each shape of a query has an approved plan: a change of a plan is a change of a file."""

from pathlib import Path

import pytest

from czar.analyse import analyse
from czar.explain import explain
from czar.parse import parse
from czar.plan.build import build
from czar.snapshot import Snapshot

APPROVED = Path(__file__).parent / "approved"

SHAPES = {
    "cone": "SELECT hip, bv FROM stars.hipparcos WHERE CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(56.75, 24.12, 0.1)) = 1",
    "cone_as_distance": "SELECT hip FROM hipparcos WHERE DISTANCE(POINT(ra_degrees, dec_degrees), POINT(0, 89.9)) < 0.2",
    "cone_in_qserv_form": "SELECT hip FROM hipparcos WHERE qserv_areaspec_circle(0, 0, 0.1)",
    "box_over_ra_zero": "SELECT hip FROM hipparcos WHERE qserv_areaspec_box(359, -1, 1, 1)",
    "adql_box": "SELECT hip FROM hipparcos WHERE CONTAINS(POINT(ra_degrees, dec_degrees), BOX(180, 0, 1, 1)) = 1",
    "compared_position": "SELECT hip FROM hipparcos WHERE ra_degrees BETWEEN 10 AND 11 AND dec_degrees > -2 AND dec_degrees <= -1",
    "two_regions_or": (
        "SELECT hip FROM hipparcos WHERE DISTANCE(POINT(ra_degrees, dec_degrees), POINT(10, 10)) < 0.1"
        " OR scisql_s2PtInCircle(ra_degrees, dec_degrees, 200, -40, 0.1) = 1"
    ),
    "outside_a_cone": "SELECT hip FROM hipparcos WHERE CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(1, 2, 3)) = 0",
    "whole_table": "SELECT * FROM hipparcos",
    "first_rows": "SELECT hip FROM hipparcos LIMIT 10 OFFSET 5",
    "ordered": "SELECT hip, magnitude AS m FROM hipparcos ORDER BY m DESC, parallax_mas / 2 LIMIT 10 OFFSET 2",
    "distinct": "SELECT DISTINCT epoch_year FROM hipparcos ORDER BY 1",
    "count_all": "SELECT COUNT(*) AS n FROM hipparcos",
    "counts_by_group": "SELECT epoch_year, COUNT(*), MIN(magnitude), AVG(bv) FROM hipparcos GROUP BY epoch_year ORDER BY 2 DESC",
    "spread": "SELECT STDDEV(bv), VAR_POP(bv), SUM(hip) FROM hipparcos",
    "over_aggregates": (
        "SELECT FLOOR(magnitude) AS bin, COUNT(*) + 1, SUM(bv) / COUNT(bv) FROM hipparcos"
        " GROUP BY bin HAVING COUNT(*) > 3 ORDER BY COUNT(*) * 2 LIMIT 4"
    ),
    "primary_key_grouped": "SELECT hip, magnitude, COUNT(*) FROM hipparcos GROUP BY hip",
    "statistics": "SELECT hip FROM hipparcos WHERE magnitude > 11.5",
    "nothing_can_match": "SELECT COUNT(*), hip FROM hipparcos WHERE magnitude < -5 GROUP BY hip",
    "dependent": (
        "SELECT h.hip, o.flux FROM hipparcos h JOIN observation o ON o.hip = h.hip"
        " WHERE DISTANCE(POINT(h.ra_degrees, h.dec_degrees), POINT(10, 20)) < 1"
    ),
    "dependent_alone": "SELECT flux FROM observation WHERE CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5)) = 1",
    "dependent_left": "SELECT h.hip, COUNT(o.flux) FROM hipparcos h LEFT JOIN observation o USING (hip) GROUP BY h.hip",
    "two_directors_by_key": "SELECT b.tyc_id, h.magnitude FROM bigsky b JOIN hipparcos h ON b.hip = h.hip WHERE h.magnitude < 3",
    "pairs_within_an_arcsec": (
        "SELECT a.hip, b.hip AS other FROM hipparcos a, hipparcos b WHERE a.hip < b.hip"
        " AND DISTANCE(a.ra_degrees, a.dec_degrees, b.ra_degrees, b.dec_degrees) < 1.0 / 3600"
    ),
    "partner_region": (
        "SELECT b.tyc_id FROM bigsky b, hipparcos h WHERE b.hip = h.hip"
        " AND CONTAINS(POINT(h.ra_degrees, h.dec_degrees), CIRCLE(45, 10, 0.01)) = 1"
    ),
    "replicated_with_dependent": (
        "SELECT v.filter, AVG(o.flux) FROM observation o JOIN visits.visit v ON o.visit = v.visit GROUP BY v.filter"
    ),
    "replicated_alone": "SELECT v.visit, f.width FROM visits.visit v, visits.filter f WHERE v.filter = f.filter ORDER BY 1",
    "above_all_rows": (
        "SELECT h.hip FROM hipparcos h WHERE h.hip > ALL (SELECT visit FROM visits.visit)"
        " AND h.hip <> ALL (SELECT visit FROM visits.visit)"
    ),
    "braces": "SELECT '{t0} {' || hip AS \"a{b\" FROM hipparcos WHERE '}' <> '{{'",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_plan_is_the_approved_one(shape, catalogue, approved):
    query = SHAPES[shape]
    plan = build(*analyse(parse(query), catalogue, query), Snapshot())
    approved(APPROVED / f"{shape}.txt", f"{query}\n\n{explain(plan).text}\n")
