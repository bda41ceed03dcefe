"""Each load is a transaction: what it took from which file, and how it ended."""

import hashlib
import os

import numpy as np
import pyarrow as pa
import pytest

from ingest.locations import RemoteFile
from ingest.provenance import digest, digesting
from qserv.errors import BadRowError
from qserv.metadata.engine import connect
from qserv.metadata.transactions import TransactionState, list_transactions, read_transaction

pytestmark = pytest.mark.anyio


def objects(count, first=0):
    return {
        "id": np.arange(first, first + count),
        "ra": np.linspace(0, 359, count),
        "dec": np.zeros(count),
        "flux": np.ones(count, np.float32),
        "name": ["o"] * count,
    }


async def latest(archive):
    async with connect(archive.engine) as connection:
        found = await list_transactions(connection, limit=1000)
    return [each for each in found if each.database == archive.name]


async def test_a_load_tells_of_its_files(archive, write, object_table):
    paths = [write(objects(10), "1.parquet"), write(objects(5, 10), "2.parquet")]
    report = await archive.load(archive.database(object_table), object=paths)
    async with connect(archive.engine) as connection:
        load, files = await read_transaction(connection, report.load)
    assert (load.state, load.row_count, load.rejected, load.error) == (TransactionState.COMMITTED, 15, 0, None)
    assert load.software.startswith("qserv-healpix ")
    assert [(file.table_name, file.source, file.row_count) for file in files] == [
        ("object", str(paths[0]), 10),
        ("object", str(paths[1]), 5),
    ]
    for file, path in zip(files, paths, strict=True):
        content = path.read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    table = await archive.table("object")
    rows = [row for chunk in archive.rows(table).values() for row in chunk]
    assert sorted((row[0], row[6]) for row in rows) == [
        *((key, files[0].contribution_id) for key in range(10)),
        *((key, files[1].contribution_id) for key in range(10, 15)),
    ]


async def test_a_load_that_fails_is_aborted_with_the_reason(archive, write, object_table):
    bad = write(objects(1) | {"id": pa.array([None], pa.int64())}, "bad.parquet")
    with pytest.raises(BadRowError):
        await archive.load(archive.database(object_table), object=[write(objects(10)), bad])
    (load,) = await latest(archive)
    assert load.state == TransactionState.ABORTED
    assert "bad.parquet, row 1, column 'id'" in load.error


async def test_who_has_no_name_is_known_by_number(archive, write, object_table, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # nobody of this system
    await archive.load(archive.database(object_table), object=write(objects(3)))
    (load,) = await latest(archive)
    assert load.user_name == str(2**31 - 5)


async def test_a_digest_is_of_the_whole_file_however_large(tmp_path):
    content = bytes(range(256)) * 4096 * 3 + b"end"  # three blocks and a bit
    (path := tmp_path / "rows.csv").write_bytes(content)
    async with digesting(path) as found:
        assert await found == (len(content), hashlib.sha256(content).hexdigest())


async def test_a_digest_ends_with_what_it_is_made_for(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(2**40)  # hours of zeros
    with pytest.raises(ValueError, match="the rows end here"):
        async with digesting(path):
            raise ValueError("the rows end here")  # noqa: EM101, TRY003


def test_of_a_file_elsewhere_nothing_is_computed():
    assert digest(RemoteFile("http://127.0.0.1:1/rows.csv")) == (None, None)
