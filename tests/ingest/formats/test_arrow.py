"""Arrow IPC, as files and as streams."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from ingest.files import open_file
from qserv.errors import BadFileError

COUNT = 300_000

FIELDS = [pa.field("a", pa.int64()), pa.field("b", pa.string()), pa.field("ra", pa.float64(), metadata={"unit": "deg"})]
ROWS = pa.table([np.arange(COUNT), pa.array(np.arange(COUNT)).cast(pa.string()), np.arange(COUNT) / 7], schema=pa.schema(FIELDS))


@pytest.fixture(params=["file", "stream", "feather"])
def path(request, tmp_path):
    made = tmp_path / "rows.arrow"
    if request.param == "feather":
        feather.write_feather(ROWS, made)
        return made
    new = ipc.new_file if request.param == "file" else ipc.new_stream
    with new(made, ROWS.schema) as writer:
        writer.write_table(ROWS, max_chunksize=200_000)
    return made


def test_rows_come_in_batches_of_the_columns_asked_for(path):
    file = open_file(path)
    assert (file.columns, dict(file.units)) == (("a", "b", "ra"), {"ra": "deg"})
    batches = list(file.batches(["ra", "a"]))
    assert max(batch.num_rows for batch in batches) <= 131_072
    assert pa.Table.from_batches(batches).equals(ROWS.select(["ra", "a"]))


def test_a_file_is_known_without_its_ending(path):
    other = path.rename(path.with_suffix(".data"))
    assert sum(batch.num_rows for batch in open_file(other).batches(["a"])) == COUNT


@pytest.mark.parametrize("cut", [8, 9, 1000, 2_000_000])
def test_a_file_that_is_cut_off_is_noticed(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BadFileError, match=r"cannot be read|does not end as a stream does"):
        list(open_file(path).batches(["a"]))


def test_a_stream_that_ends_between_two_batches_is_noticed(tmp_path):
    with ipc.new_stream(tmp_path / "rows.arrows", ROWS.schema) as writer:
        writer.write_table(ROWS, max_chunksize=100_000)
        whole = (tmp_path / "rows.arrows").stat().st_size
    (tmp_path / "cut.arrows").write_bytes((tmp_path / "rows.arrows").read_bytes()[:-8])
    assert whole <= (tmp_path / "rows.arrows").stat().st_size
    with pytest.raises(BadFileError, match="does not end as a stream does"):
        list(open_file(tmp_path / "cut.arrows").batches(["a"]))
