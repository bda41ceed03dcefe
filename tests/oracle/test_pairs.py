"""Near neighbours on edges of pixels, RA = 0 and poles, a billionth of the radius inside or outside of it, through a cluster.

Every pair is measured here with more digits than doubles have. The smallest circles hold all that a k-d tree would find, too.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schema.felis import read_database
from tests.oracle import pairs, sabotage
from tests.oracle.loading import Tables, load

SCHEMA = Path(__file__).parent / "schema" / "pairs.yaml"

CHUNK_TARGET_ROWS = 60
"""So few that most points lie on edges of chunks, of orders 0 to 3."""

CIRCLE_DEG = np.degrees(1e-12)
"""How much a circle is wider than its radius, for rounding."""

DISTANCE = "DISTANCE(a.ra, a.dec, b.ra, b.dec)"

FORMS = {
    "below": (f"{DISTANCE} < {{radius!r}}", 0.0),
    "between": (f"{DISTANCE} BETWEEN 0 AND {{radius!r}}", 0.0),
    "scisql": ("scisql_angSep(a.ra, a.dec, b.ra, b.dec) <= {radius!r}", 0.0),
    "circle": ("CONTAINS(POINT(a.ra, a.dec), CIRCLE(b.ra, b.dec, {radius!r})) = 1", CIRCLE_DEG),
}
"""Ways to say it, and how much wider than the radius each is."""


@pytest.fixture(scope="module")
def found(loaded, tmp_path_factory):
    """Load the rows; return the positions of both tables."""
    tables = Tables(read_database(SCHEMA), pairs.rows(), CHUNK_TARGET_ROWS)
    loaded.runner.run(load(loaded.cluster, loaded.secrets, tables, tmp_path_factory.mktemp("pairs")))
    return {name: np.column_stack([table["ra"], table["dec"]]) for name, table in tables.rows.items()}


@pytest.fixture(scope="module")
def measured(found):
    """Return the places of the pairs of two tables within the largest radius, and their separations."""
    farthest = max(pairs.RADII_DEG) * (1 + 1e-6)
    return {other: pairs.near_pairs(found["anchor"], found[other], farthest) for other in found}


def answered(loaded, text):
    answer, batches = loaded.ask(text)
    table = pa.Table.from_batches(batches, answer.schema)
    return np.column_stack([column.to_numpy() for column in table.columns])


def within(measured, reach_deg):
    places, separations = measured
    return places[separations <= reach_deg]


def in_order(rows):
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
def test_pairs_of_one_table(radius_deg, form, loaded, measured):
    condition, wider_deg = FORMS[form]
    text = f"SELECT a.anchor_id, b.anchor_id FROM anchor a, anchor b WHERE {condition.format(radius=radius_deg)} AND a.anchor_id < b.anchor_id"  # noqa: S608, E501 (numbers of ours)
    expected = within(measured["anchor"], radius_deg + wider_deg)
    expected = expected[expected[:, 0] < expected[:, 1]]
    np.testing.assert_array_equal(in_order(answered(loaded, text)), in_order(expected))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
def test_pairs_of_two_tables(radius_deg, form, loaded, measured):
    condition, wider_deg = FORMS[form]
    text = f"SELECT a.anchor_id, b.partner_id FROM anchor a JOIN partner b ON {condition.format(radius=radius_deg)}"  # noqa: S608 (as above)
    expected = within(measured["partner"], radius_deg + wider_deg)
    np.testing.assert_array_equal(in_order(answered(loaded, text)), in_order(expected))


@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
def test_partners_of_a_region_lie_around_it(radius_deg, loaded, found, measured):
    """The region is a point: partners a billionth of the radius inside of it lie on the edge of the pixels that are read."""
    expected = within(measured["partner"], radius_deg)
    for anchor in np.unique(expected[:, 0])[::40].tolist():
        ra, dec = found["anchor"][anchor].tolist()
        text = (
            f"SELECT a.anchor_id, b.partner_id FROM anchor a, partner b WHERE {DISTANCE} <= {radius_deg!r}"  # noqa: S608 (as above)
            f" AND DISTANCE(a.ra, a.dec, {ra!r}, {dec!r}) <= 0 AND a.anchor_id = {anchor}"
        )
        np.testing.assert_array_equal(in_order(answered(loaded, text)), in_order(expected[expected[:, 0] == anchor]))


NEAREST = {
    "row_number": (
        "SELECT n.anchor_id, n.partner_id FROM (SELECT a.anchor_id, b.partner_id, "  # noqa: S608 (texts of ours)
        f"ROW_NUMBER() OVER (PARTITION BY a.anchor_id ORDER BY {DISTANCE}, b.partner_id) AS place "
        f"FROM anchor a JOIN partner b ON {DISTANCE} < {{radius!r}}) AS n WHERE n.place = 1"
    ),
    "distinct_on": (
        "SELECT n.anchor_id, n.partner_id FROM (SELECT DISTINCT ON (a.anchor_id) a.anchor_id, b.partner_id "  # noqa: S608 (as above)
        f"FROM anchor a JOIN partner b ON {DISTANCE} < {{radius!r}} ORDER BY a.anchor_id, {DISTANCE}, b.partner_id) AS n"
    ),
}


@pytest.mark.parametrize("idiom", NEAREST)
@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
def test_nearest_only(radius_deg, idiom, loaded, measured):
    found = answered(loaded, NEAREST[idiom].format(radius=radius_deg))
    places, separations = measured["partner"]
    kept = separations <= radius_deg
    nearest = dict.fromkeys(places[kept][:, 0].tolist(), np.inf)
    for anchor, separation in zip(places[kept][:, 0].tolist(), separations[kept].tolist(), strict=True):
        nearest[anchor] = min(nearest[anchor], separation)
    assert sorted(found[:, 0].tolist()) == sorted(nearest)
    by_pair = dict(zip(map(tuple, places.tolist()), separations.tolist(), strict=True))
    # Which of two is nearer, doubles say to a few parts in 10^16 of a radian.
    assert all(by_pair[anchor, partner] <= nearest[anchor] + 1e-13 for anchor, partner in found.tolist())


def test_pairs_within_the_overlap_are_found_on_the_nodes(loaded, found):
    del found
    asked = "SELECT COUNT(*) FROM anchor a, anchor b WHERE {} < {!r}"
    steps = [loaded.runner.run(loaded.session.explain(asked.format(DISTANCE, radius_deg))).steps for radius_deg in pairs.RADII_DEG]
    assert [bool(each) for each in steps] == [False, False, True]


MEMBERS = {"EXISTS": np.intersect1d, "NOT EXISTS": np.setdiff1d}


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
def test_rows_with_and_without_another_one_near(radius_deg, member, loaded, found, measured):
    text = (
        f"SELECT a.anchor_id FROM anchor a WHERE {member}"  # noqa: S608 (as above)
        f" (SELECT 1 FROM anchor b WHERE {DISTANCE} <= {radius_deg!r} AND b.anchor_id <> a.anchor_id)"
    )
    places = within(measured["anchor"], radius_deg)
    expected = MEMBERS[member](np.arange(len(found["anchor"])), places[places[:, 0] != places[:, 1]])
    np.testing.assert_array_equal(np.sort(answered(loaded, text)[:, 0]), expected)


def test_rows_without_another_one_near_are_not_read(loaded, found):
    """What is asked above, within an arcsec, is looked up in the column of the nearest neighbour."""
    del found
    text = f"SELECT COUNT(*) FROM anchor a, anchor b WHERE {DISTANCE} < {pairs.RADII_DEG[0]!r} AND a.anchor_id <> b.anchor_id"  # noqa: S608 (as above)
    assert loaded.runner.run(loaded.session.explain(text)).text.count('"_nearest_deg" <=') == 2


def test_many_pairs_lie_on_two_chunks(loaded, measured):
    """Without the overlap they are lost."""
    session = loaded.open(sabotage.SabotagedSession)
    session.change = sabotage.without_overlap
    text = f"SELECT COUNT(*) FROM anchor a JOIN partner b ON {DISTANCE} < {pairs.OVERLAP_DEG}"  # noqa: S608 (as above)
    try:
        answer, batches = loaded.ask(text, session=session)
    finally:
        loaded.runner.run(session.close())
    found = pa.Table.from_batches(batches, answer.schema).column(0)[0].as_py()
    assert 0 < found < 0.9 * len(within(measured["partner"], pairs.OVERLAP_DEG))


@pytest.mark.parametrize("radius_deg", pairs.RADII_DEG)
@pytest.mark.parametrize("other", ["anchor", "partner"])
def test_rows_have_pairs_on_both_sides_of_each_radius(other, radius_deg, measured):
    """Neighbours that are all inside, or none of them by a billionth, would show nothing."""
    _, separations = measured[other]
    off = (separations / radius_deg - 1)[np.abs(separations / radius_deg - 1) < 2 * pairs.NEARER]
    assert np.sum(off < 0) > 200
    assert np.sum(off > 0) > 200
    # Far enough from the radius for doubles to decide as these digits do.
    assert np.abs(off).min() > pairs.NEARER / 10
