"""Numbers of docs/one-catalogue.md that follow from the stars and the code alone."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.chunking import HISTOGRAM_ORDER, finest_order
from partitioner.chunkmap import ChunkMap, Histogram
from partitioner.healpix import pixel_of
from partitioner.overlap import assign
from qserv.settings import Settings
from schema.catalogues import data_path, schema_path
from schema.felis import read_database

PAGE = "docs/one-catalogue.md"


@pytest.fixture(scope="module")
def overlap_deg():
    return read_database(schema_path("stars")).overlap_deg


@pytest.fixture(scope="module")
def stars():
    """Columns of the stars that have a position."""
    rows = pq.read_table(data_path("hipparcos.parquet"), columns=["hip", "ra_degrees", "dec_degrees"]).drop_null()
    return {name: rows[name].to_numpy() for name in rows.column_names}


@pytest.fixture(scope="module")
def histogram(stars):
    counted = Histogram(HISTOGRAM_ORDER)
    counted.add(pixel_of(stars["ra_degrees"], stars["dec_degrees"]))
    return counted.counts


def numbers(line):
    """Return the integers of a row of a table, None for an empty cell."""
    cells = [cell.strip().replace(",", "").removesuffix(" (default)") for cell in line.strip("|").split("|")]
    return [int(cell) if cell else None for cell in cells]


def test_pixels_of_the_histogram(page, histogram):
    pixels, most = f"{len(histogram):,} pixels of order {HISTOGRAM_ORDER}", {6: "six"}[int(histogram.max())]
    assert f"{pixels} ({np.count_nonzero(histogram):,} of them hold stars, {most} at the most)" in " ".join(page(PAGE).split())


def test_maps_and_overlaps_by_target(page, stars, histogram, overlap_deg):
    rows = re.findall(r"^\| [\d,]+(?: \(default\))? \|(?: [\d,]* ?\|){5}$", page(PAGE), re.MULTILINE)
    given = [numbers(row) for row in rows]
    assert given[0][0] == Settings.model_fields["chunk_target_rows"].default
    assert len(given) == 4
    for target, *orders, overlap_rows in given:
        chunk_map = ChunkMap.adaptive(histogram, target, finest_order(overlap_deg))
        found = np.bincount(chunk_map.orders, minlength=len(orders)).tolist()
        assert [count or None for count in found] == orders
        assert len(assign(stars["ra_degrees"], stars["dec_degrees"], chunk_map, overlap_deg).overlap_row) == overlap_rows


def test_rows_of_each_chunk(page, stars, overlap_deg):
    rows = re.findall(r"^\| (\d+ \|) node-\d \|( [\d,]+ \| \d+ \|)", page(PAGE), re.MULTILINE)
    given = [numbers(chunk + counts) for chunk, counts in rows]
    found = assign(stars["ra_degrees"], stars["dec_degrees"], ChunkMap.uniform(0), overlap_deg)
    assert given == [
        [0, 263, 0],
        *([chunk, (found.chunk == chunk).sum(), (found.overlap_chunk == chunk).sum()] for chunk in range(4, 16)),
    ]


def test_the_star_of_the_page(page, stars):
    star = stars["hip"].tolist().index(17702)
    ra, dec = stars["ra_degrees"][star], stars["dec_degrees"][star]
    shown = f"for HIP 17702 at ({ra}, {dec}) it is {pixel_of([ra], [dec])[0]}"
    assert shown in " ".join(page(PAGE).split())
