"""Rows are cut into messages of about a megabyte on their way into the scratch database."""

import pyarrow as pa
import pytest

from czar.scratch_rows import PIECE_BYTES, watched


@pytest.mark.parametrize("rows", [1, 1000, 1_000_000])
def test_pieces_are_the_rows_and_none_is_large(rows):
    batch = pa.record_batch({"n": pa.array(range(rows)), "text": pa.array(["x" * 40] * rows)})
    pieces = list(watched([batch, batch], []))
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([batch, batch])
    assert max(piece.nbytes for piece in pieces) <= 1.1 * PIECE_BYTES


def test_a_row_that_is_large_is_a_piece_and_no_rows_are_none():
    batch = pa.record_batch({"text": ["x" * 2 * PIECE_BYTES] * 3})
    assert [piece.num_rows for piece in watched([batch, batch.slice(0, 0)], [])] == [1, 1, 1]


def test_a_short_slice_of_a_large_batch_is_one_piece():
    batch = pa.record_batch({"n": pa.array(range(1_000_000))})
    assert [piece.num_rows for piece in watched([batch.slice(500, 100)], [])] == [100]
