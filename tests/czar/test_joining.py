"""Rows of small chunks come in few batches, those of large ones as they are; none is lost, and none held back."""

import pyarrow as pa
import pytest

from czar.buffer import ChunkBuffer
from czar.joining import GATHERED_BYTES, JOINED_BYTES, SMALL_BYTES, gathered, joined


def chunk(*sizes_bytes, limit_bytes=1 << 30):
    """A chunk with a batch of each size, whose rows count on."""
    held = ChunkBuffer(limit_bytes)
    for size_bytes in sizes_bytes:
        held.add(pa.record_batch({"size": pa.array([size_bytes] * (size_bytes // 8), pa.int64())}))
    return held


def sizes(batches):
    return [batch.num_rows * 8 for batch in batches]


def test_small_chunks_are_joined_and_large_ones_are_not():
    large = [SMALL_BYTES, SMALL_BYTES]
    assert sizes(joined([chunk(8), chunk(16, 24), chunk(*large), chunk(32)])) == [*large, 80]


def test_joined_batches_have_a_largest_size():
    found = sizes(joined(chunk(SMALL_BYTES) for _ in range(100)))
    assert sum(found) == 100 * SMALL_BYTES
    assert max(found) <= JOINED_BYTES + SMALL_BYTES
    assert len(found) <= 1 + 100 * SMALL_BYTES // JOINED_BYTES


def test_chunks_on_disk_and_chunks_without_rows_are_joined_too():
    found = list(joined([chunk(8, limit_bytes=0), chunk(), chunk(16)]))
    assert [row for batch in found for row in batch["size"].to_pylist()] == [8, 16, 16]
    assert list(joined([chunk(), chunk()])) == []


def test_rows_are_there_before_an_error_of_a_later_reading():
    def failing():
        yield chunk(SMALL_BYTES * 2)
        raise RuntimeError

    found = joined(failing())
    assert sizes([next(found)]) == [SMALL_BYTES * 2]
    with pytest.raises(RuntimeError):
        next(found)


def batch(size_bytes):
    return pa.record_batch({"size": pa.array([size_bytes] * (size_bytes // 8), pa.int64())})


def parts(found):
    return [(one.num_rows * 8, is_last) for one, is_last in found]


def test_small_batches_are_gathered_and_the_last_ones_marked():
    assert parts(gathered(map(batch, (8, 16, 24)))) == [(48, True)]
    assert parts(gathered([batch(GATHERED_BYTES), batch(8), batch(16), batch(32)])) == [(GATHERED_BYTES + 8, False), (48, True)]


def test_a_large_batch_is_handed_on_before_the_next_one_is_asked_for():
    def failing():
        yield batch(8)
        yield batch(GATHERED_BYTES)
        raise RuntimeError

    found = gathered(failing())
    assert parts([next(found)]) == [(GATHERED_BYTES + 8, False)]
    with pytest.raises(RuntimeError):
        next(found)
    (alone,) = gathered([large := batch(2 * GATHERED_BYTES)])
    assert alone == (large, False)  # nobody knows yet that it was the last


def test_of_no_batch_nothing_is_gathered():
    assert list(gathered([])) == []
