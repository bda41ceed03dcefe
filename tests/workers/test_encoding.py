"""Rows in COPY's binary format: what the compiled loops write is what pgpq writes, byte by byte."""

import io

import numpy as np
import pyarrow as pa
import pytest
from pgpq import ArrowToPostgresBinaryEncoder

from schema.model import Column, ColumnType
from schema.types import arrow_type
from workers.postgresql import encoded_blocks
from workers.postgresql.encoding import MANY_ROWS, RowEncoder

ROWS = 1_000


def some_values(kind, rng):
    """As many values of a type of columns as there are rows, none of them NULL."""
    datatype = arrow_type(Column("value", kind))
    lengths = rng.integers(0, 30, ROWS)
    if pa.types.is_string(datatype):
        return pa.array([("Å½🔭" * 10)[:length] for length in lengths])
    if pa.types.is_binary(datatype):
        return pa.array([rng.bytes(length) for length in lengths])
    if pa.types.is_boolean(datatype):
        return pa.array(rng.random(ROWS) < 0.5)
    if pa.types.is_floating(datatype):
        special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0])
        return pa.array(np.where(rng.random(ROWS) < 0.3, rng.choice(special, ROWS), rng.normal(size=ROWS)), datatype)
    if pa.types.is_timestamp(datatype):
        return pa.array(rng.integers(-210_866_803_200_000_000, 2**62, ROWS), datatype)
    ends = np.iinfo(datatype.to_pandas_dtype())
    return pa.array(rng.integers(ends.min, ends.max, ROWS, endpoint=True), datatype)


def every_column(seed):
    """Columns of each type: without NULLs, with some, of nothing else."""
    rng, columns = np.random.default_rng(seed), {}
    for kind in ColumnType:
        values = some_values(kind, rng)
        columns[f"{kind}_full"] = values
        columns[f"{kind}_some"] = pa.array([v if keep else None for v, keep in zip(values, rng.random(ROWS) < 0.7)], values.type)  # noqa: B905
        columns[f"{kind}_none"] = pa.nulls(ROWS, values.type)
    return pa.RecordBatch.from_pydict(columns)


def written_by_pgpq(*batches):
    encoder = ArrowToPostgresBinaryEncoder(batches[0].schema)
    return encoder.write_header() + b"".join(map(encoder.write_batch, batches)) + encoder.finish()


def written(*batches):
    encoder, out = RowEncoder(batches[0].schema), io.BytesIO()
    out.write(encoder.header())
    for batch in batches:
        for some in encoder.rows(batch):
            out.write(some)
    out.write(encoder.trailer())
    return out.getvalue()


@pytest.mark.parametrize(("start", "rows"), [(0, ROWS), (0, 1), (ROWS - 1, 1), (3, 700), (7, 9), (8, 64), (513, 487)])
def test_blocks_are_what_pgpq_writes(monkeypatch, start, rows):
    monkeypatch.setattr(encoded_blocks, "BLOCK_BYTES", 20_000)  # several blocks, of some rows each
    batch = every_column(start).slice(start, rows)
    alone = ArrowToPostgresBinaryEncoder(batch.schema)
    alone.write_header()
    assert b"".join(map(bytes, encoded_blocks.blocks(batch))) == (alone.write_batch(batch) + alone.finish()).removesuffix(
        b"\xff\xff"
    )


def test_rows_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(encoded_blocks, "BLOCK_BYTES", 16)
    batch = every_column(1).slice(5, 20)
    assert b"".join(map(bytes, encoded_blocks.blocks(batch))) == written_by_pgpq(batch)[19:-2]


@pytest.mark.parametrize("many", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_rows_stay_in_order_whoever_writes_them(many):
    few = every_column(2).slice(0, 200).select(["long_full", "string_some", "timestamp_some"])
    large = pa.Table.from_batches([few] * (MANY_ROWS // 200 + 1)).combine_chunks().to_batches()[0]
    batches = [large if place in many else few.slice(place, 10) for place in range(3)]
    assert written(*batches) == written_by_pgpq(*batches)


def test_no_rows():
    none = every_column(3).slice(0, 0)
    assert written(none) == written_by_pgpq(none)
    large = pa.RecordBatch.from_pydict({"value": np.arange(MANY_ROWS)})
    assert written(large, large.slice(0, 0), large) == written_by_pgpq(large, large)


def test_each_loop_is_compiled_once():
    """Processes that compile one loop for different kinds of arrays at once would take each other's code for theirs."""
    for start in (0, 3):
        list(encoded_blocks.blocks(every_column(5).slice(start)))
        list(encoded_blocks.blocks(pa.RecordBatch.from_pydict({"value": np.arange(9), "text": ["a"] * 9}).slice(start)))
    loops = [each for each in [*vars(encoded_blocks).values(), *encoded_blocks.PUT.values()] if hasattr(each, "signatures")]
    assert len(loops) == 4 + len(encoded_blocks.PUT)
    assert {len(loop.signatures) for loop in loops} == {1}
