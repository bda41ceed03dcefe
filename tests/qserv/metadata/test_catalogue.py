import pytest

from qserv.errors import IngestError
from qserv.metadata import tables
from qserv.metadata.catalogue import DatabaseRow, FamilyRow, catalogue_version, load_catalogue
from qserv.metadata.engine import connect
from qserv.metadata.nodes import Node, list_nodes, register_node, remove_node
from qserv.metadata.registration import (
    ChunkRecord,
    StatisticsRecord,
    delete_table,
    delete_unused,
    family_lock,
    publish,
    read_family,
    record_chunks,
    register_database,
    register_family,
    register_table,
    table_state,
)

pytestmark = pytest.mark.anyio

FAMILY = FamilyRow("sky", 0.25, tuple(range(4, 16)))
COLUMNS = [{"name": "id", "datatype": "long"}, {"name": "ra", "datatype": "double"}]


async def register(connection, database, *names):
    """Register tables with rows in chunks 5 and 6, on nodes a and b."""
    async with connection.begin():
        for node in "ab":
            await register_node(connection, Node(node, "127.0.0.1", 1, 2))
        if await read_family(connection, "sky") is None:
            await register_family(connection, FAMILY)
        await register_database(connection, DatabaseRow(database, "sky", "Some stars", "1"))
        ids = [
            await register_table(connection, database, {"name": name, "role": "director"}, COLUMNS, position)
            for position, name in enumerate(names)
        ]
        for table_id in ids:
            chunks = [ChunkRecord(6, 20, 0, ("b",)), ChunkRecord(5, 10, 3, ("a", "b"))]
            statistics = [StatisticsRecord(chunk, "id", str(chunk), "99", 1, has_nan=False, has_infinity=True) for chunk in (6, 5)]
            await record_chunks(connection, table_id, chunks, statistics)
    return ids


async def test_tables_are_seen_all_at_once_when_published(engine):
    async with connect(engine) as connection:
        ids = await register(connection, "stars", "object", "source")
    async with connect(engine) as connection:
        before = await load_catalogue(connection, statistics=True)
        assert (before.tables, before.databases) == ((), ())
    async with connect(engine) as connection:
        version = await publish(connection, {ids[0]: {"measured": 1.5}, ids[1]: {}})
    async with connect(engine) as connection:
        after = await load_catalogue(connection, statistics=True)
    assert after.version == version == before.version + 1
    assert after.databases == (DatabaseRow("stars", "sky", "Some stars", "1"),)
    assert after.families == (FAMILY,)
    assert [(table.name, table.facts) for table in after.tables] == [("object", {"measured": 1.5}), ("source", {})]


async def test_what_is_beside_a_database_is_read_without_other_families(engine):
    async with connect(engine) as connection:
        ids = [*await register(connection, "stars", "object"), *await register(connection, "galaxies", "object")]
        async with connection.begin():
            await register_family(connection, FamilyRow("night", 0.1, (4,)))
            await register_database(connection, DatabaseRow("visits", "night", "", ""))
            ids.append(await register_table(connection, "visits", {"name": "source"}, COLUMNS, 0))
        await publish(connection, {table_id: {} for table_id in ids})
    for database, family, databases in (("stars", "sky", ["galaxies", "stars"]), ("visits", "night", ["visits"]), ("none", "", [])):
        async with connect(engine) as connection:
            found = await load_catalogue(connection, beside=database)
        assert [row.database for row in found.databases] == [row.database for row in found.tables] == databases
        assert [row.family for row in found.families] == ([family] if databases else [])


async def test_some_chunks_are_read_without_the_others(engine):
    async with connect(engine) as connection:
        await register(connection, "stars", "object")
    for only, counts in (((), ()), ((5, 17), (10,)), (None, (10, 20))):
        async with connect(engine) as connection:
            (table,) = (await load_catalogue(connection, unpublished=True, statistics=True, only=only)).tables
        assert table.row_counts == counts
        assert list(table.columns) == COLUMNS
        assert len(table.replicas) == len(counts)
        assert [len(each.chunks) for each in table.statistics.values()] == ([len(counts)] if counts else [])


