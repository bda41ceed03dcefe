"""Which queries inside a query are proven to be chunk-local, where NULL decides."""

import pytest

from czar.analyse import NotLocalError, locality_of, named
from czar.parse import parse


def rows_of(text, catalogue):
    query = named(parse(text), catalogue, text)
    return locality_of(query).of_rows(query.tree)


@pytest.mark.parametrize(
    "condition",
    [
        "h.hip IN (SELECT o.hip FROM observation o)",
        "h.hip NOT IN (SELECT i.hip FROM hipparcos i)",
        "(h.bv, h.hip) NOT IN (SELECT i.bv, i.hip FROM hipparcos i)",
    ],
)
def test_a_key_is_looked_for_in_its_own_chunk(condition, catalogue):
    assert rows_of(f"SELECT h.hip FROM hipparcos h WHERE {condition}", catalogue).partitioned  # noqa: S608 (the test is about such text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT h.hip FROM hipparcos h WHERE h.hip NOT IN (SELECT o.hip FROM observation o)",
        "SELECT o.hip FROM observation o WHERE o.hip NOT IN (SELECT h.hip FROM hipparcos h)",
        "SELECT o.hip IN (SELECT h.hip FROM hipparcos h) FROM observation o",
    ],
)
def test_a_key_that_may_be_null_is_looked_for_in_all_chunks(text, catalogue):
    with pytest.raises(NotLocalError, match="needs rows of several chunks"):
        rows_of(text, catalogue)
