"""Full disks, of a node's tables and of the rows beside it: small file systems in memory stand for them."""

import dataclasses
import subprocess
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from ingest.report import Stage
from qserv.cluster import Role
from qserv.errors import StorageFullError
from qserv.metadata.engine import connect
from qserv.metadata.nodes import register_node
from workers.factory import make_server

COUNT = 600
"""Rows; no chunk of the sky has more than it may, so that there are twelve chunks."""

DISK_KIB = 20_000
"""Room for the tables of a test, on a disk that is filled soon."""

PAGE_BYTES = 8192
"""Of PostgreSQL."""


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
def new_worker(archive, place, runs=None):
    """Run another worker beside a node: the connections of the old one know nothing of a role's new settings."""
    runs = runs or archive.runs / archive.addresses[place].node
    server = make_server(dataclasses.replace(archive.addresses[place], worker_port=0), archive.secrets, runs)
    try:
        yield dataclasses.replace(archive.nodes[place], worker_port=server.port)
    finally:
        server.close()


@contextmanager
def full_once(disk, when):
    """Yield a callback for the progress of a load, which fills a disk at a stage; at the end the disk has room again."""
    filling = disk / "filling"

    def notice(step):
        if step.stage is when:
            # Page by page: what is left is less than PostgreSQL ever adds to a file.
            with suppress(OSError), filling.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(PAGE_BYTES))

    try:
        yield notice
    finally:
        filling.unlink(missing_ok=True)


@contextmanager
def half_a_disk(archive, directory):
    """Give one of the two nodes a small disk; yield that and the node, to be registered in place of the other."""
    with small_disk(directory, DISK_KIB) as disk, loading_into(archive, 0, disk), new_worker(archive, 0) as node:
        yield disk, node


async def use(archive, node):
    async with connect(archive.engine) as connection, connection.begin():
        await register_node(connection, node)


def objects(write, count, name="rows.parquet"):
    random = np.random.default_rng(3)
    return write(
        {
            "id": np.arange(count),
            "ra": random.uniform(0, 360, count),
            "dec": random.uniform(-90, 90, count),
            "flux": np.zeros(count, np.float32),
            "name": ["x" * 8] * count,
        },
        name,
    )


async def described(archive):
    """Return the tables that TAP_SCHEMA describes, as each of the nodes has it."""
    sql = f"SELECT table_name FROM tap_schema.tables WHERE schema_name = '{archive.name}' ORDER BY table_name"  # noqa: S608 (a name of the test's own)
    return [[name for (name,) in archive.ask(place, sql)] for place in (0, 1)]


@pytest.mark.anyio
@pytest.mark.parametrize("when", [Stage.BUILDING, Stage.PUBLISHING])
async def test_a_full_node_is_told_and_the_load_succeeds_once_there_is_room(archive, write, object_table, tmp_path, when):
    database, rows = archive.database(object_table), objects(write, COUNT)
    # Every chunk on both nodes: which node has which chunks depends on the name of the database.
    options = dataclasses.replace(archive.options, chunk_target_rows=COUNT, replicas=2)
    with half_a_disk(archive, tmp_path / "disk") as (disk, node):
        await use(archive, node)
        with full_once(disk, when) as notice, pytest.raises(StorageFullError):
            await archive.load(database, notice, options, object=rows)
        left = await archive.catalogue(unpublished=True)
        assert (left.families, left.databases, left.tables) == ((), (), ())
        assert archive.physical_tables() == archive.physical_tables("tap_schema") == []
        await archive.load(database, options=options, object=rows)
        assert sum((await archive.table("object")).row_counts) == COUNT
        assert await described(archive) == [[f"{archive.name}.object"]] * 2


@pytest.mark.anyio
async def test_a_disk_that_is_full_when_a_table_is_shown_leaves_tap_schema_as_it_was(archive, write, object_table, tmp_path):
    other = dataclasses.replace(object_table, name="other")
    database, rows = archive.database(object_table, other), objects(write, COUNT)
    options = dataclasses.replace(archive.options, chunk_target_rows=COUNT, replicas=2)
    with half_a_disk(archive, tmp_path / "disk") as (disk, node):
        await use(archive, node)
        await archive.load(database, options=options, object=rows)
        with full_once(disk, Stage.PUBLISHING) as notice:
            with pytest.raises(StorageFullError):
                await archive.load(database, notice, options, other=rows)
            # The disk is full still, but for the rows that were withdrawn.
            assert await described(archive) == [[f"{archive.name}.object"]] * 2
        assert [table.name for table in (await archive.catalogue(unpublished=True)).tables if table.database == archive.name] == [
            "object"
        ]
        assert [name for name in archive.physical_tables() if name.startswith("other")] == []
        await archive.load(database, options=options, other=rows)
        assert await described(archive) == [[f"{archive.name}.object", f"{archive.name}.other"]] * 2


@pytest.mark.anyio
async def test_rows_that_find_no_room_beside_a_node_are_told_and_go(archive, write, object_table, tmp_path):
    database, rows = archive.database(object_table), objects(write, 20 * COUNT)
    options = dataclasses.replace(archive.options, replicas=2)
    with small_disk(tmp_path / "disk", 100) as disk:
        with new_worker(archive, 0, disk / "runs") as node:
            await use(archive, node)
            with pytest.raises(StorageFullError, match=r"disk/runs/\d+/\d+: .*make room on that disk, then load again"):
                await archive.load(database, options=options, object=rows)
        assert not [path for path in disk.rglob("*") if path.is_file()]
    assert not list(archive.runs.rglob("*.arrow*"))
    assert archive.physical_tables() == []
    await use(archive, archive.nodes[0])
    await archive.load(database, options=options, object=rows)
    assert sum((await archive.table("object")).row_counts) == 20 * COUNT
