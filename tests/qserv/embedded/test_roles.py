"""Who may do what on the servers of an embedded cluster."""

import psycopg
import pytest
from psycopg import errors

from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, SCRATCH_DATABASE, Role


@pytest.fixture
def connect(postgres_cluster):
    connections = []

    def open_connection(role, database=NODE_DATABASE, node=0):
        server = postgres_cluster.cluster.metadata if node is None else postgres_cluster.cluster.nodes[node].postgres
        connection = psycopg.connect(server.conninfo(role, database, postgres_cluster.secrets), autocommit=True)
        connections.append(connection)
        return connection

    yield open_connection
    for connection in connections:
        connection.close()


@pytest.fixture
def loaded(connect):
    loader = connect(Role.LOADER)
    loader.execute("CREATE SCHEMA roles_test")
    loader.execute("CREATE TABLE roles_test.star AS SELECT 1 AS hip")
    yield
    loader.execute("DROP SCHEMA roles_test CASCADE")


@pytest.mark.usefixtures("loaded")
def test_reader_sees_what_the_loader_made(connect):
    assert connect(Role.READER).execute("SELECT hip FROM roles_test.star").fetchall() == [(1,)]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO roles_test.star VALUES (2)",
        "DELETE FROM roles_test.star",
        "DROP TABLE roles_test.star",
        "CREATE TABLE roles_test.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (a int)",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_reader_can_only_read(connect, statement):
    reader = connect(Role.READER)
    reader.execute("SET default_transaction_read_only = off")
    with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        reader.execute(statement)


def test_reader_starts_read_only(connect):
    assert connect(Role.READER).execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_loader_has_no_rights_beyond_its_schemas(connect):
    with pytest.raises(errors.InsufficientPrivilege):
        connect(Role.LOADER).execute("CREATE TABLE public.mine (a int)")
    with pytest.raises(errors.InsufficientPrivilege):
        connect(Role.LOADER).execute("CREATE ROLE other")


def test_scratch_makes_temporary_tables_only(connect):
    scratch = connect(Role.SCRATCH, SCRATCH_DATABASE, node=None)
    scratch.execute("CREATE TEMPORARY TABLE merged AS SELECT 1 AS a")
    for statement in ("CREATE TABLE public.kept (a int)", "CREATE SCHEMA kept"):
        with pytest.raises(errors.InsufficientPrivilege):
            scratch.execute(statement)


def test_metadata_owns_its_database(connect):
    metadata = connect(Role.METADATA, METADATA_DATABASE, node=None)
    metadata.execute("CREATE TABLE public.roles_test (a int)")
    metadata.execute("DROP TABLE public.roles_test")
    metadata.execute("CREATE SCHEMA roles_test")
    metadata.execute("DROP SCHEMA roles_test")


@pytest.mark.parametrize(
    ("role", "database"),
    [(Role.SCRATCH, METADATA_DATABASE), (Role.READER, METADATA_DATABASE), (Role.READER, SCRATCH_DATABASE)],
)
def test_roles_stay_out_of_each_others_databases(connect, role, database):
    with pytest.raises(psycopg.OperationalError):
        connect(role, database, node=None)


def test_a_wrong_password_is_refused(postgres_cluster):
    address = postgres_cluster.cluster.nodes[0].postgres
    uri = f"postgresql://{Role.READER}:wrong@{address.host}:{address.port}/{NODE_DATABASE}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(uri)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("wal_level", "minimal"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
    ],
)
def test_servers_run_as_configured(connect, setting, value):
    assert connect(Role.LOADER).execute("SELECT current_setting(%s)", [setting]).fetchone() == (value,)


def test_text_sorts_by_bytes(connect):
    rows = connect(Role.LOADER).execute("SELECT x FROM unnest(ARRAY['b', 'A', 'a', 'B']) x ORDER BY x").fetchall()
    assert [row[0] for row in rows] == ["A", "B", "a", "b"]


def test_no_password_is_in_any_log(postgres_cluster):
    logs = "".join(path.read_text() for path in (postgres_cluster.home / "logs").iterdir())
    secrets = [*postgres_cluster.secrets.passwords.values(), postgres_cluster.secrets.cluster]
    assert logs
    assert not [value for value in secrets if value.get_secret_value() in logs + repr(postgres_cluster.secrets)]