async def test_a_table_is_read_as_it_was_written(engine):
    async with connect(engine) as connection:
        await register(connection, "stars", "object")
    async with connect(engine) as connection:
        (table,) = (await load_catalogue(connection, unpublished=True, statistics=True)).tables
    assert not table.published
    assert table.declaration == {"name": "object", "role": "director"}
    assert list(table.columns) == COLUMNS
    assert table.chunks == (5, 6)
    assert table.row_counts == (10, 20)
    assert table.overlap_row_counts == (3, 0)
    assert table.replicas == {5: ("a", "b"), 6: ("b",)}
    statistics = table.statistics["id"]
    assert (statistics.chunks, statistics.minimum, statistics.maximum) == ((5, 6), ("5", "6"), ("99", "99"))
    assert (statistics.null_count, statistics.has_nan, statistics.has_infinity) == ((1, 1), (False, False), (True, True))


async def test_statistics_stay_in_the_order_of_chunks_where_postgresql_sorts_them_away(engine):
    async with connect(engine) as connection:
        (table_id,) = await register(connection, "stars", "object")
        chunks = [5 + (7 * step) % 1000 for step in range(1000)]
        async with connection.begin():
            await record_chunks(
                connection,
                table_id,
                [ChunkRecord(chunk, 1, 0, ("a",)) for chunk in chunks],
                [
                    StatisticsRecord(chunk, column, str(chunk), str(chunk), 0, has_nan=False, has_infinity=False)
                    for chunk in chunks
                    for column in ("id", "ra")
                ],
            )
    async with connect(engine) as connection:
        await connection.exec_driver_sql("SET enable_hashagg = off")
        await connection.commit()
        (table,) = (await load_catalogue(connection, unpublished=True, statistics=True)).tables
        await connection.exec_driver_sql("RESET enable_hashagg")
    for column in ("id", "ra"):
        assert table.statistics[column].chunks == table.chunks == tuple(sorted(chunks))
        assert table.statistics[column].minimum == tuple(map(str, sorted(chunks)))


async def test_a_deleted_table_leaves_nothing_and_frees_the_chunk_map(engine):
    async with connect(engine) as connection:
        ids = await register(connection, "stars", "object")
        version = await publish(connection, {ids[0]: {}})
        async with connection.begin():
            assert await table_state(connection, "stars") == {"object": True}
            await delete_table(connection, "stars", "object")
            await delete_unused(connection)
        async with connection.begin():
            assert await table_state(connection, "stars") == {}
            assert await read_family(connection, "sky") is None
            assert await catalogue_version(connection) == version + 1
            for table in (tables.databases, tables.columns, tables.chunks, tables.replicas, tables.column_statistics):
                assert (await connection.execute(table.select())).all() == []


async def test_a_database_does_not_change_its_family(engine):
    async with connect(engine) as connection:
        await register(connection, "stars", "object")
        with pytest.raises(IngestError, match="belongs to family 'sky', not 'other'"):
            await register_database(connection, DatabaseRow("stars", "other", "", ""))


async def test_one_load_at_a_time_into_a_family(engine):
    async with family_lock(engine, "sky"), family_lock(engine, "deep"):
        with pytest.raises(IngestError, match="another load into family 'sky' is running"):
            async with family_lock(engine, "sky"):
                pytest.fail("two loads at once")
    async with family_lock(engine, "sky"):
        pass


async def test_a_node_registered_again_has_its_new_ports(engine):
    async with connect(engine) as connection, connection.begin():
        await register_node(connection, Node("a", "127.0.0.1", 1, 2))
        await register_node(connection, Node("b", "127.0.0.1", 3, 4, weight=2.0))
        await register_node(connection, Node("a", "127.0.0.1", 5, 6))
        assert await list_nodes(connection) == (Node("a", "127.0.0.1", 5, 6), Node("b", "127.0.0.1", 3, 4, weight=2.0))
        await remove_node(connection, "a")
        assert [node.node_id for node in await list_nodes(connection)] == ["b"]
