from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import runs as module
from ingest.runs import Runs

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("_healpix_29", pa.int64())])


def batch(ids, pixels):
    return pa.RecordBatch.from_arrays(
        [pa.array(ids), pa.array([f"t{i}" for i in ids]), pa.array(pixels, pa.int64())], schema=SCHEMA
    )


def filled(directory, batches, budget_bytes):
    """Return sealed runs of batches of (chunk, pixel) pairs; ids count up."""
    runs = Runs(directory, SCHEMA, budget_bytes)
    first = 0
    for pairs in batches:
        chunks = np.array([chunk for chunk, _ in pairs], dtype=np.int64)
        runs.add(batch(list(range(first, first + len(pairs))), [pixel for _, pixel in pairs]), chunks)
        first += len(pairs)
    runs.seal()
    return runs


pairs = st.tuples(st.sampled_from([0, 4, 5, 17]), st.none() | st.integers(0, 12 * 4**29 - 1) | st.integers(0, 3))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(pairs, max_size=30), max_size=8), st.sampled_from([1, 500, 2000, 10**9]), st.sampled_from([1, 200, 10**9]))
def test_each_chunk_comes_back_whole_and_sorted(tmp_path_factory, batches, budget_bytes, piece_bytes):
    directory = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_BYTES", piece_bytes)
        runs = filled(directory / "spill", batches, budget_bytes)
        flat = [pair for listed in batches for pair in listed]
        assert runs.row_counts == dict(Counter(chunk for chunk, _ in flat))
        for chunk in {chunk for chunk, _ in flat}:
            rows = pa.Table.from_batches(runs.read(chunk), SCHEMA).to_pylist()
            pixels = [-1 if row["_healpix_29"] is None else row["_healpix_29"] for row in rows]
            assert pixels == sorted(pixels)
            assert [key for part in runs.read(chunk, ["id"]) for key in part["id"].to_pylist()] == [row["id"] for row in rows]
            expected = [(i, f"t{i}", pixel) for i, (of, pixel) in enumerate(flat) if of == chunk]
            assert sorted(row["id"] for row in rows) == [i for i, *_ in expected]
            assert sorted((row["id"], row["text"], row["_healpix_29"]) for row in rows) == expected
    keys = [(key, chunk) for values, chunks in runs.values("id") for key, chunk in zip(values.to_pylist(), chunks, strict=True)]
    assert sorted(keys) == [(i, chunk) for i, (chunk, _) in enumerate(flat)]
    runs.close()
    assert not (directory / "spill").exists()


def test_what_fits_in_memory_never_touches_the_disk(tmp_path):
    runs = filled(tmp_path / "spill", [[(4, 1)], [(4, 0)]], 10**9)
    assert not (tmp_path / "spill").exists()
    assert [row["id"] for part in runs.read(4) for row in part.to_pylist()] == [1, 0]


def test_files_do_not_grow_with_the_number_of_chunks(tmp_path):
    batches = [[(4 + pixel % 997, pixel) for pixel in range(start, start + 1000)] for start in range(0, 10_000, 1000)]
    runs = filled(tmp_path / "spill", batches, 100_000)
    assert len(runs.row_counts) == 997
    assert 0 < len(list((tmp_path / "spill").iterdir())) <= 5


def test_rows_without_pixels_keep_their_order(tmp_path):
    schema = pa.schema([("id", pa.int64())])
    runs = Runs(tmp_path / "spill", schema, 100)
    ids = [5, 3, 9, 1, 7, 2] * 20
    for start in range(0, len(ids), 7):
        part = ids[start : start + 7]
        runs.add(pa.RecordBatch.from_arrays([pa.array(part)], schema=schema), np.full(len(part), -1))
    runs.seal()
    assert [row["id"] for part in runs.read(-1) for row in part.to_pylist()] == ids
