import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, text

from qserv.errors import MetadataError
from qserv.metadata.engine import connect, driver_url, make_engine
from qserv.metadata.migrate import alembic_config, upgrade
from qserv.metadata.tables import metadata
from schema.provenance import PROVENANCE


def differences(url):
    engine = create_engine(driver_url(url, "psycopg"))
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    return found


def test_the_migrations_make_exactly_the_tables_that_the_code_sees(empty_database):
    assert differences(empty_database) != []
    upgrade(empty_database)
    assert differences(empty_database) == []


def test_an_upgraded_database_is_left_as_it_is(empty_database):
    upgrade(empty_database)
    upgrade(empty_database)
    assert differences(empty_database) == []


OF_BEFORE = """
    INSERT INTO chunk_maps (family, overlap_deg, chunks) VALUES ('stars', 0.1, '{4}');
    INSERT INTO databases (database, family) VALUES ('stars', 'stars');
    INSERT INTO tables (database, name, position, declaration, facts)
        VALUES ('stars', 'near', 0, '{}', '{"nearest_deg": 0.002, "friends_deg": 0.001}'),
            ('stars', 'far', 1, '{}', '{"pairs": 1}');
    INSERT INTO chunks (table_id, chunk, row_count, overlap_row_count) SELECT table_id, 4, 1, 0 FROM tables
"""


def test_how_far_groups_reach_is_taken_over_from_the_table(empty_database):
    engine = create_engine(driver_url(empty_database, "psycopg"))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0006")
        connection.execute(text(OF_BEFORE.replace(": ", "\\: ")))
    upgrade(empty_database)
    with engine.connect() as connection:
        read = text("SELECT name, facts, friends_deg FROM tables JOIN chunks USING (table_id) ORDER BY name")
        assert connection.execute(read).all() == [("far", {"pairs": 1}, None), ("near", {"nearest_deg": 0.002}, 0.001)]
    engine.dispose()


def test_what_was_committed_before_is_seen_as_provenance(empty_database):
    engine = create_engine(driver_url(empty_database, "psycopg"))
    begun = "INSERT INTO transactions (name, database, user_name, host, software, state, ended) VALUES"
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0013")
        connection.execute(
            text(f"{begun} ('a', 'd', 'u', 'h', 's', 'committed', now()), ('b', 'd', 'u', 'h', 's', 'aborted', now())")
        )
    upgrade(empty_database)
    with engine.connect() as connection:
        for table in PROVENANCE.tables:
            found = connection.execute(text(f"SELECT * FROM provenance.{table.name}"))  # noqa: S608 (a name of ours)
            assert [*found.keys()] == [*table.by_name, "version"]
        assert connection.execute(text("SELECT name, version FROM provenance.transactions")).all() == [("a", 0)]
    engine.dispose()


NOBODY_LISTENS = URL.create("postgresql", "someone", "secret", "127.0.0.1", 1, "qserv")


def test_a_server_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(MetadataError, match=r"127\.0\.0\.1:1/qserv does not answer") as caught:
        upgrade(NOBODY_LISTENS)
    assert "secret" not in str(caught.value)


@pytest.mark.anyio
async def test_a_connection_to_a_server_that_does_not_answer_says_so():
    with pytest.raises(MetadataError, match=r"127\.0\.0\.1:1/qserv does not answer"):
        async with connect(make_engine(NOBODY_LISTENS)):
            pytest.fail("connected")


@pytest.mark.anyio
async def test_a_database_without_tables_is_told_from_one_that_does_not_answer(empty_database):
    engine = make_engine(empty_database)
    with pytest.raises(MetadataError, match="another version"):
        async with connect(engine) as connection:
            await connection.execute(metadata.tables["nodes"].select())
    await engine.dispose()
