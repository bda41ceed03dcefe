"""Where the column of the nearest neighbour leaves rows out, and where it must not."""

# ruff: noqa: S608 (texts of ours)

import dataclasses
import re

import numpy as np
import pytest

from czar.analyse import analyse
from czar.parse import parse
from czar.plan.build import build
from czar.snapshot import Snapshot
from partitioner.nearest import REACH_DEG

RADIUS_DEG = 1 / 3600

NEAR = "DISTANCE({0}.ra_degrees, {0}.dec_degrees, {1}.ra_degrees, {1}.dec_degrees) {2}"

WITHIN = f"<= {RADIUS_DEG!r}"


CONE = "DISTANCE(a.ra_degrees, a.dec_degrees, 56.75, 24.12) < 0.1"


def near(one="a", other="b", within=WITHIN):
    return NEAR.format(one, other, within)


def read(catalogue, text):
    """Return the tables of which rows with neighbours alone are read, with the radius (deg) of each."""
    query, rows = analyse(parse(text), catalogue, text)
    template = build(query, rows, Snapshot()).step.template
    return {alias: float(radius) for alias, radius in re.findall(r'"(\w+)"\."_nearest_deg" <= ([^:]+)::', template)}


def grouped(catalogue, text):
    """Return the pairs of tables that are paired within groups, and whether cells of the sky are made as well."""
    query, rows = analyse(parse(text), catalogue, text)
    template = build(query, rows, Snapshot()).step.template
    return re.findall(r'"(\w+)"\."_friends" = "(\w+)"\."_friends"', template), "_cell_0" in template


def both(radius_deg):
    return {"a": radius_deg, "b": radius_deg}


BOTH, PARTNER = both(RADIUS_DEG), {"b": RADIUS_DEG}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip", BOTH),
        (f"SELECT a.hip FROM hipparcos a JOIN hipparcos b ON {near('b', 'a')} WHERE b.hip < a.hip", BOTH),
        (f"SELECT COUNT(*) FROM hipparcos a JOIN hipparcos b ON a.hip > b.hip AND {near(within='< 0.0008333')}", both(0.0008333)),
        (f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near(within='BETWEEN 0 AND 0.0002')} AND a.hip < b.hip", both(2e-4)),
        (f"SELECT a.hip FROM hipparcos a LEFT JOIN hipparcos b ON {near()} AND a.hip <> b.hip", BOTH),
        (f"SELECT a.hip FROM hipparcos a WHERE EXISTS (SELECT 1 FROM hipparcos b WHERE {near()} AND a.hip <> b.hip)", BOTH),
        (f"SELECT hip FROM hipparcos a WHERE NOT EXISTS (SELECT FROM hipparcos b WHERE {near()} AND a.hip <> b.hip)", PARTNER),
        (f"SELECT a.hip, (SELECT COUNT(*) FROM hipparcos b WHERE {near()} AND a.hip <> b.hip) FROM hipparcos a", PARTNER),
        (f"SELECT n.hip FROM (SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip < b.hip) n", BOTH),
    ],
)  # fmt: skip
def test_rows_without_a_neighbour_are_not_read(text, expected, catalogue):
    assert read(catalogue, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()}",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <= b.hip",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND (a.hip < b.hip OR a.bv > 1)",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.magnitude < b.magnitude",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip + 0",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE ({near()} OR a.bv > 1) AND {near(within='< 0.01')} AND a.hip <> b.hip",
        f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near(within='< 0.001')} AND a.hip <> b.hip",
        f"SELECT a.hip FROM hipparcos a, bigsky b WHERE {near()} AND a.hip <> b.hip",
        f"SELECT a.hip FROM hipparcos a WHERE EXISTS (SELECT COUNT(*) FROM bigsky b WHERE {near()} AND a.hip <> b.hip)",
    ],
)
def test_all_rows_are_read(text, catalogue):
    assert read(catalogue, text) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip", [("a", "b")]),
        (f"SELECT 1 FROM hipparcos a, hipparcos b WHERE b.hip < a.hip AND {near('b', 'a')} AND {near()}", [("b", "a"), ("a", "b")]),
        (f"SELECT a.hip FROM hipparcos a LEFT JOIN hipparcos b ON {near()} AND a.hip <> b.hip", [("a", "b")]),
        (f"SELECT a.hip FROM hipparcos a WHERE EXISTS (SELECT 1 FROM hipparcos b WHERE {near()} AND a.hip <> b.hip)", [("a", "b")]),
        (f"SELECT hip FROM hipparcos a WHERE NOT EXISTS (SELECT FROM hipparcos b WHERE {near()} AND a.hip <> b.hip)", [("a", "b")]),
        (f"SELECT COUNT(*) FROM hipparcos a WHERE EXISTS (SELECT FROM hipparcos b WHERE {near()} AND a.hip < b.hip)", [("a", "b")]),
    ],
)  # fmt: skip
def test_near_rows_are_paired_within_their_group(text, expected, catalogue):
    assert grouped(catalogue, text) == (expected, False)


