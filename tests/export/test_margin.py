"""Every row that is near a partition, and not in it, is in its margin."""

import hpgeom
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree

from export.catalogue import Catalogue
from export.cutting import ALL_SKY, cuts
from export.margin import HOST, Margins, margin_schema, write_margin
from export.spill import Spill
from partitioner.chunkmap import ChunkMap
from partitioner.healpix import pixel_centre
from partitioner.sphere import unit_vectors
from tests.export.skies import sky

MARGIN_DEG = 0.05
GRID_ORDER = 9
"""Of pixels whose centres stand for a partition: the edge is within 0.12 degrees of one."""


def near_pairs(xyz):
    """Return both orders of each pair of places that are within the margin."""
    found = cKDTree(xyz).query_pairs(2 * np.sin(np.radians(MARGIN_DEG) / 2), output_type="ndarray")
    return np.concatenate([found, found[:, ::-1]])


def cut_up(tmp_path, table, memory_bytes):
    """Write a catalogue as the writer does, and return the numbers of its pixels, too."""
    main = Catalogue(tmp_path / "main", table.schema, with_skymap=True)
    tiles = []
    with Spill(tmp_path / "rows", table.schema, "_healpix_29", memory_bytes=memory_bytes) as spill:
        for batch in table.to_batches():
            spill.add(batch)
        for cut in cuts(spill, ALL_SKY, 700):
            tiles.append(cut.pixel.nuniq)
            if cut.rows:
                main.add(cut.pixel, cut.tables)
    return main, tiles


def written(tmp_path, table, memory_bytes):
    """Write a catalogue and its margin."""
    main, tiles = cut_up(tmp_path, table, memory_bytes)
    margins = Margins(main, ChunkMap.from_nuniq(tiles), ("ra", "dec"), MARGIN_DEG)
    with Spill(tmp_path / "margins", margin_schema(table.schema), HOST, memory_bytes=memory_bytes) as spill:
        for pixel in sorted(main.pixels, key=lambda each: each.range29):
            for batch in margins.of(pixel):
                spill.add(batch)
        return main, write_margin(tmp_path / "margin", main, spill)


def assert_near(pixel, rows):
    """Check that no row is farther from a pixel than it should be: the centres of small pixels stand for it."""
    finer = 2 * (GRID_ORDER - pixel.order)
    grid = cKDTree(unit_vectors(*pixel_centre(GRID_ORDER, (pixel.ipix << finer) + np.arange(1 << finer))))
    distance, _ = grid.query(unit_vectors(rows["ra"].to_numpy(), rows["dec"].to_numpy()))
    assert np.degrees(distance.max()) < MARGIN_DEG + 0.12


@pytest.mark.parametrize(("kind", "memory_bytes"), [("dense", 100_000), ("poles", 2**30)])
def test_pairs_are_found_within_a_partition_and_its_margin(tmp_path, kind, memory_bytes):
    table = sky(kind)
    main, margin = written(tmp_path, table, memory_bytes)
    xyz = unit_vectors(table["ra"].to_numpy(), table["dec"].to_numpy())
    found, crossing = [], 0
    for pixel in main.pixels:
        own = pq.read_table(main.file(pixel))["id"].to_numpy()
        host = pq.read_table(margin.file(pixel)) if pixel in margin.pixels else table.slice(0, 0)
        assert (np.diff(host["_healpix_29"].to_numpy()) >= 0).all()
        if len(host):
            assert_near(pixel, host)
        beyond = host["id"].to_numpy()
        assert not set(own) & set(beyond)
        pairs = near_pairs(xyz[np.append(own, beyond)])
        pairs = np.append(own, beyond)[pairs[pairs[:, 0] < len(own)]]
        crossing += np.isin(pairs[:, 1], beyond).sum()
        found.append(pairs)
    expected = near_pairs(xyz)
    assert np.array_equal(np.unique(np.concatenate(found), axis=0), np.unique(expected, axis=0))
    assert len(np.concatenate(found)) == len(expected)
    assert crossing > 100
    assert margin.rows == sum(pq.read_metadata(margin.file(pixel)).num_rows for pixel in margin.pixels)


def test_counts_over_the_sky_are_of_all_rows(tmp_path):
    table = sky("dense")
    main, _ = cut_up(tmp_path, table, 2**30)
    main.finish({"obs_collection": "main", "dataproduct_type": "object"})
    with fits.open(main.directory / "skymap.fits") as found:
        pixels, counts = found[1].data["PIXEL"], found[1].data["VALUE"]
        assert found[1].header["NSIDE"] == 256
    expected = np.bincount(hpgeom.angle_to_pixel(256, table["ra"].to_numpy(), table["dec"].to_numpy(), nest=True))
    assert pixels.tolist() == np.flatnonzero(expected).tolist()
    assert counts.tolist() == expected[expected > 0].tolist()
    assert pa.types.is_int64(pq.read_schema(main.directory / "dataset" / "_common_metadata").field(0).type)
