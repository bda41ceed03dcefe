import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.chunking import chunk_director_rows, finest_order, make_chunk_map
from ingest.files import open_file
from ingest.inputs import Input
from ingest.matching import match_columns
from ingest.rows import read_rows
from partitioner.chunkmap import ChunkMap
from partitioner.healpix import pixel_of


@pytest.fixture
def given(tmp_path, object_table):
    """Make the input of a director with these positions."""

    def run(ra, dec, name="object"):
        count = len(ra)
        columns = {"id": np.arange(count), "ra": ra, "dec": dec, "flux": np.zeros(count, np.float32), "name": ["x"] * count}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        file = open_file(tmp_path / f"{name}.parquet")
        return Input(object_table, ((file, match_columns(object_table, file)),))

    return run


def test_the_map_is_finer_where_the_sky_is_dense(given):
    random = np.random.default_rng(1)
    ra = np.concatenate([random.uniform(0, 360, 1000), random.uniform(100, 110, 5000)])
    dec = np.concatenate([random.uniform(-90, 90, 1000), random.uniform(40, 50, 5000)])
    told = []
    made = make_chunk_map([given(ra, dec)], 300, 0.01, told.append)
    rows = np.unique(made.chunk_of(pixel_of(ra, dec)), return_counts=True)[1]
    assert rows.max() <= 300
    assert made.order is None
    assert told[-1].done == told[-1].total == 6000


def test_a_director_without_rows_gets_the_coarsest_map(given):
    made = make_chunk_map([given(np.empty(0), pa.array([], pa.float64()))], 10, 0.0, lambda _: None)
    assert made.order == 0


def test_chunks_stay_wide_beside_the_overlap(given):
    crowded = given(np.full(5000, 10.0) + np.linspace(0, 0.1, 5000), np.zeros(5000))
    made = make_chunk_map([crowded], 10, 1.0, lambda _: None)
    assert made.orders.max() == finest_order(1.0) == 3
    assert [finest_order(overlap) for overlap in (0.0, 0.01, 0.05, 5.0, 10.0)] == [8, 8, 8, 1, 0]


def test_rows_without_position_go_to_chunk_0_and_others_keep_their_overlap(given):
    source = given(pa.array([None, 0.0, 45.0]), pa.array([None, 0.0, 0.0]))
    ((file, matching),) = source.files
    (rows,) = read_rows(source.table, file, matching)
    chunk_map = ChunkMap.uniform(0)
    chunked = chunk_director_rows(rows, chunk_map, 1.0)
    own = chunk_map.chunk_of(pixel_of([0.0, 45.0], [0.0, 0.0])).tolist()
    assert chunked.chunks.tolist() == [0, *own]
    # Longitude 45 on the equator is a corner of four base pixels, 0 is the centre of one.
    assert set(chunked.overlap["id"].to_pylist()) == {2}
    assert own[1] not in chunked.overlap_chunks
    assert len(chunked.overlap_chunks) == 3
