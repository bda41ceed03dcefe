"""The databases that the corpus is asked of, with their rows."""

from pathlib import Path

from schema.felis import read_database
from tests.oracle import edges, grains, stars
from tests.oracle.loading import Tables
from tests.support.sky import FELIS, TABLES, Survey

SCHEMAS = Path(__file__).parent / "schema"

CHUNK_TARGET_ROWS = {"sky": 3000, "edges": 8, "survey": 250, "grains": 1}
"""So few that maps have pixels of several orders: 1 and 2, 0 to 3, 0 to 6; and of order 4, two thousand of them."""


def families(*, with_bigsky):
    """Return the tables of each database, in the order in which names are looked for in them."""
    survey = Survey()
    found = {
        "sky": stars.rows(with_bigsky=with_bigsky),
        "edges": edges.rows(),
        "survey": {table: survey.rows(table) for table in TABLES},
        "grains": grains.rows(),
    }
    files = {name: FELIS if name == "survey" else SCHEMAS / f"{name}.yaml" for name in found}
    return [Tables(read_database(files[name]), rows, CHUNK_TARGET_ROWS[name]) for name, rows in found.items()]
