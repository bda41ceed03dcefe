"""What is left of a query after its steps: which rows of them are found by an index."""

import pytest

from czar.analyse import named
from czar.parse import parse
from czar.plan.rest import looked_up
from czar.steps.cut import next_cut
from czar.steps.intermediate import intermediate


def rest_of(text, catalogue):
    """Return what is left of a query over steps s0, s1, ..., all of many rows."""
    query, number = named(parse(text), catalogue, text), 0
    while (cut := next_cut(query, f"s{number}", "")) is not None:
        query, number = cut.with_rows(intermediate(cut.name, cut.step.outputs, is_large=True)), number + 1
    return query


@pytest.mark.parametrize(
    ("value", "indexed"),
    [
        ("SELECT MAX(b.bv) FROM bigsky b WHERE b.epoch_year = h.epoch_year", [("s1", ("k0",))]),
        (
            "SELECT b.bv FROM bigsky b WHERE h.epoch_year = b.epoch_year AND b.hip = h.hip + 1 LIMIT 1",
            [("s1", ("epoch_year", "hip"))],
        ),
        ("SELECT b.bv FROM bigsky b WHERE b.epoch_year > h.epoch_year LIMIT 1", []),
        ("SELECT b.bv FROM bigsky b WHERE b.epoch_year = 2000 LIMIT 1", []),
    ],
)
def test_rows_that_are_sought_for_each_row_around_have_an_index(value, indexed, catalogue):
    rest = rest_of(f"SELECT h.hip FROM hipparcos h WHERE h.bv > ({value})", catalogue)  # noqa: S608 (the test is about such text)
    assert looked_up(rest) == indexed


@pytest.mark.parametrize(
    ("condition", "indexed"),
    [
        ("b.hip = h.hip OR b.epoch_year = h.bv", [("s1", ("hip",)), ("s1", ("epoch_year",)), ("s0", ("hip",)), ("s0", ("bv",))]),
        ("b.hip = h.hip OR b.bv < h.bv", []),
        ("b.epoch_year = 1991 OR b.epoch_year = 2000", []),
    ],
)
def test_rows_that_are_joined_in_one_way_or_another_have_an_index(condition, indexed, catalogue):
    rest = rest_of(f"SELECT h.hip FROM hipparcos h JOIN bigsky b ON {condition}", catalogue)  # noqa: S608 (as above)
    assert looked_up(rest) == indexed
