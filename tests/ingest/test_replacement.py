"""``--replace``: old rows stay until the new ones are all loaded, then the new ones are as if they had been loaded alone."""

from dataclasses import replace

import numpy as np
import pytest

from ingest.report import Stage
from ingest.staging import staged_database
from qserv.errors import BadRowError, IngestError
from qserv.metadata.director_index import find_chunks
from qserv.metadata.engine import connect
from schema.model import Column, ColumnType, Table, TableRole

pytestmark = pytest.mark.anyio

SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (Column("source_id", ColumnType.LONG), Column("object_id", ColumnType.LONG)),
    ("source_id",),
    director="object",
    director_key="object_id",
)


def objects(count, **changed):
    random = np.random.default_rng(3)
    columns = {"id": np.arange(count), "ra": random.uniform(0, 360, count), "dec": random.uniform(-90, 90, count)}
    columns |= {"flux": np.ones(count, dtype=np.float32), "name": ["o"] * count}
    return columns | changed


@pytest.fixture
def replacing(archive):
    return replace(archive.options, replace=True)


async def stored_ids(archive, name="object"):
    return sorted(row[0] for rows in archive.rows(await archive.table(name)).values() for row in rows)


async def nothing_is_staged(archive):
    """Check that neither nodes nor metadata hold anything of a replacement."""
    staged = staged_database(archive.name)
    for place in (0, 1):
        assert archive.ask(place, f"SELECT tablename FROM pg_tables WHERE schemaname = '{staged}'") == []  # noqa: S608 (our own name)
    rows = await archive.catalogue(unpublished=True)
    assert staged not in {row.database for row in rows.tables}
    assert staged not in {row.family for row in rows.families}
    async with connect(archive.engine) as connection:
        indexes = (
            await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'director_index'")
        ).scalars()
        assert [name for name in indexes if name.startswith("~")] == []


async def test_a_table_is_replaced_with_a_cut_of_its_own(archive, write, object_table, replacing):
    database = archive.database(object_table)
    await archive.load(database, object=write(objects(6000)))
    assert len(await archive.chunk_map()) > 12
    await archive.load(database, options=replacing, object=write(objects(50, id=np.arange(50) + 7000)))
    assert await stored_ids(archive) == list(range(7000, 7050))
    assert len(await archive.chunk_map()) == 12
    table = await archive.table("object")
    suffixed = {f"object_{chunk}" for chunk, count in zip(table.chunks, table.row_counts, strict=True) if count}
    suffixed |= {f"object_{chunk}_overlap" for chunk, count in zip(table.chunks, table.overlap_row_counts, strict=True) if count}
    assert set(archive.physical_tables()) == {"object", *suffixed}
    async with connect(archive.engine) as connection:
        keys, chunks = await find_chunks(connection, archive.name, "object", [1, 7001, 7049])
    assert keys.tolist() == [7001, 7049]
    assert all(7001 in [row[0] for row in archive.rows(table)[chunk]] for chunk in chunks[:1].tolist())
    await nothing_is_staged(archive)


async def test_old_rows_are_seen_while_new_ones_are_loaded(archive, write, object_table, replacing):
    database = archive.database(object_table)
    await archive.load(database, object=write(objects(30)))
    table = await archive.table("object")
    seen = []

    def look(step):
        if step.stage in {Stage.READING, Stage.BUILDING}:
            seen.append(sum(map(len, archive.rows(table).values())))

    await archive.load(database, options=replacing, progress=look, object=write(objects(40)))
    assert set(seen) == {30}
    assert len(await stored_ids(archive)) == 40


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"dec": [10.0, 95.0, 0.0]}, BadRowError, r"rows\.parquet, row 2, column 'dec', value 95\.0"),
        ({"id": [1, 2, 2]}, IngestError, r"table {}\.object: Key \((id|key)\)=\(2\) is duplicated"),
        ({"name": ["far too long a name"] * 3}, BadRowError, r"row 1, column 'name'"),
    ],
)
async def test_a_bad_file_loses_nothing(  # noqa: PLR0913, PLR0917 (fixtures and cases are parameters)
    archive, write, object_table, replacing, changed, error, message
):
    database = archive.database(object_table)
    await archive.load(database, object=write(objects(100)))
    version = (await archive.catalogue()).version
    with pytest.raises(error, match=message.format(archive.name)):
        await archive.load(database, options=replacing, object=write(objects(3, **changed)))
    assert await stored_ids(archive) == list(range(100))
    assert (await archive.catalogue()).version == version
    for node in (0, 1):
        assert (f"{archive.name}.object",) in archive.ask(node, "SELECT table_name FROM tap_schema.tables")
    await nothing_is_staged(archive)


async def test_a_director_and_its_dependents_are_replaced_together(archive, write, object_table, replacing):
    database = archive.database(object_table, SOURCE)
    old = {"source_id": [1, 2], "object_id": [5, 6]}
    await archive.load(database, object=write(objects(500)), source=write(old, "source.parquet"))
    with pytest.raises(IngestError, match="source depends on it"):
        await archive.load(database, options=replacing, object=write(objects(10)))
    # The keys of the new sources are those of new objects alone.
    new = {"source_id": [7, 8, 9], "object_id": [9001, 9002, 9002]}
    files = {"object": write(objects(500, id=np.arange(500) + 9000)), "source": write(new, "source.parquet")}
    await archive.load(database, options=replacing, **files)
    assert await stored_ids(archive, "source") == [7, 8, 9]
    chunk = {row[0]: chunk for chunk, rows in archive.rows(await archive.table("object")).items() for row in rows}
    source = archive.rows(await archive.table("source"))
    assert {row[0]: of for of, rows in source.items() for row in rows} == {7: chunk[9001], 8: chunk[9002], 9: chunk[9002]}
    await nothing_is_staged(archive)


async def test_a_dependent_is_replaced_alone_within_the_cut_of_its_family(archive, write, object_table, replacing):
    database = archive.database(object_table, SOURCE)
    await archive.load(database, object=write(objects(2000)), source=write({"source_id": [1], "object_id": [5]}, "source.parquet"))
    cut = await archive.chunk_map()
    await archive.load(database, options=replacing, source=write({"source_id": [2], "object_id": [6]}, "source.parquet"))
    assert await stored_ids(archive, "source") == [2]
    assert await archive.chunk_map() == cut
    assert len(await stored_ids(archive)) == 2000
    await nothing_is_staged(archive)


async def test_what_a_killed_replacement_left_is_taken_away_by_the_next_load(archive, write, object_table, replacing):
    database = archive.database(object_table)
    await archive.load(database, object=write(objects(100)))
    staged = staged_database(archive.name)
    # As a load that died while it sent leaves it: registered, and made on the nodes.
    await archive.load(replace(database, name=staged, family=staged), object=write(objects(60)))
    async with connect(archive.engine) as connection, connection.begin():
        await connection.exec_driver_sql(f"UPDATE tables SET published = false WHERE database = '{staged}'")  # noqa: S608 (our own name)
    await archive.load(database, options=replacing, object=write(objects(80)))
    assert await stored_ids(archive) == list(range(80))
    await nothing_is_staged(archive)


async def test_replacing_what_is_not_there_is_a_load(archive, write, object_table, replacing):
    await archive.load(archive.database(object_table), options=replacing, object=write(objects(20)))
    assert await stored_ids(archive) == list(range(20))
