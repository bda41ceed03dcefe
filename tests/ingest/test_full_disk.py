"""Full disks, of a node and of the spill directory: small file systems in memory stand for them."""

import dataclasses
import subprocess
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest

from ingest.runs import Runs
from qserv.cluster import Role
from qserv.errors import StorageFullError
from qserv.metadata.engine import connect
from qserv.metadata.nodes import register_node
from workers.factory import make_server


@contextmanager
def small_disk(path, size_kib):
    """Mount a file system of this size, or skip the test where that is not allowed."""
    path.mkdir(exist_ok=True)
    options = f"size={size_kib}k,mode=700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)  # noqa: S607 (mount of the system)
    if mounted.returncode:
        pytest.skip("a small file system to fill cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # noqa: S607


@contextmanager
def loading_into(archive, place, directory):
    """Let the loading role of one node keep its tables in another directory."""
    archive.ask(place, f"CREATE TABLESPACE small OWNER {Role.LOADER} LOCATION '{directory}'", Role.ADMIN)
    archive.ask(place, f"ALTER ROLE {Role.LOADER} SET default_tablespace = small", Role.ADMIN)
    try:
        yield
    finally:
        archive.ask(place, f"ALTER ROLE {Role.LOADER} RESET default_tablespace", Role.ADMIN)
        archive.drop()
        archive.ask(place, "DROP TABLESPACE small", Role.ADMIN)


@contextmanager
def new_worker(archive, place):
    """Run another worker beside a node: the connections of the old one know nothing of a role's new settings."""
    server = make_server(dataclasses.replace(archive.addresses[place], worker_port=0), archive.secrets)
    try:
        yield dataclasses.replace(archive.nodes[place], worker_port=server.port)
    finally:
        server.close()


@pytest.mark.anyio
async def test_a_full_node_is_told_and_the_load_succeeds_once_there_is_room(archive, write, object_table, tmp_path):
    random = np.random.default_rng(3)
    count = 60_000
    rows = write(
        {
            "id": np.arange(count),
            "ra": random.uniform(0, 360, count),
            "dec": random.uniform(-90, 90, count),
            "flux": np.zeros(count, np.float32),
            "name": ["x" * 8] * count,
        },
    )
    options = dataclasses.replace(archive.options, chunk_target_rows=20_000)
    database = archive.database(object_table, overlap_deg=0.0)
    with small_disk(tmp_path / "disk", 1000) as disk, loading_into(archive, 0, disk), new_worker(archive, 0) as node:
        async with connect(archive.engine) as connection, connection.begin():
            await register_node(connection, node)
        with pytest.raises(StorageFullError):
            await archive.load(database, options=options, object=rows)
        assert (await archive.catalogue(unpublished=True)).tables == ()
        assert archive.physical_tables() == []
    async with connect(archive.engine) as connection, connection.begin():
        await register_node(connection, archive.nodes[0])
    await archive.load(database, options=options, object=rows)
    assert sum((await archive.table("object")).row_counts) == count


def test_a_full_spill_directory_is_named(tmp_path):
    schema = pa.schema([("_healpix_29", pa.int64())])
    batch = pa.RecordBatch.from_arrays([pa.array(np.arange(100_000))], schema=schema)
    with small_disk(tmp_path / "disk", 500) as disk:
        runs = Runs(disk / "spill", schema, 1)
        with pytest.raises(StorageFullError, match=r"disk/spill: .*make room"):
            runs.add(batch, np.zeros(100_000, np.int64))
