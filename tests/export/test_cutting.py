"""Rows in any order become partitions: with little memory as with much, on the whole sky, at the poles, in one pixel."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.cutting import ALL_SKY, cuts
from export.spill import NO_ORDER, Spill
from partitioner.chunkmap import ChunkMap
from partitioner.healpix import pixel_of
from partitioner.pixel import HealpixPixel
from tests.export.skies import BIGSKY, sky

LITTLE, MUCH = 100_000, 2**30
"""Bytes of memory: rows go to files, and files are divided again; or they stay."""


def spilled(tmp_path, table, memory_bytes, order=NO_ORDER):
    spill = Spill(tmp_path / "rows", table.schema, "_healpix_29", order=order, memory_bytes=memory_bytes)
    for batch in table.to_batches(1000):
        spill.add(batch)
    return spill


def cut_up(tmp_path, table, memory_bytes, max_rows, roots=ALL_SKY, **options):
    order = roots[0].order if len(roots) == 1 else NO_ORDER
    with spilled(tmp_path, table, memory_bytes, order) as spill:
        found = [
            (cut.pixel, cut.rows, pa.concat_tables([table.slice(0, 0), *cut.tables]))
            for cut in cuts(spill, roots, max_rows, **options)
        ]
    assert not (tmp_path / "rows").exists()
    return found


@pytest.mark.parametrize("memory_bytes", [LITTLE, MUCH])
@pytest.mark.parametrize("kind", ["whole", "dense", "poles", "one", "none"])
def test_partitions_are_the_coarsest_that_have_not_too_many_rows(tmp_path, memory_bytes, kind):
    table = sky(kind)
    found = cut_up(tmp_path, table, memory_bytes, 500)
    for pixel, rows, piece in found:
        first, end = pixel.range29
        pixels = piece["_healpix_29"].to_numpy()
        assert len(piece) == rows <= 500
        assert (np.diff(pixels) >= 0).all()
        assert ((pixels >= first) & (pixels < end)).all()
        if pixel.order:
            low, high = pixel.parent.range29
            every = table["_healpix_29"].to_numpy()
            assert ((every >= low) & (every < high)).sum() > 500
    together = pa.concat_tables([piece for *_, piece in found])
    assert together.sort_by("id") == table.sort_by("id")
    assert len(ChunkMap.from_nuniq([pixel.nuniq for pixel, *_ in found])) == len(found)


def test_rows_of_one_position_stay_together_in_the_order_in_which_they_came(tmp_path):
    pixel = int(pixel_of(10.0, 20.0))
    table = pa.table({"_healpix_29": np.full(20_000, pixel), "id": np.arange(20_000), "text": ["x" * 20] * 20_000})
    found = [each for each in cut_up(tmp_path, table, LITTLE, 100, max_order=5) if each[1]]
    ((where, rows, piece),) = found
    assert (where, rows) == (HealpixPixel(5, pixel >> 48), 20_000)
    assert piece["id"].to_pylist() == list(range(20_000))


def test_a_root_is_divided_alone(tmp_path):
    table = sky("dense")
    pixel = HealpixPixel(3, int(table["_healpix_29"][-1].as_py()) >> 52)
    first, end = pixel.range29
    inside = table.filter((table["_healpix_29"].to_numpy() >= first) & (table["_healpix_29"].to_numpy() < end))
    found = cut_up(tmp_path, inside, LITTLE, 100, roots=(pixel,))
    assert len(found) > 60
    assert all(pixel.contains(each) for each, *_ in found)
    assert sum(rows for _, rows, _ in found) == len(inside) > 100


@pytest.mark.skipif(not BIGSKY.exists(), reason="the real catalogue is in ../shared/data, which is not here")
def test_a_real_sky_is_divided_in_little_memory(tmp_path):
    stars = pq.read_table(BIGSKY, columns=["tyc_id", "ra_degrees", "dec_degrees"]).slice(0, 300_000)
    pixels = pixel_of(stars["ra_degrees"].to_numpy(), stars["dec_degrees"].to_numpy())
    table = pa.table({"_healpix_29": pixels, "tyc_id": stars["tyc_id"]})
    with spilled(tmp_path, table, 2**20) as spill:
        found = [(cut.rows, sum(map(len, cut.tables))) for cut in cuts(spill, ALL_SKY, 20_000)]
    assert len(found) > 15
    assert all(said == came <= 20_000 for said, came in found)
    assert sum(came for _, came in found) == len(table)
