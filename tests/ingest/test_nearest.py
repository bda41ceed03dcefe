"""The column of the nearest neighbour, as the nodes hold it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ingest.references import facts_of
from partitioner.nearest import REACH_DEG
from partitioner.sphere import angular_separation_deg
from workers.runs.neighbours import NEAREST_FACT

pytestmark = pytest.mark.anyio

MARGIN_DEG = 1e-9


def pairs(count, seed=5):
    """Return rows of which every second one is 0 to 5 arcsec north or south of the one before, and two without position.

    A third of them are beside the edge of two base pixels, at RA = 0 or at a pole. The file has a column of our name.
    """
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    ra[::6], dec[::6] = np.where(random.uniform(size=len(ra[::6])) < 0.5, 45.0, 359.99999), 0.0
    ra[:4], dec[:4] = [0.0, 10.0, 77.0, 200.0], [90.0, 90.0, -90.0, -90.0]
    away = random.uniform(0, 5 / 3600, len(ra[5::2])) * random.integers(0, 2, len(ra[5::2]))
    ra[5::2], dec[5::2] = ra[4:-1:2], np.clip(dec[4:-1:2] + away, -90, 90)
    ra[-2:] = dec[-2:] = np.nan
    columns = {"id": random.permutation(count), "ra": pa.array(ra, from_pandas=True), "dec": pa.array(dec, from_pandas=True)}
    return pa.table({**columns, "flux": np.ones(count, np.float32), "name": ["o"] * count, "_nearest_deg": np.full(count, 99.0)})


def check(rows, others):
    """Compare what is stored of some rows of a chunk with their separations from all others, by the key of each."""
    key, ra, dec = (np.array([row[place] for row in others], dtype=np.float64) for place in range(3))
    for row in rows:
        separations = angular_separation_deg(row[1], row[2], ra, dec)[key != row[0]]
        nearest, (group, stored) = separations.min(initial=np.inf), row[-2:]
        assert (stored is None) == (group is None) == (nearest > REACH_DEG)
        assert stored is None or nearest - MARGIN_DEG <= stored <= nearest
        near = separations <= REACH_DEG
        assert {
            other[-2] for other, is_near in zip((each for each in others if each[0] != row[0]), near, strict=True) if is_near
        } <= {group}


@pytest.mark.parametrize("run_bytes", [50_000, 10**8])
async def test_each_row_says_how_near_another_one_of_its_chunk_is(run_bytes, archive, write, object_table):
    options = replace(archive.options, run_bytes=run_bytes)
    await archive.load(archive.database(object_table, overlap_deg=0.5), options=options, object=write(pairs(3000)))
    table = await archive.table("object")
    assert table.facts[NEAREST_FACT] == REACH_DEG
    assert set(table.friends_deg) == {REACH_DEG}
    assert not {"_nearest_deg", "_friends"} & set(table.statistics)
    base, overlap = archive.rows(table), archive.rows(table, overlap=True)
    assert [row[-2:] for row in base.pop(0)] == [(None, None)] * 2
    for chunk, rows in base.items():
        check(rows, [*rows, *overlap.get(chunk, [])])
    for chunk, rows in overlap.items():
        check(rows, base.get(chunk, []))
    assert sum(row[-1] is not None for rows in overlap.values() for row in rows) > 100
    assert sum(row[-1] is not None for rows in base.values() for row in rows) > 1000


@pytest.mark.parametrize("count", [0, 1])
async def test_a_row_that_is_alone_has_no_neighbour(count, archive, write, object_table):
    await archive.load(archive.database(object_table), object=write(pairs(50).slice(10, count)))
    stored = archive.rows(await archive.table("object"))
    assert [row[-2:] for rows in stored.values() for row in rows] == [(None, None)] * count


def test_what_is_known_of_rows_that_were_not_loaded_now_stays():
    found = {NEAREST_FACT: 1e-3}
    assert facts_of({}, found) == found
    assert facts_of({"references": {}}, None) == {}
    assert facts_of({NEAREST_FACT: 1e-4, "references": {}}, None) == {NEAREST_FACT: 1e-4}
    assert facts_of(found, None) == found
    assert facts_of(found, {}) == {}
