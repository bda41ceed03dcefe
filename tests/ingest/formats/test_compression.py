"""Compressed files, those that are cut off, and those that are bombs."""

import bz2
import gzip
import lzma
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.files import open_file
from ingest.formats import compression
from ingest.formats.compression import zstd
from qserv.errors import BadFileError, StorageFullError

PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstd.compress, "xz": lzma.compress}


def rows(path):
    file = open_file(path)
    return [row for batch in file.batches(file.columns) for row in batch.to_pylist()]


@pytest.fixture(params=PACKERS)
def packed(request, tmp_path):
    def write(data, name):
        path = tmp_path / f"{name}.{request.param}"
        path.write_bytes(PACKERS[request.param](data))
        return path

    return write


TEXT = b"a,b\n" + b"".join(b"%d,%d\n" % (row, row * row) for row in range(20_000))


def test_csv_is_decompressed(packed):
    assert rows(packed(TEXT, "rows.csv"))[-1] == {"a": "19999", "b": str(19999**2)}


def test_a_name_need_not_say_that_a_file_is_compressed(packed):
    path = packed(TEXT, "rows")
    assert len(rows(path.rename(path.with_name("rows.csv")))) == 20_000


def test_parquet_is_decompressed_to_a_place_without_a_name(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "room"))
    (tmp_path / "room").mkdir()
    table = pa.table({"a": np.arange(1000)})
    pq.write_table(table, tmp_path / "rows.parquet")
    path = packed((tmp_path / "rows.parquet").read_bytes(), "rows.parquet")
    file = open_file(path)
    assert file.row_count == 1000
    batches = file.batches(["a"])
    first = next(batches)
    assert list((tmp_path / "room").iterdir()) == []
    assert pa.Table.from_batches([first, *batches]) == table


@pytest.mark.parametrize("left", [0.01, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_noticed(packed, left):
    path = packed(TEXT, "rows.csv")
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    with pytest.raises(BadFileError, match=r"cannot be read|is empty"):
        rows(path)


def test_a_file_that_is_damaged_is_noticed(packed):
    path = packed(TEXT, "rows.csv")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadFileError, match="cannot be read"):
        rows(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_bomb_is_given_up(packed, name, monkeypatch):
    monkeypatch.setattr(compression, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(compression, "MOST_TIMES", 10)
    begin = b"a,b\n" if name.endswith("csv") else b"PAR1"
    path = packed(begin + b"1,2\n" * 1_000_000, name)
    with pytest.raises(BadFileError, match="over 10 times as large as it is compressed"):
        rows(path)


@pytest.mark.parametrize("count", [100, 1_000_000])
def test_a_full_disk_is_said_to_be_full(packed, count, monkeypatch):
    path = packed(b"PAR1" + np.random.default_rng(1).bytes(count), "rows.parquet")
    # The kernel's own full disk.
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(StorageFullError, match="No space left on device; set TMPDIR"):
            open_file(path)