def test_a_query_inside_of_a_grouped_one_cannot_name_its_other_columns(catalogue):
    text = (
        "SELECT a.hip, (SELECT COUNT(*) FROM hipparcos b WHERE {} AND a.hip <> b.hip) FROM hipparcos a"
        " GROUP BY a.hip, a.ra_degrees, a.dec_degrees"
    )
    assert grouped(catalogue, text.format(near())) == ([], False)


@pytest.mark.parametrize("radius_deg", [REACH_DEG / 2 * 1.000001, REACH_DEG, 2 * REACH_DEG])
def test_beyond_the_linking_length_near_rows_are_paired_by_cells(radius_deg, catalogue):
    text = f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near(within=f'<= {radius_deg!r}')} AND a.hip <> b.hip"
    assert grouped(catalogue, text) == ([], True)


@pytest.mark.parametrize(("radius_deg", "read"), [(0.1, {"a", "b"}), (0.9, set())])
def test_pixels_of_a_region_find_rows_with_neighbours_where_these_are_few(radius_deg, read, catalogue):
    text = (
        f"SELECT COUNT(*) FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip"
        f" AND DISTANCE(a.ra_degrees, a.dec_degrees, 10, 0) < {radius_deg}"
    )
    query, rows = analyse(parse(text), catalogue, text)
    assert len(query.chunks) < len(catalogue.entries[0].chunks)
    template = build(query, rows, Snapshot()).step.template
    assert set(re.findall(r'"(\w)"\."_healpix_29" BETWEEN', template)) == read


def test_rows_that_an_outer_join_keeps_are_not_left_out(catalogue):
    text = f"SELECT a.hip FROM hipparcos a LEFT JOIN hipparcos b ON {near()} AND a.hip <> b.hip"
    query, _ = analyse(parse(text), catalogue, text)
    assert query.tree.args.get("where") is None


def test_an_aggregate_gives_a_row_of_no_rows(catalogue):
    text = f"SELECT a.hip FROM hipparcos a WHERE EXISTS (SELECT COUNT(*) FROM hipparcos b WHERE {near()} AND a.hip <> b.hip)"
    assert read(catalogue, text) == PARTNER


def test_nothing_is_known_of_two_rows_of_the_overlap(catalogue):
    text = (
        f"SELECT a.hip FROM bigsky a, hipparcos b, hipparcos c WHERE {near(within='< 0.01')} AND {near('a', 'c', '< 0.01')}"
        f" AND {near('b', 'c')} AND b.hip <> c.hip"
    )
    assert read(catalogue, text) == {}


def test_rows_that_were_loaded_without_it_are_all_read(catalogue):
    without = [dataclasses.replace(entry, nearest_deg=None, friends_deg=None) for entry in catalogue.entries]
    text = f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip"
    assert read(dataclasses.replace(catalogue, entries=tuple(without)), text) == {}


@pytest.mark.parametrize(
    ("reaches_deg", "region", "in_groups"),
    [
        ([REACH_DEG], "", True),
        ([RADIUS_DEG], "", True),
        ([RADIUS_DEG / 2], "", False),
        ([REACH_DEG, RADIUS_DEG / 2], "", False),
        ([REACH_DEG, RADIUS_DEG / 2], f" AND {CONE}", True),
        ([np.nan], "", False),
    ],
)
def test_groups_must_reach_so_far_where_a_chunk_is_asked(reaches_deg, region, in_groups, catalogue):
    """The first reach is that of the chunks around the cone, the last one that of all others."""

    def changed(entry):
        if entry.friends_deg is None:
            return entry
        asked, _ = analyse(parse(f"SELECT hip FROM hipparcos a WHERE {CONE}"), catalogue, "")
        elsewhere = np.full(len(entry.chunks), reaches_deg[-1])
        return dataclasses.replace(entry, friends_deg=np.where(np.isin(entry.chunks, asked.chunks), reaches_deg[0], elsewhere))

    entries = tuple(changed(entry) for entry in catalogue.entries)
    text = f"SELECT a.hip FROM hipparcos a, hipparcos b WHERE {near()} AND a.hip <> b.hip{region}"
    pairs, with_cells = grouped(dataclasses.replace(catalogue, entries=entries), text)
    assert (pairs, with_cells) == (([("a", "b")], False) if in_groups else ([], True))


@pytest.mark.parametrize("column", ["_nearest_deg", '"_nearest_deg"', 'a."_nearest_deg"', "_friends"])
def test_no_query_can_name_it(column, catalogue):
    with pytest.raises(Exception, match=column.strip('a."')):
        read(catalogue, f"SELECT {column} FROM hipparcos a")
