import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine

from qserv.errors import MetadataError
from qserv.metadata.engine import connect, driver_url, make_engine
from qserv.metadata.migrate import upgrade
from qserv.metadata.tables import metadata


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
