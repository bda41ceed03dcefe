"""LSDB itself opens a collection, reads its margin, and finds what the cluster finds.

It is too heavy to be installed for every developer (300 MB, of which LLVM is the most). ``LSDB_PYTHON`` names a Python that has it.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("LSDB_PYTHON")

pytestmark = pytest.mark.skipif(PYTHON is None, reason="LSDB_PYTHON names no Python that has lsdb")

OPENED = Path(__file__).with_name("opened_by_lsdb.py")


def asked_of_lsdb(directory):
    ended = subprocess.run([PYTHON, OPENED, directory], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_stars_are_those_of_the_cluster(exporting):
    directory, done = exporting.export("stars.hipparcos", partition_rows=10_000, margin_arcsec=400)
    found = asked_of_lsdb(directory)
    cone = "DISTANCE(ra_degrees, dec_degrees, 0.5, 0.5) <= 3"
    pairs = "DISTANCE(a.ra_degrees, a.dec_degrees, b.ra_degrees, b.dec_degrees) <= 300 / 3600.0"
    queries = {
        "cone": f"SELECT COUNT(*) FROM stars.hipparcos WHERE {cone}",  # noqa: S608 (our own words)
        "pairs": f"SELECT COUNT(*) FROM stars.hipparcos AS a JOIN stars.hipparcos AS b ON {pairs}",  # noqa: S608 (as above)
    }
    expected = {name: exporting.czar.query(query, dialect="adql").column(0)[0].as_py() for name, query in queries.items()}
    assert found == {
        "valid": True,
        "rows": done.rows - done.without_position,
        "margin_rows": done.margin_rows,
        "skymap_rows": done.rows - done.without_position,
        "columns": len(exporting.czar.declaration("stars", "hipparcos").table["columns"]),
        **expected,
    }


@pytest.mark.parametrize("condition", ["hip < 0", "hip = 1", "dec_degrees > 89.5"])
def test_few_stars_or_none_can_be_opened(exporting, condition):
    query = f"SELECT * FROM stars.hipparcos WHERE {condition}"  # noqa: S608 (as above)
    directory, done = exporting.export(query, "few")
    found = asked_of_lsdb(directory)
    assert (found["valid"], found["rows"], found["margin_rows"]) == (True, done.rows, done.margin_rows)
