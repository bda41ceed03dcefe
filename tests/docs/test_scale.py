"""Tables of docs/scale.md are computed from the measured costs."""

import json
import re

from tests.benchmarks.ingest.projection import COSTS, tables

PAGE = "docs/scale.md"


def test_the_tables_are_those_that_follow_from_the_costs(page, told):
    found = re.findall(r"(?:^\|.*\n)+", page(PAGE), re.MULTILINE)
    expected = tables(json.loads(COSTS.read_text()))
    assert [table.partition("\n")[0] for table in found] == [table.partition("\n")[0] for table in expected]
    for here, computed in zip(found, expected, strict=True):
        told(PAGE, here, computed)
